/*
 * What a lane does not hear, because its listener is on trial or its door is
 * closed. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_HUSH_H
#define DAEMON_SOCKETS_LANES_HUSH_H

#include <stdbool.h>

struct lane;

/* New clients are not heard, or are again. A filter of the server's stays.
   -errno. */
int lanes_hush(const struct lane *lane, bool on);

/* A filter of the lane's may have been taken away, or be another one, or it has
   another socket: it hears nobody all the same, if its listener does not. */
void lanes_hush_again(const struct lane *lane);

#endif
