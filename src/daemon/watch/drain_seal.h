/*
 * The lanes of a worker that is about to be stopped are sealed, so that nobody
 * comes to it between the last look and its end: a handshake that has taken long
 * would end just there, and a flow of datagrams begin again. Of daemon/watch.
 */
#ifndef DAEMON_WATCH_DRAIN_SEAL_H
#define DAEMON_WATCH_DRAIN_SEAL_H

#include <stdbool.h>

struct worker;

/* All that it has for itself. False: one of them cannot be. */
bool drain_seal(const struct worker *worker);

/* It goes on. */
void drain_unseal(const struct worker *worker);

/* Are they all? Not for long, see lanes_hush.h. */
bool drain_sealed(const struct worker *worker);

/* Flows of datagrams that it has known are others' from now on, also when it goes
   on. Is there any lane of its own where there could be some? */
bool drain_leave_flows(const struct worker *worker);

#endif
