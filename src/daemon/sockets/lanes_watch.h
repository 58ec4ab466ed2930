/*
 * Those who wait in a lane that nobody serves: it is watched, and they are moved
 * to others or let go, as core/sockets/lane_watch decides. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_WATCH_H
#define DAEMON_SOCKETS_LANES_WATCH_H

#include <stdbool.h>

#include "base/mono.h"

struct lane;
struct lane_facts;

/*
 * Do what is to be done about the lane now; one that is sealed is unsealed in
 * time. Of the facts, `can_move` and `waits` are known here. Returns when to come
 * again at the latest; before that, the news (listeners_tell()) or another fact
 * may be a reason.
 */
struct mono lanes_watch(struct lane *lane, const struct lane_facts *facts,
    struct mono now);

/*
 * Hear of the next one who comes into the lane, although it is served, or no more:
 * listeners_on_clients(), once. TCP; there may be somebody already. It costs nothing
 * until somebody comes.
 */
void lanes_watch_heed(struct lane *lane, bool on);

/* Somebody has come into a lane that is watched: for lanes_heal. */
void lanes_watch_came(struct lane *lane);

#endif
