/*
 * The plan of a rolling reload: what to do next, given what is there.
 *
 * Every seat is brought to the target configuration by starting its new worker
 * beside the old one, and stopping the old one when the new one serves. The seat
 * of the oldest generation comes first. The first new worker is the canary: until
 * it has passed its trial (core/worker/trial) nothing else starts. The others
 * only have to be ready; but where one has kept clients waiting, each of them has
 * to show that it serves.
 *
 * A new worker that does not come so far aborts the rollout, and so does the
 * second death of those that have: the seats that have changed over by then go
 * back by another one. They go back to the newest configuration under which
 * somebody serves, be that in force yet or not.
 *
 * With a surge of 0 there is never one more than there are seats, nor two of one
 * seat: the old worker retires, and when it has gone the new one starts. With
 * more, nobody waits for the end of old workers that have nothing left to finish,
 * unless these are many: ROLLOUT_LEAVING of the seats. Where old workers turn out
 * to have nothing left as soon as they retire, that many new ones start beside
 * each other: one more for each old one of which this was seen.
 *
 * struct rollout is what has to be remembered of it; this file alone writes it.
 * The caller has the workers: it tells what they are like, seat by seat
 * (rollout_look()), asks what to do (rollout_decide()), does it, and reports
 * the end (rollout_abort(), rollout_done()).
 *
 * Promises, which test_rollout_histories.c checks against random histories: a
 * ready worker is only retired for a ready successor, the first one for one that
 * has passed its trial, and never while another seat that has changed over is
 * down; with a surge of 0 never two seats are down at a time; never more than
 * seats + surge processes, and beside these no more than rollout_leaving_max();
 * never a third death; it always ends.
 */
#ifndef CORE_WORKER_ROLLOUT_H
#define CORE_WORKER_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "core/worker/trial.h"
#include "core/worker/worker_fsm.h"

enum rollout_kind {
	ROLLOUT_NONE,		/* none is under way */
	ROLLOUT_RELOAD,		/* every seat gets a new worker */
	ROLLOUT_RESTART,	/* … or one, of the configuration in force */
	ROLLOUT_BACK,		/* after an abort, to what was before */
};

/* Of workers that had changed over; so many end a rollout. */
#define ROLLOUT_DEATHS 2

/* Zero-initialised when an app begins. */
struct rollout {
	enum rollout_kind kind;
	unsigned instance;	/* of ROLLOUT_RESTART */
	unsigned stable_wanted;	/* instances before it: an abort's number */
	unsigned deaths;	/* of workers that had changed over … */
	unsigned died;		/* … the last in this seat */
	unsigned idle;		/* old ones in a row that had nothing left */
};

/*
 * Begin: one that is under way is superseded. `wanted` is the number of
 * instances, in and out: one that was changed by hand stays, unless the
 * configuration's, from `before` to `after`, did change too.
 */
void rollout_begin(struct rollout *rollout, unsigned *wanted, unsigned before,
    unsigned after);

/* The seat's present worker, which has changed over, has died: ROLLOUT_DEATHS
   of them are one too many. */
void rollout_note_death(struct rollout *rollout, unsigned seat);

/* An old worker has nothing left to finish, or had until it was stopped; `soon`:
   as soon as that could be seen. */
#define ROLLOUT_SOON_MS	1000
void rollout_note_retired(struct rollout *rollout, bool soon);

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
	enum trial_verdict trial;	/* of one that is ready */
	unsigned generation;
	unsigned streak;	/* quick deaths in a row */
	bool relapsed;		/* worker_step_relapses(), and not ready since */
	bool outdated;		/* the rollout is to replace it, although it
				   runs under the target; of a new one: it
				   begins, and nobody reaches it */
	bool of_target;		/* its configuration is the target … */
	bool of_stable;		/* … or what is in force; both, when they are
				   the same */
	bool newer;		/* it is a later one than what is in force */
};

enum rollout_next {	/* the seat's new worker, beside the present one */
	ROLLOUT_NEXT_NONE,
	ROLLOUT_NEXT_IDLE,	/* it has its place, and is to be started */
	ROLLOUT_NEXT_STARTING,
	ROLLOUT_NEXT_TRIED,	/* ready, and somebody waits for it */
	ROLLOUT_NEXT_READY,	/* ready, and nobody has come yet */
	ROLLOUT_NEXT_SERVES,	/* … and somebody was served */
	ROLLOUT_NEXT_PASSED,	/* … and its trial is over */
	ROLLOUT_NEXT_FAILED,
	ROLLOUT_NEXT_OUTDATED,	/* it begins in vain: another one is to */
};

struct rollout_seat {
	bool on_target;		/* the present worker has the target config */
	bool ready;		/* the present worker is ready */
	bool final;		/* … needs no further work: it ended well */
	bool relapsed;		/* on target, had been ready, and has turned
				   out to be no good since */
	bool waits;		/* the present worker is dead, until its restart
				   is due, or its place free */
	bool alive;		/* the present worker has a process … */
	bool leaving;		/* … or one that was, and is not gone yet: for
				   the caller to set, if there is no surge */
	unsigned generation;	/* the present worker's; 0: nobody */
	bool changed;		/* it runs under the target, and may yet have to
				   be replaced */
	bool odd;		/* it runs under another configuration than the
				   one in force */
	bool newer;		/* … which is a later one, and it serves */
	enum rollout_next next;
};

/* A seat with its workers; NULL: none. */
struct rollout_seat rollout_look(const struct rollout *rollout, unsigned seat,
    const struct rollout_worker *present, const struct rollout_worker *next);

/* Does a worker in this state count in n_alive? */
bool rollout_takes_place(enum worker_state state);

/* Old workers that have nothing left to finish take no room beside so many
   seats, up to one of so many seats. */
#define ROLLOUT_LEAVING	16
size_t rollout_leaving_max(size_t n_seats, unsigned surge);

/* Is a retiring worker in this state one of them, if it has nothing left? */
bool rollout_leaves(enum worker_state state);

struct rollout_view {
	const struct rollout_seat *seats;
	size_t n_seats;		/* all there are, wanted or not (new ones too) */
	size_t n_wanted;	/* how many the target wants, <= n_seats */
	size_t n_alive;		/* present, new and retiring workers that
				   rollout_takes_place() … */
	size_t n_leaving;	/* … and of the retiring ones those that have
				   nothing left to finish, and
				   rollout_leaves() */
	unsigned surge;
	bool trial;		/* the first new worker is a canary … */
	bool alone;		/* … and there will be no other */
	bool slow;		/* a new worker has kept somebody waiting */
	bool unproven;		/* the target was never in force */
	unsigned deaths;	/* as in struct rollout */
	unsigned died;
	unsigned idle;
};

/* ---- what to do ---- */

enum rollout_what {
	ROLLOUT_WAIT,		/* for something to happen */
	ROLLOUT_START,		/* start a new worker for `seat`, or the one
				   that is IDLE; with `stop` its present one is
				   stopped first */
	ROLLOUT_VACATE,		/* the present worker of `seat` retires, and its
				   new one is IDLE */
	ROLLOUT_PROMOTE,	/* the new worker of `seat` takes it over, the
				   present one retires */
	ROLLOUT_DROP,		/* the new worker of `seat`, which the target
				   does not want, or which is OUTDATED, retires */
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
	ROLLOUT_RETURNS,	/* another rollout, ROLLOUT_BACK, has begun: to
				   what is in force … */
	ROLLOUT_TURNS,		/* … or to what the worker of seat `odd` runs
				   under, which serves */
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
 * the rollout began. *wanted becomes what it was then. After ROLLOUT_TURNS the
 * caller may have it otherwise, as that configuration says.
 */
struct rollout_aborted rollout_abort(struct rollout *rollout, unsigned *wanted,
    const struct rollout_view *view, bool over);

/* ROLLOUT_DONE was decided: the target is in force from now on. Returns what it
   was. */
enum rollout_kind rollout_done(struct rollout *rollout);

#endif
