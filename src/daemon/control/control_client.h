/*
 * A client: its connection, the bytes that come and go, and the answer that it
 * gets. Nothing here waits for it.
 */
#ifndef DAEMON_CONTROL_CONTROL_CLIENT_H
#define DAEMON_CONTROL_CONTROL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/mono.h"
#include "base/str.h"
#include "daemon/control/control_op.h"
#include "linux/loop/loop.h"

struct control_client;
struct control_door;
struct control_setup;

/* What has not been read: with more, no portion is made and no progress told;
   … */
#define CONTROL_OUT_ENOUGH	(32 * 1024)
/* … and with this, not even why a file is refused. What is told at once may
   come on top: a line, an app with its listeners. */
#define CONTROL_OUT_MAX		(64 * 1024)

struct control_events;

struct control_clients {
	const struct control_setup *setup;
	const struct control_verb *verbs;	/* by enum request_verb */
	struct control_door *door;	/* resumed when one goes */
	const struct control_events *events;	/* control.c sets it */
	TAILQ_HEAD(, control_client) list;
	unsigned n;
	bool spared;		/* control_places: somebody, at the last look */
};

/* All of it is written here but for what is marked. */
struct control_client {
	TAILQ_ENTRY(control_client) entry;
	struct control_clients *all;
	const struct control_setup *setup;
	int fd;
	loop_handle handle;
	uint32_t events;
	pid_t pid;
	char in[REQUEST_MAX];
	size_t n_in;
	struct strbuf out;	/* whoever answers appends to it */
	size_t sent;		/* of `out` */
	bool incomplete;	/* something was not put into it: no memory */
	struct mono share;	/* control_talk: portions are made until then;
				   of a turn */
	struct mono moved;	/* when bytes last went or came */
	struct control_op op;	/* see there */
	bool eof;		/* it sends nothing more */
	bool leaving;		/* gone when `out` is sent */
};

void control_clients_init(struct control_clients *clients,
    const struct control_setup *setup, const struct control_verb *verbs,
    struct control_door *door);

/*
 * Another one. The loop calls `ready` with it. Takes the descriptor, also when
 * it fails: -errno.
 */
int control_client_new(struct control_clients *clients, int fd, pid_t pid,
    loop_fn *ready, struct control_client **ret_client);
void control_client_free(struct control_client *client);

/* ---- bytes ---- */

/* Read what there is; false: the client is gone. */
bool control_client_receive(struct control_client *client);

/* Send what there is, as far as it goes; false: the client is gone. */
bool control_client_send(struct control_client *client);

/* What was sent makes room for what is to come. */
void control_client_compact(struct control_client *client);

/* Tell the loop what to wait for. */
void control_client_want(struct control_client *client, uint32_t events);

/* Nothing more is asked: it goes when all is sent. */
void control_client_leave(struct control_client *client);

/* Is there a whole line? *ret_len is without its newline. */
bool control_client_line(const struct control_client *client, size_t *ret_len);

/* That line is done with. */
void control_client_drop_line(struct control_client *client, size_t len);

size_t control_client_unsent(const struct control_client *client);

/* ---- the answer ---- */

/* For a portion of it, or for progress. */
bool control_client_has_room(const struct control_client *client);

/* Something could not be put into it, for want of memory: it gets no end. */
void control_client_spoil(struct control_client *client);

/* Its last line: it is complete, and so is the request. */
void control_client_ok(struct control_client *client, const char *text);
void control_client_fail(struct control_client *client, const char *why,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
