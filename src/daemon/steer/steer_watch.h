/* Who is expected in each lane of a listener, for those who wait in it. Of
   daemon/steer. */
#ifndef DAEMON_STEER_STEER_WATCH_H
#define DAEMON_STEER_STEER_WATCH_H

#include "base/mono.h"

struct listener;
struct workers;

/* When the kernel knows who gets new connections: see to its lanes. Returns when
   to come again at the latest. */
struct mono steer_watch(const struct workers *workers,
    struct listener *listener, struct mono now);

#endif
