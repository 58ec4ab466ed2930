/*
 * The plan of a rolling reload: what to do next, given what is there.
 *
 * Every seat is brought to the target configuration by starting its new worker
 * beside the old one, and stopping the old one when the new one is ready. The
 * first new worker is the canary: until it is ready nothing else starts. A new
 * worker that does not become ready aborts the rollout; the seats that have
 * changed over by then go back by another one.
 *
 * struct rollout is what has to be remembered of it; this file alone writes it.
 * The caller has the workers: it tells what they are like, seat by seat
 * (rollout_look()), asks what to do (rollout_decide()), does it, and reports
 * the end (rollout_abort(), rollout_done()).
 *
 * Promises, which test_rollout_histories.c checks against random histories: a
 * ready worker is only retired for a ready successor, and never while another
 * seat that has changed over is down; never more than seats + surge processes;
 * it always ends.
 */
#ifndef CORE_WORKER_ROLLOUT_H
#define CORE_WORKER_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/worker/worker_fsm.h"

enum rollout_kind {
	ROLLOUT_NONE,		/* none is under way */
	ROLLOUT_RELOAD,		/* every seat gets a new worker */
	ROLLOUT_RESTART,	/* … or one, of the configuration in force */
	ROLLOUT_BACK,		/* after an abort, to what is in force */
};

/* Zero-initialised when an app begins. */
struct rollout {
	enum rollout_kind kind;
	unsigned instance;	/* of ROLLOUT_RESTART */
	unsigned stable_wanted;	/* instances before it: an abort's number */
};

/*
 * Begin: one that is under way is superseded. `wanted` is the number of
 * instances, in and out: one that was changed by hand stays, unless the
 * configuration's, from `before` to `after`, did change too.
 */
void rollout_begin(struct rollout *rollout, unsigned *wanted, unsigned before,
    unsigned after);

/* Begin one of a single instance; none may be under way. */
void rollout_begin_restart(struct rollout *rollout, unsigned instance,
    unsigned wanted);

/* So many instances more or less, now and after an abort, within what is
   allowed. False: *wanted is what it was. */
bool rollout_scale(struct rollout *rollout, unsigned *wanted, int by);

/* ---- what there is ---- */

/* A worker, as its app knows it. */
struct rollout_worker {
	enum worker_state state;
	unsigned streak;	/* quick deaths in a row */
	bool relapsed;		/* worker_step_relapses(), and not ready since */
	bool outdated;		/* the rollout is to replace it, although it
				   runs under the target */
	bool of_target;		/* its configuration is the target … */
	bool of_stable;		/* … or what is in force; both, when they are
				   the same */
};

enum rollout_next {	/* the seat's new worker, beside the present one */
	ROLLOUT_NEXT_NONE,
	ROLLOUT_NEXT_STARTING,
	ROLLOUT_NEXT_READY,
	ROLLOUT_NEXT_FAILED,
};

struct rollout_seat {
	bool on_target;		/* the present worker has the target config */
	bool ready;		/* the present worker is ready */
	bool final;		/* … needs no further work: it ended well */
	bool relapsed;		/* on target, had been ready, and has turned
				   out to be no good since */
	bool waits;		/* the present worker is dead, until its restart
				   is due */
	bool changed;		/* it runs under the target, and may yet have to
				   be replaced */
	bool odd;		/* it runs under another configuration than the
				   one in force */
	enum rollout_next next;
};

/* A seat with its workers; NULL: none. */
struct rollout_seat rollout_look(const struct rollout *rollout, unsigned seat,
    const struct rollout_worker *present, const struct rollout_worker *next);

/* Does a worker in this state count in n_alive? */
bool rollout_takes_place(enum worker_state state);

struct rollout_view {
	const struct rollout_seat *seats;
	size_t n_seats;		/* all there are, wanted or not (new ones too) */
	size_t n_wanted;	/* how many the target wants, <= n_seats */
	size_t n_alive;		/* present, new and retiring workers that
				   rollout_takes_place() */
	unsigned surge;		/* >= 1 */
};

/* ---- what to do ---- */

enum rollout_what {
	ROLLOUT_WAIT,		/* for something to happen */
	ROLLOUT_START,		/* start a new worker for `seat`; with `stop`
				   its present one is stopped first */
	ROLLOUT_PROMOTE,	/* the new worker of `seat` takes it over, the
				   present one retires */
	ROLLOUT_ABORT,		/* `seat` has failed */
	ROLLOUT_TRIM,		/* the target does not want `seat`: retire */
	ROLLOUT_DONE,
};

struct rollout_decision {
	enum rollout_what what;
	size_t seat;
	bool stop;
};

/*
 * Call again after carrying a decision out, until WAIT, ABORT or DONE. After
 * TRIM the seat must be gone from the view.
 */
struct rollout_decision rollout_decide(const struct rollout_view *view);

/* ---- its end ---- */

enum rollout_after {	/* an abort; new workers retire in any case */
	ROLLOUT_STAYS,		/* nothing is to be undone */
	ROLLOUT_RETURNS,	/* another rollout, ROLLOUT_BACK, has begun:
				   its target is what is in force */
	ROLLOUT_ADOPTS,		/* what was in force had ended: in force is
				   what the worker of seat `odd` runs under */
	ROLLOUT_GIVES_UP,	/* it was the way back: seats stay as they are */
};

struct rollout_aborted {
	enum rollout_after after;
	size_t odd;
	bool leave;	/* the target has nobody: its listeners close */
};

/*
 * ROLLOUT_ABORT was decided for this view. `over`: every seat had ended before
 * the rollout began. *wanted becomes what it was then.
 */
struct rollout_aborted rollout_abort(struct rollout *rollout, unsigned *wanted,
    const struct rollout_view *view, bool over);

/* ROLLOUT_DONE was decided. Returns what it was; after ROLLOUT_BACK what is in
   force stays so, else it is the target from now on. */
enum rollout_kind rollout_done(struct rollout *rollout);

#endif
