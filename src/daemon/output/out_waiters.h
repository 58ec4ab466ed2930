/* Those who wait until an output has room for what they would read. */
#ifndef DAEMON_OUTPUT_OUT_WAITERS_H
#define DAEMON_OUTPUT_OUT_WAITERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>


struct out_waiter {
	TAILQ_ENTRY(out_waiter) link;
	bool held;
	/* There may be room; false: it could not be watched, later. */
	bool (*resume)(struct out_waiter *waiter);
};

TAILQ_HEAD(out_waiters, out_waiter);

/* Not held yet. */
void out_waiters_hold(struct out_waiters *waiters, struct out_waiter *waiter);

/* If it is held. */
void out_waiters_unhold(struct out_waiters *waiters, struct out_waiter *waiter);

/* Let them all go on. Returns false if some are still held, for later. */
bool out_waiters_resume(struct out_waiters *waiters);

#endif
