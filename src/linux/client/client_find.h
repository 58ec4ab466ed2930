/* Which clusterd is meant. */
#ifndef LINUX_CLIENT_CLIENT_FIND_H
#define LINUX_CLIENT_CLIENT_FIND_H

#include <stdbool.h>

#include "base/mono.h"

struct control_link;
struct error;

struct client_where {
	const char *config;	/* -c FILE; NULL: not given */
	const char *socket;	/* -s SOCKET; NULL: not given */
};

/*
 * Connect to it: that of -s or -c, or else the only one whose socket is in the
 * directories of control_place.h. 0, or -errno with words, see below. Waits
 * until `deadline` at most, and no longer than a clusterd takes to greet.
 */
int client_find(const struct client_where *where, struct mono deadline,
    struct control_link *ret_client, struct error *err);

/* The exit status of a failure: EX_UNAVAILABLE, there is none, or it cannot be
   talked to; EX_USAGE, there are several; 1, something else. */
int client_find_status(int code);

/* Might it go better a moment later? */
bool client_find_again(int code);

#endif
