/*
 * The lanes of a listener that another supervisor has left, with those who wait in
 * them: free, for the next who take one. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_AGAIN_H
#define DAEMON_SOCKETS_LANES_AGAIN_H

#include <stdint.h>

struct ledger_lane;
struct listener;

/* One that it had, and where in the ledger it stands; the listener is in its list.
   In the order of their slots. -ENOMEM. */
int lanes_again_add(struct listener *listener, const struct ledger_lane *r,
    uint32_t record);

/*
 * All of them are there: those that listen are in the kernel's group, and filters
 * that closed a door are gone. Until somebody is ready, what comes waits in the
 * first one.
 */
void lanes_again_begin(struct listener *listener);

/* Those that were shut down meanwhile listen again. What has no record is closed by
   then: it may be the founder of their group, which has the port. */
void lanes_again_listen(struct listener *listener);

#endif
