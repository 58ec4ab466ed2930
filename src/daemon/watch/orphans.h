/*
 * What dead workers leave behind. clusterd is a subreaper: a descendant whose
 * parent dies becomes our child. Which worker it came from is told by its
 * process group, or, when it made a session of its own, by the
 * CLUSTERD_WORKER_ID in its environment.
 *
 * Each gets the stop_signal of its worker's app, and SIGKILL after its
 * stop_timeout; or is left alone, as `orphans` says.
 */
#ifndef DAEMON_WATCH_ORPHANS_H
#define DAEMON_WATCH_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/mono.h"
#include "daemon/watch/legacies.h"
#include "linux/loop/loop.h"
#include "linux/process/child_scan.h"

struct loop;
struct orphan;
struct worker;
struct workers;

#define ORPHANS_CHAINS	64

struct orphans {
	struct loop *loop;
	struct workers *workers;
	struct loop_timer sweep;	/* for what dead workers left behind */
	struct loop_timer due;		/* somebody has had its stop_timeout */
	struct child_scan scan;		/* of a sweep */
	bool sweeping;			/* one is under way, in parts */
	bool again;			/* when it is over */
	bool swept;			/* it is, and the end has not seen it */
	bool disturbed;			/* children went meanwhile */
	bool ending;			/* no worker is left */
	bool takes_all;			/* whoever they came from */
	struct legacies legacies;	/* of dead workers, whose orphans there
					   may be */
	TAILQ_HEAD(, orphan) known;	/* those that were seen */
	struct orphan *by_pid[ORPHANS_CHAINS];
	bool keeps;			/* some app lets its own live */
	pid_t *strangers;		/* children we had before we began, or
					   that are spared */
	size_t n_strangers;
};

/* -ENOMEM. Undone by _fini, which waits for helpers, a second at most. */
int orphans_init(struct orphans *o, struct loop *loop, struct workers *workers);
void orphans_fini(struct orphans *o);

/*
 * The worker's process is dead, and still known by pid and serial. What of its
 * own process group is left has had the stop signal, or will not get one.
 */
void orphans_begin(struct orphans *o, const struct worker *worker);

/* Look for what dead workers left behind, soon. */
void orphans_sweep_soon(struct orphans *o);

/* Those that were seen, and have died without a word of it (there is no keeper any
   more) are forgotten. False: there are none. */
bool orphans_forget_ended(struct orphans *o);

/* This child, no worker, is dead and reaped: who gets its number is somebody
   else. */
void orphans_reaped(struct orphans *o, pid_t pid);

/* Note the children that we already have: they are none of our business. */
void orphans_note_strangers(struct orphans *o);

/* Those that supervisors before us had as helpers are gone, or killed and spared. */
void orphans_note_helpers(struct orphans *o);

/* This child of ours is none of them, until it is reaped. Without memory it may be
   taken for one. */
void orphans_spare(struct orphans *o, pid_t pid);

/*
 * The program ends, and no worker is left: all others are told to stop, whoever
 * they came from. To be asked again whenever one was reaped.
 */
enum orphans_left {
	ORPHANS_NONE,		/* but those that are to be left alone */
	ORPHANS_STOP,		/* they have their stop_timeout */
	ORPHANS_KILLED,		/* nothing more can be done about them */
};
enum orphans_left orphans_stop_all(struct orphans *o);

/* The same, at once. */
enum orphans_left orphans_kill_all(struct orphans *o);

/* ---- for orphans_look ---- */

/*
 * Call `fn` for every child that is neither a worker's leader nor was there
 * before us, until it returns false. False: the children cannot be listed.
 */
bool orphans_each(struct orphans *o,
    bool (*fn)(struct orphans *o, pid_t pid, void *ctx), void *ctx);

/* The serial of the worker that a process descends from; 0: not ours. */
uint64_t orphans_serial_of(const struct orphans *o, pid_t pid);

/* When a look that begins now is to end. */
struct mono orphans_budget(void);

#endif
