/*
 * What dead workers leave behind. clusterd is a subreaper: a descendant whose
 * parent dies becomes our child. Which worker it came from is told by its
 * process group, or, when it made a session of its own, by the
 * CLUSTERD_WORKER_ID in its environment.
 */
#ifndef DAEMON_ORPHANS_H
#define DAEMON_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct app;
struct supervisor;
struct worker;

/* Note the children that we already have: they are none of our business. */
void orphans_note_strangers(struct supervisor *sup);

/* Is there a child of ours, other than a worker, in this process group? */
bool orphans_in_group(struct supervisor *sup, pid_t pgid);

/* Has this worker, which has just died, left a living process behind? */
bool orphans_of(struct supervisor *sup, const struct worker *worker);

/* Has a worker of this app processes that are no descendants of it any more? */
bool orphans_of_app(const struct app *app);

/* Kill the orphans whose worker is gone. */
void orphans_sweep(struct supervisor *sup);

/* Kill every orphan; the number of those not reaped yet. */
size_t orphans_kill_all(struct supervisor *sup);

#endif
