/*
 * The life of a worker, as a table of state × event.
 *
 * A machine stands for one seat's occupant under one configuration; the
 * process behind it changes with every restart. It starts in IDLE.
 *
 *   IDLE      nothing was started yet
 *   EXECING   forked; the program is not executed yet
 *   STARTING  executed, and not ready
 *   READY     serves
 *   DRAINING  retires: serves what it has and what waits for it, and gets
 *             nothing new; at the deadline it is stopped
 *   STOPPING  has the stop signal; at the deadline it is killed
 *   KILLED    has SIGKILL; its exit is awaited, without a deadline
 *   BACKOFF   dead; started again at the deadline
 *   PARKED    dead, restart_limit reached               (final)
 *   ENDED     stopped as asked, or the policy wants no
 *             restart of an exit that was no failure    (final)
 *   FAILED    died and is not to be restarted           (final)
 *
 * A machine `on trial` is a reload's new worker that has not taken its seat yet:
 * whatever goes wrong then makes it FAILED, and the reload decides. PASSED ends
 * the trial; so does a good end of a job that the restart policy does not mind.
 *
 * Where a worker has listeners, that it says READY=1 is not enough: it has to
 * be seen to wait for connections too, unless that cannot be seen.
 *
 * A machine that retires (RETIRE) is not wanted any more. Should its process
 * die while clients wait in a queue that nobody else can serve, it is started
 * again for them, and goes on draining.
 *
 * A step decides only; daemon/life carries its effects out, and gives what
 * comes of them back as further events. This file is the only writer of the
 * state.
 */
#ifndef CORE_WORKER_WORKER_FSM_H
#define CORE_WORKER_WORKER_FSM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/worker/restart.h"

struct conf_app;

enum worker_state {
	WORKER_IDLE,
	WORKER_EXECING,
	WORKER_STARTING,
	WORKER_READY,
	WORKER_DRAINING,
	WORKER_STOPPING,
	WORKER_KILLED,
	WORKER_BACKOFF,
	WORKER_PARKED,
	WORKER_ENDED,
	WORKER_FAILED,
	WORKER_STATES
};

/* In the order in which those of one turn are taken: what may be a sign of life
   before deadlines, and what somebody wants last. */
enum worker_event {
	WORKER_EV_START,	/* begin */
	WORKER_EV_FORK_FAILED,	/* the spawn effect could not be carried out */
	WORKER_EV_EXECUTED,	/* the program runs */
	WORKER_EV_NOTIFY_READY,	/* READY=1 came from the worker */
	WORKER_EV_WAITS,	/* it is seen to wait for connections */
	WORKER_EV_BLIND,	/* whether it does cannot be seen */
	WORKER_EV_HEALTHY,	/* a check went well */
	WORKER_EV_DRAINED,	/* it has finished */
	WORKER_EV_DEADLINE,	/* the deadline of the last step has passed */
	WORKER_EV_EXITED,	/* the process is dead and reaped */
	WORKER_EV_PASSED,	/* its trial is over, the seat is its own */
	WORKER_EV_RETIRE,	/* finish, then be gone */
	WORKER_EV_STOP,		/* be gone, with the stop signal */
	WORKER_EV_KILL,		/* be gone, at once */
	WORKER_EVENTS
};

/* What happened, beside the event's name. */
struct worker_facts {
	struct mono now;
	uint32_t dice;		/* any random number */
	bool failure;		/* EXITED: exit code or signal is a failure */
	bool waiting;		/* EXITED, RETIRE: clients wait whom nobody else
				   can serve */
	bool no_successor;	/* RETIRE: nobody comes in its place, who would
				   serve those that wait for one on trial */
	bool ends;		/* DEADLINE: the program does, and nobody whose
				   time is over is started again */
	bool seen_before;	/* DEADLINE: those of the configuration in force
				   were seen to wait for connections */
	bool unanswered;	/* DEADLINE: when it was last to be seen whether
				   it waits, there was no answer, and not for
				   its sake */
};

struct worker_fsm {
	enum worker_state state;
	bool trial;
	bool said;		/* READY=1 came from the present process, which
				   is not ready by that */
	bool unwanted;		/* RETIRE, STOP or KILL came: an exit is final,
				   but for those who wait */
	bool retiring;		/* RETIRE came, and no STOP or KILL since */
	unsigned rescues;	/* starts for the sake of who waits */
	struct mono executed;	/* when the present process was executed, or
				   forked if it never got so far */
	struct mono deadline;	/* MONO_NEVER: none */
	struct restart_history history;
};

#define WORKER_FSM_INIT { .state = WORKER_IDLE, .deadline = MONO_NEVER }

/* Why a step went where it went; worker_words.h has the words. */
enum worker_reason {
	WORKER_WHY_NOTHING,
	WORKER_WHY_NOTIFIED,		/* ready: it said so */
	WORKER_WHY_NOTIFIED_WAITS,	/* ready: … and waits for connections */
	WORKER_WHY_WAITS,		/* ready: it waits for connections */
	WORKER_WHY_HEALTHY,		/* ready: it was found well */
	WORKER_WHY_ALIVE,		/* ready: it lived long enough */
	WORKER_WHY_UNSEEN,		/* ready: lived until ready_timeout */
	WORKER_WHY_READY_TIMEOUT,	/* killed */
	WORKER_WHY_NEVER_WAITED,	/* killed: as those before it did */
	WORKER_WHY_STOP_TIMEOUT,	/* killed */
	WORKER_WHY_DRAIN_TIMEOUT,	/* stopped, with connections open */
	WORKER_WHY_RETIRING,		/* draining */
	WORKER_WHY_DRAINED,		/* stopped, has nothing left to do */
	WORKER_WHY_RESCUE,		/* started for those who wait */
	WORKER_WHY_ASKED,		/* stop or kill was asked for */
	WORKER_WHY_AGAIN,		/* restarting, after delay_ms */
	WORKER_WHY_LIMIT,		/* parked */
	WORKER_WHY_POLICY,		/* the policy wants no restart */
	WORKER_WHY_TRIAL,		/* died on trial */
	WORKER_WHY_NO_FORK,		/* the start could not be made */
	WORKER_REASONS
};

/* The effects of one step. */
struct worker_step {
	enum worker_state from;
	enum worker_state to;
	enum worker_reason why;
	bool spawn;		/* fork and execute the program */
	bool send_stop;		/* stop_signal to the worker's group */
	bool send_kill;		/* SIGKILL to the worker's group */
	int64_t delay_ms;	/* WHY_AGAIN, WHY_NO_FORK: until the start */
};

/*
 * Take one event. `app` is the configuration that the worker runs under and
 * must be the same one for the machine's whole life.
 */
struct worker_step worker_fsm_step(struct worker_fsm *fsm,
    const struct conf_app *app, enum worker_event event,
    const struct worker_facts *facts);

void worker_fsm_free(struct worker_fsm *fsm);

/* Has a start failed that came after the worker had been ready? */
bool worker_step_relapses(const struct worker_step *step, bool was_ready);

/* Is there a process (or was one just asked for)? */
bool worker_state_alive(enum worker_state state);

/* Will nothing happen any more unless a new machine takes the seat? */
bool worker_state_final(enum worker_state state);

#endif
