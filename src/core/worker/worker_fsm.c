#include <assert.h>
#include <stddef.h>

#include "core/conf/conf.h"
#include "core/worker/worker_fsm.h"

/* How often a retiring worker that dies is started again for those who wait. */
#define RESCUES_MAX 5

struct step_args {
	struct worker_fsm *fsm;
	const struct conf_app *app;
	const struct worker_facts *facts;
	struct worker_step *step;
};

typedef void cell_fn(const struct step_args *);

static void
go(const struct step_args *a, enum worker_state to, enum worker_reason why,
    struct mono deadline)
{
	a->fsm->state = to;
	a->fsm->deadline = deadline;
	a->step->why = why;
}

static void
cell_ignore(const struct step_args *a)
{
	(void)a;
}

static void
cell_start(const struct step_args *a)
{
	a->fsm->executed = a->facts->now;
	a->fsm->said = false;
	a->step->spawn = true;
	/* Executing may hang too (a dead file server), hence a deadline. */
	go(a, WORKER_EXECING, WORKER_WHY_NOTHING,
	    mono_add_ms(a->facts->now, a->app->ready_timeout_ms));
}

static void
cell_fork_failed(const struct step_args *a)
{
	if (a->fsm->trial) {
		go(a, WORKER_FAILED, WORKER_WHY_TRIAL, MONO_NEVER);
		return;
	}
	a->step->delay_ms = restart_delay(a->app, &a->fsm->history,
	    a->facts->dice);
	go(a, WORKER_BACKOFF, WORKER_WHY_NO_FORK,
	    mono_add_ms(a->facts->now, a->step->delay_ms));
}

/* Is to stay alive for a while all that makes a worker of this app ready? */
static bool
alive_is_enough(const struct conf_app *app)
{
	return app->ready == CONF_READY_ALIVE ||
	    (app->ready == CONF_READY_AUTO && app->n_listens == 0);
}

static void
cell_executed(const struct step_args *a)
{
	int64_t wait_ms = a->app->ready_timeout_ms;

	if (alive_is_enough(a->app) && a->app->ready_alive_ms < wait_ms)
		wait_ms = a->app->ready_alive_ms;
	a->fsm->executed = a->facts->now;
	go(a, WORKER_STARTING, WORKER_WHY_NOTHING,
	    mono_add_ms(a->facts->now, wait_ms));
}

static void cell_drain(const struct step_args *a);

static void
become_ready(const struct step_args *a, enum worker_reason why)
{
	if (a->fsm->retiring) {
		cell_drain(a);
		return;
	}
	go(a, WORKER_READY, why, MONO_NEVER);
}

/*
 * With `ready = accept` only what is seen counts, not what is said. Many say it
 * before anybody serves: a master before its first child, an application server
 * before it has loaded the application.
 */
static void
cell_notified(const struct step_args *a)
{
	if (a->app->ready == CONF_READY_ACCEPT ||
	    a->app->ready == CONF_READY_HEALTH)
		return;
	if (a->app->n_listens == 0)
		become_ready(a, WORKER_WHY_NOTIFIED);
	else
		a->fsm->said = true;
}

/*
 * READY=1 can overtake the end of the exec pipe: both wait in their queues and
 * the loop takes them in any order. Only the program itself can have sent it.
 */
static void
cell_notified_early(const struct step_args *a)
{
	if (a->app->ready == CONF_READY_ACCEPT ||
	    a->app->ready == CONF_READY_HEALTH)
		return;
	cell_executed(a);
	cell_notified(a);
}

static void
cell_waits(const struct step_args *a)
{
	if (a->app->ready == CONF_READY_AUTO ||
	    a->app->ready == CONF_READY_ACCEPT)
		become_ready(a, WORKER_WHY_WAITS);
	else if (a->fsm->said)
		become_ready(a, WORKER_WHY_NOTIFIED_WAITS);
}

static void
cell_healthy(const struct step_args *a)
{
	if (a->app->ready == CONF_READY_HEALTH)
		become_ready(a, WORKER_WHY_HEALTHY);
}

/* As READY=1, WATCHDOG=1 can overtake the end of the exec pipe. */
static void
cell_healthy_early(const struct step_args *a)
{
	if (a->app->ready != CONF_READY_HEALTH)
		return;
	cell_executed(a);
	cell_healthy(a);
}

/* As systemd does it: a time that is longer already stays as it is. */
static void
cell_extend(const struct step_args *a)
{
	if (mono_before(a->fsm->deadline, a->facts->extended))
		a->fsm->deadline = a->facts->extended;
}

/* Not the time that makes it ready. */
static void
cell_extend_start(const struct step_args *a)
{
	if (!alive_is_enough(a->app))
		cell_extend(a);
}

static void
cell_extend_early(const struct step_args *a)
{
	cell_executed(a);
	cell_extend_start(a);
}

/* Then what it says is all there is. */
static void
cell_blind(const struct step_args *a)
{
	if (a->fsm->said)
		become_ready(a, WORKER_WHY_NOTIFIED);
}

static void
cell_kill_exec_timeout(const struct step_args *a)
{
	a->step->send_kill = true;
	go(a, WORKER_KILLED, WORKER_WHY_READY_TIMEOUT, MONO_NEVER);
}

static void
cell_kill_unseen(const struct step_args *a)
{
	a->step->send_kill = true;
	go(a, WORKER_KILLED, WORKER_WHY_NEVER_WAITED, MONO_NEVER);
}

/* Who cannot be seen may serve all the same; but not in the place of somebody
   whose like could be seen. */
static void
cell_starting_deadline(const struct step_args *a)
{
	if (alive_is_enough(a->app))
		become_ready(a, WORKER_WHY_ALIVE);
	else if (a->app->ready != CONF_READY_AUTO && !a->fsm->said)
		cell_kill_exec_timeout(a);
	else if (a->fsm->trial && a->facts->seen_before)
		cell_kill_unseen(a);
	else
		become_ready(a, WORKER_WHY_UNSEEN);
}

static void
send_stop(const struct step_args *a, enum worker_reason why)
{
	a->fsm->unwanted = true;
	a->step->send_stop = true;
	go(a, WORKER_STOPPING, why,
	    mono_add_ms(a->facts->now, a->app->stop_timeout_ms));
}

static void
cell_stop(const struct step_args *a)
{
	a->fsm->retiring = false;
	send_stop(a, WORKER_WHY_ASKED);
}

static void
cell_drained(const struct step_args *a)
{
	send_stop(a, WORKER_WHY_DRAINED);
}

static void
cell_drain_timeout(const struct step_args *a)
{
	if (a->facts->ends)
		a->fsm->retiring = false;
	send_stop(a, WORKER_WHY_DRAIN_TIMEOUT);
}

/* Without listeners there is nothing to see of what it does. */
static void
cell_drain(const struct step_args *a)
{
	int64_t wait_ms = a->app->drain_timeout_ms;

	a->fsm->unwanted = true;
	a->fsm->retiring = true;
	a->fsm->trial = false;
	/* Who was started for those who wait serves them before it goes. */
	if (wait_ms == 0 && a->fsm->rescues > 0)
		wait_ms = a->app->stop_timeout_ms;
	if (wait_ms == 0 || a->app->n_listens == 0)
		send_stop(a, WORKER_WHY_ASKED);
	else
		go(a, WORKER_DRAINING, WORKER_WHY_RETIRING,
		    mono_add_ms(a->facts->now, wait_ms));
}

static void
cell_kill(const struct step_args *a)
{
	a->fsm->retiring = false;
	a->fsm->unwanted = true;
	a->step->send_kill = true;
	go(a, WORKER_KILLED, WORKER_WHY_ASKED, MONO_NEVER);
}

static void
cell_stop_timeout(const struct step_args *a)
{
	a->step->send_kill = true;
	go(a, WORKER_KILLED, WORKER_WHY_STOP_TIMEOUT, MONO_NEVER);
}

static void
cell_passed(const struct step_args *a)
{
	a->fsm->trial = false;
}

/* No process is there: an unwanted seat is simply over. */
static void
cell_give_up(const struct step_args *a)
{
	a->fsm->retiring = false;
	a->fsm->unwanted = true;
	go(a, WORKER_ENDED, WORKER_WHY_ASKED, MONO_NEVER);
}

/* A kill that is under way already: only remember that nobody wants it. */
static void
cell_unwanted(const struct step_args *a)
{
	a->fsm->retiring = false;
	a->fsm->unwanted = true;
}

/* It is not ready, but clients may wait for it: of its last process, or, while
   the old one has made room for it, its own. These its successor serves, if one
   is to come. A first start is no restart. */
static bool
goes_on_for_others(const struct step_args *a)
{
	if ((!a->facts->waiting && !a->fsm->retiring) ||
	    (a->fsm->trial && !a->facts->no_successor) ||
	    (a->app->restart == CONF_RESTART_NEVER && !a->fsm->retiring &&
		a->fsm->state != WORKER_IDLE))
		return false;
	a->fsm->unwanted = a->fsm->retiring = true;
	a->fsm->trial = false;
	return true;
}

static void
rescue(const struct step_args *a)
{
	a->fsm->rescues++;
	cell_start(a);
	a->step->why = WORKER_WHY_RESCUE;
}

static void
cell_retire_execing(const struct step_args *a)
{
	if (!goes_on_for_others(a))
		cell_kill(a);
}

static void
cell_retire_starting(const struct step_args *a)
{
	if (!goes_on_for_others(a))
		cell_stop(a);
}

static void
cell_retire_killed(const struct step_args *a)
{
	if (!goes_on_for_others(a))
		cell_unwanted(a);
}

static void
cell_retire_without_process(const struct step_args *a)
{
	if (a->fsm->rescues < RESCUES_MAX && goes_on_for_others(a))
		rescue(a);
	else
		cell_give_up(a);
}

static void
cell_exited(const struct step_args *a)
{
	struct worker_fsm *fsm = a->fsm;
	struct restart_decision d;

	if (fsm->retiring && a->facts->waiting &&
	    a->app->restart != CONF_RESTART_NEVER &&
	    fsm->rescues < RESCUES_MAX) {
		rescue(a);
		return;
	}
	if (fsm->unwanted) {
		go(a, WORKER_ENDED, WORKER_WHY_ASKED, MONO_NEVER);
		return;
	}
	if (fsm->trial) {
		/* A job that ended well has done all that was asked of it; a
		   server that ends does not serve. */
		if (a->app->restart != CONF_RESTART_ALWAYS &&
		    !a->facts->failure && a->app->n_listens == 0)
			go(a, WORKER_ENDED, WORKER_WHY_POLICY, MONO_NEVER);
		else
			go(a, WORKER_FAILED, WORKER_WHY_TRIAL, MONO_NEVER);
		return;
	}
	d = restart_decide(a->app, &fsm->history, a->facts->failure,
	    mono_ms_between(fsm->executed, a->facts->now), a->facts->now,
	    a->facts->dice);
	switch (d.verdict) {
	case RESTART_END:
		go(a, a->facts->failure ? WORKER_FAILED : WORKER_ENDED,
		    WORKER_WHY_POLICY, MONO_NEVER);
		break;
	case RESTART_PARK:
		go(a, WORKER_PARKED, WORKER_WHY_LIMIT, MONO_NEVER);
		break;
	case RESTART_AGAIN:
		a->step->delay_ms = d.delay_ms;
		if (d.delay_ms == 0)
			cell_start(a);
		else
			go(a, WORKER_BACKOFF, WORKER_WHY_AGAIN,
			    mono_add_ms(a->facts->now, d.delay_ms));
		a->step->why = WORKER_WHY_AGAIN;
		break;
	}
}

/* One row per state; a test fails on a cell that is not written out. */
static cell_fn *const cells[WORKER_STATES][WORKER_EVENTS] = {
	[WORKER_IDLE] = {
		[WORKER_EV_START] = cell_start,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_ignore,
		[WORKER_EV_EXTEND] = cell_ignore,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_ignore,
		[WORKER_EV_DEADLINE] = cell_ignore,
		[WORKER_EV_EXITED] = cell_ignore,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_retire_without_process,
		[WORKER_EV_DRAINED] = cell_ignore,
		[WORKER_EV_STOP] = cell_give_up,
		[WORKER_EV_KILL] = cell_give_up,
	},
	[WORKER_EXECING] = {
		[WORKER_EV_START] = cell_ignore,
		[WORKER_EV_FORK_FAILED] = cell_fork_failed,
		[WORKER_EV_EXECUTED] = cell_executed,
		[WORKER_EV_NOTIFY_READY] = cell_notified_early,
		[WORKER_EV_EXTEND] = cell_extend_early,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_healthy_early,
		[WORKER_EV_DEADLINE] = cell_kill_exec_timeout,
		[WORKER_EV_EXITED] = cell_exited,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_retire_execing,
		[WORKER_EV_DRAINED] = cell_ignore,
		/* The program never ran, there is nothing to finish; and the
		   stop signal might be one that is ignored by default. */
		[WORKER_EV_STOP] = cell_kill,
		[WORKER_EV_KILL] = cell_kill,
	},
	[WORKER_STARTING] = {
		[WORKER_EV_START] = cell_ignore,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_notified,
		[WORKER_EV_EXTEND] = cell_extend_start,
		[WORKER_EV_WAITS] = cell_waits,
		[WORKER_EV_BLIND] = cell_blind,
		[WORKER_EV_HEALTHY] = cell_healthy,
		[WORKER_EV_DEADLINE] = cell_starting_deadline,
		[WORKER_EV_EXITED] = cell_exited,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_retire_starting,
		[WORKER_EV_DRAINED] = cell_ignore,
		[WORKER_EV_STOP] = cell_stop,
		[WORKER_EV_KILL] = cell_kill,
	},
	[WORKER_READY] = {
		[WORKER_EV_START] = cell_ignore,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_ignore,
		[WORKER_EV_EXTEND] = cell_ignore,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_ignore,
		[WORKER_EV_DEADLINE] = cell_ignore,
		[WORKER_EV_EXITED] = cell_exited,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_drain,
		[WORKER_EV_DRAINED] = cell_ignore,
		[WORKER_EV_STOP] = cell_stop,
		[WORKER_EV_KILL] = cell_kill,
	},
	[WORKER_DRAINING] = {
		[WORKER_EV_START] = cell_ignore,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_ignore,
		[WORKER_EV_EXTEND] = cell_ignore,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_ignore,
		[WORKER_EV_DEADLINE] = cell_drain_timeout,
		[WORKER_EV_EXITED] = cell_exited,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_ignore,
		[WORKER_EV_DRAINED] = cell_drained,
		[WORKER_EV_STOP] = cell_stop,
		[WORKER_EV_KILL] = cell_kill,
	},
	[WORKER_STOPPING] = {
		[WORKER_EV_START] = cell_ignore,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_ignore,
		[WORKER_EV_EXTEND] = cell_extend,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_ignore,
		[WORKER_EV_DEADLINE] = cell_stop_timeout,
		[WORKER_EV_EXITED] = cell_exited,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_ignore,
		[WORKER_EV_DRAINED] = cell_ignore,
		[WORKER_EV_STOP] = cell_unwanted,
		[WORKER_EV_KILL] = cell_kill,
	},
	[WORKER_KILLED] = {
		[WORKER_EV_START] = cell_ignore,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_ignore,
		[WORKER_EV_EXTEND] = cell_ignore,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_ignore,
		[WORKER_EV_DEADLINE] = cell_ignore,
		[WORKER_EV_EXITED] = cell_exited,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_retire_killed,
		[WORKER_EV_DRAINED] = cell_ignore,
		[WORKER_EV_STOP] = cell_unwanted,
		[WORKER_EV_KILL] = cell_unwanted,
	},
	[WORKER_BACKOFF] = {
		[WORKER_EV_START] = cell_start,
		[WORKER_EV_FORK_FAILED] = cell_ignore,
		[WORKER_EV_EXECUTED] = cell_ignore,
		[WORKER_EV_NOTIFY_READY] = cell_ignore,
		[WORKER_EV_EXTEND] = cell_ignore,
		[WORKER_EV_WAITS] = cell_ignore,
		[WORKER_EV_BLIND] = cell_ignore,
		[WORKER_EV_HEALTHY] = cell_ignore,
		[WORKER_EV_DEADLINE] = cell_start,
		[WORKER_EV_EXITED] = cell_ignore,
		[WORKER_EV_PASSED] = cell_passed,
		[WORKER_EV_RETIRE] = cell_retire_without_process,
		[WORKER_EV_DRAINED] = cell_ignore,
		[WORKER_EV_STOP] = cell_give_up,
		[WORKER_EV_KILL] = cell_give_up,
	},
#define FINAL_ROW {						\
		[WORKER_EV_START] = cell_ignore,		\
		[WORKER_EV_FORK_FAILED] = cell_ignore,		\
		[WORKER_EV_EXECUTED] = cell_ignore,		\
		[WORKER_EV_NOTIFY_READY] = cell_ignore,		\
		[WORKER_EV_EXTEND] = cell_ignore,		\
		[WORKER_EV_WAITS] = cell_ignore,		\
		[WORKER_EV_BLIND] = cell_ignore,		\
		[WORKER_EV_HEALTHY] = cell_ignore,		\
		[WORKER_EV_DEADLINE] = cell_ignore,		\
		[WORKER_EV_EXITED] = cell_ignore,		\
		[WORKER_EV_PASSED] = cell_passed,		\
		[WORKER_EV_RETIRE] = cell_ignore,		\
		[WORKER_EV_DRAINED] = cell_ignore,		\
		[WORKER_EV_STOP] = cell_ignore,			\
		[WORKER_EV_KILL] = cell_ignore,			\
	}
	[WORKER_PARKED] = FINAL_ROW,
	[WORKER_ENDED] = FINAL_ROW,
	[WORKER_FAILED] = FINAL_ROW,
};

struct worker_step
worker_fsm_step(struct worker_fsm *fsm, const struct conf_app *app,
    enum worker_event event, const struct worker_facts *facts)
{
	struct worker_step step = { .from = fsm->state };
	const struct step_args args = {
		.fsm = fsm, .app = app, .facts = facts, .step = &step,
	};

	assert(fsm->state < WORKER_STATES && event < WORKER_EVENTS);
	assert(cells[fsm->state][event] != NULL);
	cells[fsm->state][event](&args);
	step.to = fsm->state;
	return step;
}

void
worker_fsm_free(struct worker_fsm *fsm)
{
	restart_free(&fsm->history);
}

bool
worker_step_relapses(const struct worker_step *step, bool was_ready)
{
	return was_ready && (step->from == WORKER_EXECING ||
	    step->from == WORKER_STARTING || step->from == WORKER_KILLED) &&
	    (step->to == WORKER_BACKOFF || step->why == WORKER_WHY_AGAIN);
}

bool
worker_state_alive(enum worker_state state)
{
	switch (state) {
	case WORKER_EXECING:
	case WORKER_STARTING:
	case WORKER_READY:
	case WORKER_DRAINING:
	case WORKER_STOPPING:
	case WORKER_KILLED:
		return true;
	default:
		return false;
	}
}

bool
worker_state_final(enum worker_state state)
{
	return state == WORKER_PARKED || state == WORKER_ENDED ||
	    state == WORKER_FAILED;
}
