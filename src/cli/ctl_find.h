/* Which clusterd is meant. */
#ifndef CLI_CTL_FIND_H
#define CLI_CTL_FIND_H

#include <stdbool.h>

#include "base/mono.h"

struct control_link;
struct ctl_options;
struct error;

/*
 * Connect to it: that of -s or -c, or else the only one whose socket is in the
 * directories of control_place.h. 0, or -errno with words, see below. Waits
 * until `deadline` at most, and no longer than a clusterd takes to greet.
 */
int ctl_find(const struct ctl_options *options, struct mono deadline,
    struct control_link *ret_client, struct error *err);

/* The exit status of a failure: EX_UNAVAILABLE, there is none, or it cannot be
   talked to; EX_USAGE, there are several; 1, something else. */
int ctl_find_status(int code);

/* Might it go better a moment later? */
bool ctl_find_again(int code);

#endif
