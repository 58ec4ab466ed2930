/*
 * What a lane does not hear, because its listener is on trial or its door is
 * closed, or its holder is about to be stopped. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_HUSH_H
#define DAEMON_SOCKETS_LANES_HUSH_H

#include <stdbool.h>

struct lane;

/* New clients are not heard, or are again. A filter of the server's stays.
   -errno. */
int lanes_hush(struct lane *lane, bool on);

/* They are not, and nothing else is: -errno where there is a filter of the server's. */
int lanes_hush_by_filter(struct lane *lane);

/* A filter of the lane's may have been taken away, or be another one, or it has
   another socket: it hears nobody all the same, if its listener does not. */
void lanes_hush_again(struct lane *lane);

/*
 * Nothing ends in a lane that is sealed: who was in a handshake there has to say
 * again what would have ended it, which clients do by themselves, and may find
 * somebody else by then. For a lane that gets no new connections, and no longer
 * than LANE_SEALED_MS: lanes_watch(). -errno: it cannot be had.
 */
#define LANE_SEALED_MS	1000

int lanes_seal(struct lane *lane);

/* A supervisor that is gone had sealed it: its time begins again. */
void lanes_seal_again(struct lane *lane);

void lanes_unseal(struct lane *lane);

#endif
