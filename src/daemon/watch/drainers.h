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

#include "daemon/watch/look_queue.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"

struct app_spec;
struct drainage;
struct loop;
struct worker;

/* Of so many apps that drain at the same time the lists have gaps between them. */
#define DRAINERS_LISTS	8

struct drainers_list {
	const struct app_spec *of;	/* whose workers it was for; they may
					   be gone */
	struct mono next;		/* when the next one may be */
};

/* One look at a time; those who have the same listeners and are due together have
   one between them, of what the kernel has to tell. */
struct drainers {
	struct look_queue looks;
	size_t n;			/* who drains */
	struct sockdiag diag;
	struct connections look;
	struct mono began;		/* the look */
	struct mono listed;		/* … when the kernel had told all of it;
					   or never */
	struct drainers_list lists[DRAINERS_LISTS];	/* the latest */
	bool unlisted;			/* the last one came not so far */
	struct mono spell_ends;
	struct drainage *at;		/* who is being looked at, or NULL … */
	TAILQ_HEAD(, drainage) batch;	/* … and those for whom it is, too */
	struct drainage *frozen;	/* who stands still, or NULL: the others
					   are looked at when it goes on */
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
