/*
 * What dead workers leave behind. clusterd is a subreaper: a descendant whose
 * parent dies becomes our child. Which worker it came from is told by its
 * process group, or, when it made a session of its own, by the
 * CLUSTERD_WORKER_ID in its environment.
 */
#ifndef DAEMON_WATCH_ORPHANS_H
#define DAEMON_WATCH_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "linux/loop/loop.h"
#include "linux/process/child_scan.h"

struct crew;
struct loop;
struct worker;
struct workers;

struct orphans {
	struct loop *loop;
	struct workers *workers;
	struct loop_timer sweep;	/* for what dead workers left behind */
	struct child_scan scan;		/* of a sweep */
	bool sweeping;			/* one is under way, in parts */
	bool again;			/* when it is over */
	pid_t *strangers;		/* children we had before we began */
	size_t n_strangers;
};

/* -ENOMEM. Undone by _fini. */
int orphans_init(struct orphans *o, struct loop *loop, struct workers *workers);
void orphans_fini(struct orphans *o);

/* Look for what dead workers left behind, soon. */
void orphans_sweep_soon(struct orphans *o);

/* Note the children that we already have: they are none of our business. */
void orphans_note_strangers(struct orphans *o);

/* This child is reaped: who gets its number is somebody else. */
void orphans_forget(struct orphans *o, pid_t pid);

/* Is there a child of ours, other than a worker, in this process group? */
bool orphans_in_group(struct orphans *o, pid_t pgid);

/* Has this worker, which has just died, left a living process behind? */
bool orphans_of(struct orphans *o, const struct worker *worker);

/* Has a worker of this app processes that are no descendants of it any more? */
bool orphans_of_crew(struct orphans *o, const struct crew *crew);

/* Kill every orphan; the number of those not reaped yet. */
size_t orphans_kill_all(struct orphans *o);

#endif
