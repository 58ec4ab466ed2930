/* What waits in a lane and what it has served: for status, metrics and drains.
   Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LANES_FIGURES_H
#define DAEMON_SOCKETS_LANES_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct lane;
struct listener;

struct lane_figures {
	bool queued;		/* the next two are known: TCP and Unix */
	uint32_t waiting;	/* in the accept queue */
	uint32_t backlog;	/* its length, as the kernel has cut it */
	bool counted;		/* the rest is known */
	uint64_t open;		/* connections, established and not closed */
	uint64_t total;		/* … ever established */
};
void lanes_figures(const struct lane *lane, struct lane_figures *ret_figures);

/* The halves of that alone: what waits, and what is counted. False: not known. */
bool lanes_figures_queue(const struct lane *lane, uint32_t *ret_waiting,
    uint32_t *ret_backlog);
bool lanes_figures_counts(const struct lane *lane, uint64_t *ret_open,
    uint64_t *ret_total);

/* Of all lanes that this one has alone: their sums, which are known if they are of
   each. False: it has none that is open. */
struct lane_holder;
struct listeners;
bool lanes_figures_of(const struct listeners *listeners,
    const struct lane_holder *holder, struct lane_figures *ret_figures);

/* Is each connection of the listener among those that one of its lanes has open,
   also where it was moved from one to another? */
bool lanes_figures_are_all(const struct listener *listener);

/* When datagrams came to it, as steering_flows_heard(). False: nobody knows. */
bool lanes_figures_flows(const struct lane *lane, struct mono now,
    int64_t *ret_known_ms, int64_t *ret_fresh_ms);

/* Packets, first ones of connections mostly, that no live lane would take;
   false: nobody counts them (only eBPF does). */
bool lanes_figures_dropped(const struct listener *listener,
    uint64_t *ret_packets);

#endif
