/*
 * Retiring workers that drain: what they still have is looked at now and then
 * (linux/connections), core/drain decides when they may be stopped.
 *
 * A worker that shares its lane gets new connections all the same, from the one
 * queue. It is stopped in a moment in which it has none: it is frozen
 * (SIGSTOP), looked at once more, and the stop signal is the first that it sees
 * when it goes on; or it goes on as if nothing had been.
 */
#ifndef DAEMON_DRAIN_H
#define DAEMON_DRAIN_H

#include <sys/queue.h>

#include "core/worker/drain.h"
#include "linux/socket/connections.h"
#include "linux/loop/loop.h"
#include "linux/socket/sockdiag.h"

struct loop;
struct worker;

/* One look at a time. */
struct drain_looks {
	struct loop *loop;
	TAILQ_HEAD(drainers, worker) drainers;
	struct loop_timer timer;
	struct sockdiag diag;
	struct connections look;
	struct worker *at;	/* who is being looked at, or NULL */
};

/* -ENOMEM. Undone by _fini, when nobody drains any more. */
int drain_init(struct drain_looks *d, struct loop *loop);
void drain_fini(struct drain_looks *d);

/* It is DRAINING now, steered around. */
void drain_watch(struct drain_looks *d, struct worker *worker);

/* It is not any more; whatever was being done about it ends. */
void drain_forget(struct worker *worker);

/* Did drain_timeout end it? The line that says so. */
void drain_log_timeout(const struct worker *worker);

#endif
