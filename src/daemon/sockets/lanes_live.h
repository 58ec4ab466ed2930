/*
 * Which lanes of a listener are to get new connections, and when that is put in
 * force: at once, or with more of its kind. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_LIVE_H
#define DAEMON_SOCKETS_LANES_LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct lane;
struct listener;

/* What is not urgent may wait so long for more of its kind. */
#define LANES_LIVE_PAUSE_MS 20

/* It is to, or no more: with the next _apply. */
void lanes_live_want(struct lane *lane, bool wanted);

/*
 * A worker that is ready has it from now on: from when it is wanted on, its share of
 * new connections grows for so long (steering_ebpf_ramp()); 0: it has all of it. Where
 * eBPF is not what chooses, nothing comes of it.
 */
void lanes_live_ramp(struct lane *lane, int64_t ms);

/*
 * Make those that are wanted live, and no others. Unless there is none: then
 * nothing changes. Failure is logged, and leaves the old ones. False: it is not
 * urgent, and done just before, or something is not known yet; again a little
 * later.
 */
bool lanes_live_apply(struct listener *listener, struct mono now);

/* A worker may have attached a program of its own, or have detached ours: it is
   attached again, with the next _apply. */
void lanes_live_suspect(struct listener *listener);

/* Nobody is to get any, and nobody does. */
void lanes_live_nobody(struct listener *listener);

/* One has ceased to listen: clients that the kernel may have moved to others are
   heard of there. */
void lanes_live_wake(const struct listener *listener);

#endif
