/*
 * What workers do to their lanes, and how it is undone: they shut them down,
 * set another backlog. For daemon/lanes.
 */
#ifndef DAEMON_LANES_HEAL_H
#define DAEMON_LANES_HEAL_H

#include <stdbool.h>

struct lane;
struct listener;

/* Hear of its being shut down, from now on. Failure is logged. */
void lanes_heal_watch(struct lane *lane);

/* By daemon/lanes for this: */

/* Has a lane been shut down, with its event still to come? */
bool lanes_more_shut(const struct listener *listener);

/* Nobody has it, and anybody may. */
bool lanes_is_free(const struct lane *lane);

/* A handshake that was under way when steering changed may still end in a lane
   that nobody has any more: hear of that, or not any more. */
void lanes_await_strays(struct lane *lane, bool on);

#endif
