/*
 * Retiring workers that drain: what they still have is looked at now and then
 * (linux/socket/connections), core/worker/drain decides when they may be stopped.
 *
 * A worker that shares its lane gets new connections all the same, from the one
 * queue. It is stopped in a moment in which it has none: it is frozen
 * (SIGSTOP), looked at once more, and the stop signal is the first that it sees
 * when it goes on; or it goes on as if nothing had been.
 */
#ifndef DAEMON_WATCH_DRAINERS_H
#define DAEMON_WATCH_DRAINERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"
#include "daemon/watch/drain_batch_priv.h"
#include "daemon/watch/drain_freeze_priv.h"
#include "daemon/watch/look_queue.h"

struct loop;
struct worker;

struct drainers {
	struct look_queue looks;
	size_t n;			/* who drains */
	struct drain_batch batch;	/* the look */
	struct mono spell_ends;
	bool looking;			/* until then; the timer is set after it */
	struct drain_freeze freeze;	/* the others are looked at when that one
					   goes on */
};

/* -ENOMEM. Undone by _fini, when nobody drains any more. */
int drainers_init(struct drainers *d, struct loop *loop);
void drainers_fini(struct drainers *d);

/* worker->drainage: made, -ENOMEM; and freed, NULL is fine. */
int drainers_join(struct drainers *d, struct worker *worker);
void drainers_leave(struct worker *worker);

/* It is DRAINING now, steered around: DRAINED is posted when it has nothing
   left. Once more is fine. */
void drainers_add(struct worker *worker);

/* It is not any more; whatever was being done about it ends. */
void drainers_remove(struct worker *worker);

/* drain_timeout has ended it: the line that says so. */
void drainers_log_timeout(const struct worker *worker);

#endif
