/*
 * The plan of a rolling reload: what to do next, given what is there.
 *
 * Every seat is brought to the target configuration by starting its new worker
 * beside the old one, and stopping the old one when the new one is ready. The
 * first new worker is the canary: until it is ready nothing else starts. A new
 * worker that does not become ready aborts the rollout; what is done about the
 * seats that have changed over by then (a rollout back) is the caller's.
 *
 * Promises, which tests/unit/core/worker/test_rollout.c checks against random histories:
 * a ready worker is only retired for a ready successor, and never while
 * another seat that has changed over is down; never more than
 * seats + surge processes; it always ends.
 */
#ifndef CORE_ROLLOUT_H
#define CORE_ROLLOUT_H

#include <stdbool.h>
#include <stddef.h>

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
	enum rollout_next next;
};

struct rollout_view {
	const struct rollout_seat *seats;
	size_t n_seats;		/* all there are, wanted or not (new ones too) */
	size_t n_wanted;	/* how many the target wants, <= n_seats */
	size_t n_alive;		/* processes: present, new and retiring ones */
	unsigned surge;		/* >= 1 */
};

enum rollout_what {
	ROLLOUT_WAIT,		/* for something to happen */
	ROLLOUT_START,		/* start a new worker for `seat` */
	ROLLOUT_PROMOTE,	/* the new worker of `seat` takes it over, the
				   present one retires */
	ROLLOUT_ABORT,		/* `seat` has failed */
	ROLLOUT_TRIM,		/* the target does not want `seat`: retire */
	ROLLOUT_DONE,
};

struct rollout_decision {
	enum rollout_what what;
	size_t seat;
};

/*
 * Call again after carrying a decision out, until WAIT, ABORT or DONE. After
 * TRIM the seat must be gone from the view.
 */
struct rollout_decision rollout_decide(const struct rollout_view *view);

#endif
