#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/conf/conf.h"
#include "core/worker/worker_fsm.h"
#include "core/worker/worker_words.h"

#define DELAY_MS	100
#define RESET_MS	10000
#define ALIVE_MS	700
#define READY_MS	60000
#define STOP_MS		9000
#define DRAIN_MS	12000
#define RESCUES		5	/* as in core/worker/worker_fsm.c */
#define EVEN		100	/* dice without jitter */

static struct conf_app
config(enum conf_ready ready, enum conf_restart restart)
{
	return (struct conf_app){
		.restart = restart,
		.restart_delay_ms = DELAY_MS,
		.restart_delay_max_ms = 30000,
		.restart_reset_ms = RESET_MS,
		.ready = ready,
		.ready_alive_ms = ALIVE_MS,
		.ready_timeout_ms = READY_MS,
		.stop_timeout_ms = STOP_MS,
		.drain_timeout_ms = DRAIN_MS,
	};
}

static const struct mono start = { .ns = 86400 * INT64_C(1000000000) };

static struct mono
at(int64_t ms)
{
	return mono_add_ms(start, ms);
}

/* ---- the whole table, once more ---- */

enum effect { NOTHING, SPAWN, STOP, KILL };

enum deadline {
	SAME,		/* as before */
	NONE,
	IN_READY,	/* ready_timeout from now */
	IN_ALIVE,	/* ready = alive:DURATION from now */
	IN_STOP,	/* stop_timeout from now */
	IN_DRAIN,	/* drain_timeout from now */
	IN_DELAY,	/* the restart's delay from now */
};

#define EXECUTED	1	/* `executed` is now */
#define UNWANTED	2	/* nobody wants it from here on */
#define FIRST_DELAY	4	/* a delay of restart_delay is announced */
#define RETIRES		8	/* it is retiring from here on */
#define NO_MORE		16	/* … and from here on not any more */
#define RESCUED		32	/* one rescue more */

struct cell {
	enum worker_state to;
	enum effect effect;
	enum deadline deadline;
	enum worker_reason why;
	unsigned marks;
	bool written;
};

#define IGNORE(s) { WORKER_##s, NOTHING, SAME, WORKER_WHY_NOTHING, 0, true }
#define CELL(s, effect, deadline, why, marks) \
	{ WORKER_##s, effect, deadline, WORKER_WHY_##why, marks, true }

/*
 * Under `ready = auto`, `restart = always`, without listeners and without
 * restart_limit; not on trial; a STOPPING worker is unwanted, a DRAINING one
 * retires, the others are neither. Nobody waits. The process was executed a
 * second ago and dies as a failure.
 */
static const struct cell table[WORKER_STATES][WORKER_EVENTS] = {
	[WORKER_IDLE] = {
		[WORKER_EV_START] = CELL(EXECING, SPAWN, IN_READY, NOTHING,
		    EXECUTED),
		[WORKER_EV_FORK_FAILED] = IGNORE(IDLE),
		[WORKER_EV_EXECUTED] = IGNORE(IDLE),
		[WORKER_EV_NOTIFY_READY] = IGNORE(IDLE),
		[WORKER_EV_EXTEND] = IGNORE(IDLE),
		[WORKER_EV_WAITS] = IGNORE(IDLE),
		[WORKER_EV_BLIND] = IGNORE(IDLE),
		[WORKER_EV_HEALTHY] = IGNORE(IDLE),
		[WORKER_EV_DEADLINE] = IGNORE(IDLE),
		[WORKER_EV_EXITED] = IGNORE(IDLE),
		[WORKER_EV_PASSED] = IGNORE(IDLE),
		[WORKER_EV_RETIRE] = CELL(ENDED, NOTHING, NONE, ASKED,
		    UNWANTED),
		[WORKER_EV_DRAINED] = IGNORE(IDLE),
		[WORKER_EV_STOP] = CELL(ENDED, NOTHING, NONE, ASKED, UNWANTED),
		[WORKER_EV_KILL] = CELL(ENDED, NOTHING, NONE, ASKED, UNWANTED),
	},
	[WORKER_EXECING] = {
		[WORKER_EV_START] = IGNORE(EXECING),
		[WORKER_EV_FORK_FAILED] = CELL(BACKOFF, NOTHING, IN_DELAY,
		    NO_FORK, FIRST_DELAY),
		[WORKER_EV_EXECUTED] = CELL(STARTING, NOTHING, IN_ALIVE,
		    NOTHING, EXECUTED),
		[WORKER_EV_NOTIFY_READY] = CELL(READY, NOTHING, NONE,
		    NOTIFIED, EXECUTED),
		[WORKER_EV_EXTEND] = CELL(STARTING, NOTHING, IN_ALIVE,
		    NOTHING, EXECUTED),
		[WORKER_EV_WAITS] = IGNORE(EXECING),
		[WORKER_EV_BLIND] = IGNORE(EXECING),
		[WORKER_EV_HEALTHY] = IGNORE(EXECING),
		[WORKER_EV_DEADLINE] = CELL(KILLED, KILL, NONE,
		    READY_TIMEOUT, 0),
		[WORKER_EV_EXITED] = CELL(BACKOFF, NOTHING, IN_DELAY, AGAIN,
		    FIRST_DELAY),
		[WORKER_EV_PASSED] = IGNORE(EXECING),
		[WORKER_EV_RETIRE] = CELL(KILLED, KILL, NONE, ASKED, UNWANTED),
		[WORKER_EV_DRAINED] = IGNORE(EXECING),
		[WORKER_EV_STOP] = CELL(KILLED, KILL, NONE, ASKED, UNWANTED),
		[WORKER_EV_KILL] = CELL(KILLED, KILL, NONE, ASKED, UNWANTED),
	},
	[WORKER_STARTING] = {
		[WORKER_EV_START] = IGNORE(STARTING),
		[WORKER_EV_FORK_FAILED] = IGNORE(STARTING),
		[WORKER_EV_EXECUTED] = IGNORE(STARTING),
		[WORKER_EV_NOTIFY_READY] = CELL(READY, NOTHING, NONE,
		    NOTIFIED, 0),
		[WORKER_EV_EXTEND] = IGNORE(STARTING),
		[WORKER_EV_WAITS] = CELL(READY, NOTHING, NONE, WAITS, 0),
		[WORKER_EV_BLIND] = IGNORE(STARTING),
		[WORKER_EV_HEALTHY] = IGNORE(STARTING),
		[WORKER_EV_DEADLINE] = CELL(READY, NOTHING, NONE, ALIVE, 0),
		[WORKER_EV_EXITED] = CELL(BACKOFF, NOTHING, IN_DELAY, AGAIN,
		    FIRST_DELAY),
		[WORKER_EV_PASSED] = IGNORE(STARTING),
		[WORKER_EV_RETIRE] = CELL(STOPPING, STOP, IN_STOP, ASKED,
		    UNWANTED),
		[WORKER_EV_DRAINED] = IGNORE(STARTING),
		[WORKER_EV_STOP] = CELL(STOPPING, STOP, IN_STOP, ASKED,
		    UNWANTED),
		[WORKER_EV_KILL] = CELL(KILLED, KILL, NONE, ASKED, UNWANTED),
	},
	[WORKER_READY] = {
		[WORKER_EV_START] = IGNORE(READY),
		[WORKER_EV_FORK_FAILED] = IGNORE(READY),
		[WORKER_EV_EXECUTED] = IGNORE(READY),
		[WORKER_EV_NOTIFY_READY] = IGNORE(READY),
		[WORKER_EV_EXTEND] = IGNORE(READY),
		[WORKER_EV_WAITS] = IGNORE(READY),
		[WORKER_EV_BLIND] = IGNORE(READY),
		[WORKER_EV_HEALTHY] = IGNORE(READY),
		[WORKER_EV_DEADLINE] = IGNORE(READY),
		[WORKER_EV_EXITED] = CELL(BACKOFF, NOTHING, IN_DELAY, AGAIN,
		    FIRST_DELAY),
		[WORKER_EV_PASSED] = IGNORE(READY),
		[WORKER_EV_RETIRE] = CELL(STOPPING, STOP, IN_STOP, ASKED,
		    UNWANTED | RETIRES),
		[WORKER_EV_DRAINED] = IGNORE(READY),
		[WORKER_EV_STOP] = CELL(STOPPING, STOP, IN_STOP, ASKED,
		    UNWANTED),
		[WORKER_EV_KILL] = CELL(KILLED, KILL, NONE, ASKED, UNWANTED),
	},
	[WORKER_DRAINING] = {
		[WORKER_EV_START] = IGNORE(DRAINING),
		[WORKER_EV_FORK_FAILED] = IGNORE(DRAINING),
		[WORKER_EV_EXECUTED] = IGNORE(DRAINING),
		[WORKER_EV_NOTIFY_READY] = IGNORE(DRAINING),
		[WORKER_EV_EXTEND] = IGNORE(DRAINING),
		[WORKER_EV_WAITS] = IGNORE(DRAINING),
		[WORKER_EV_BLIND] = IGNORE(DRAINING),
		[WORKER_EV_HEALTHY] = IGNORE(DRAINING),
		[WORKER_EV_DEADLINE] = CELL(STOPPING, STOP, IN_STOP,
		    DRAIN_TIMEOUT, 0),
		[WORKER_EV_EXITED] = CELL(ENDED, NOTHING, NONE, ASKED, 0),
		[WORKER_EV_PASSED] = IGNORE(DRAINING),
		[WORKER_EV_RETIRE] = IGNORE(DRAINING),
		[WORKER_EV_DRAINED] = CELL(STOPPING, STOP, IN_STOP, DRAINED,
		    0),
		[WORKER_EV_STOP] = CELL(STOPPING, STOP, IN_STOP, ASKED,
		    NO_MORE),
		[WORKER_EV_KILL] = CELL(KILLED, KILL, NONE, ASKED, NO_MORE),
	},
	[WORKER_STOPPING] = {
		[WORKER_EV_START] = IGNORE(STOPPING),
		[WORKER_EV_FORK_FAILED] = IGNORE(STOPPING),
		[WORKER_EV_EXECUTED] = IGNORE(STOPPING),
		[WORKER_EV_NOTIFY_READY] = IGNORE(STOPPING),
		[WORKER_EV_EXTEND] = IGNORE(STOPPING),
		[WORKER_EV_WAITS] = IGNORE(STOPPING),
		[WORKER_EV_BLIND] = IGNORE(STOPPING),
		[WORKER_EV_HEALTHY] = IGNORE(STOPPING),
		[WORKER_EV_DEADLINE] = CELL(KILLED, KILL, NONE, STOP_TIMEOUT,
		    0),
		[WORKER_EV_EXITED] = CELL(ENDED, NOTHING, NONE, ASKED, 0),
		[WORKER_EV_PASSED] = IGNORE(STOPPING),
		[WORKER_EV_RETIRE] = IGNORE(STOPPING),
		[WORKER_EV_DRAINED] = IGNORE(STOPPING),
		[WORKER_EV_STOP] = IGNORE(STOPPING),
		[WORKER_EV_KILL] = CELL(KILLED, KILL, NONE, ASKED, UNWANTED),
	},
	[WORKER_KILLED] = {
		[WORKER_EV_START] = IGNORE(KILLED),
		[WORKER_EV_FORK_FAILED] = IGNORE(KILLED),
		[WORKER_EV_EXECUTED] = IGNORE(KILLED),
		[WORKER_EV_NOTIFY_READY] = IGNORE(KILLED),
		[WORKER_EV_EXTEND] = IGNORE(KILLED),
		[WORKER_EV_WAITS] = IGNORE(KILLED),
		[WORKER_EV_BLIND] = IGNORE(KILLED),
		[WORKER_EV_HEALTHY] = IGNORE(KILLED),
		[WORKER_EV_DEADLINE] = IGNORE(KILLED),
		[WORKER_EV_EXITED] = CELL(BACKOFF, NOTHING, IN_DELAY, AGAIN,
		    FIRST_DELAY),
		[WORKER_EV_PASSED] = IGNORE(KILLED),
		[WORKER_EV_RETIRE] = CELL(KILLED, NOTHING, SAME, NOTHING,
		    UNWANTED),
		[WORKER_EV_DRAINED] = IGNORE(KILLED),
		[WORKER_EV_STOP] = CELL(KILLED, NOTHING, SAME, NOTHING,
		    UNWANTED),
		[WORKER_EV_KILL] = CELL(KILLED, NOTHING, SAME, NOTHING,
		    UNWANTED),
	},
	[WORKER_BACKOFF] = {
		[WORKER_EV_START] = CELL(EXECING, SPAWN, IN_READY, NOTHING,
		    EXECUTED),
		[WORKER_EV_FORK_FAILED] = IGNORE(BACKOFF),
		[WORKER_EV_EXECUTED] = IGNORE(BACKOFF),
		[WORKER_EV_NOTIFY_READY] = IGNORE(BACKOFF),
		[WORKER_EV_EXTEND] = IGNORE(BACKOFF),
		[WORKER_EV_WAITS] = IGNORE(BACKOFF),
		[WORKER_EV_BLIND] = IGNORE(BACKOFF),
		[WORKER_EV_HEALTHY] = IGNORE(BACKOFF),
		[WORKER_EV_DEADLINE] = CELL(EXECING, SPAWN, IN_READY, NOTHING,
		    EXECUTED),
		[WORKER_EV_EXITED] = IGNORE(BACKOFF),
		[WORKER_EV_PASSED] = IGNORE(BACKOFF),
		[WORKER_EV_RETIRE] = CELL(ENDED, NOTHING, NONE, ASKED,
		    UNWANTED),
		[WORKER_EV_DRAINED] = IGNORE(BACKOFF),
		[WORKER_EV_STOP] = CELL(ENDED, NOTHING, NONE, ASKED, UNWANTED),
		[WORKER_EV_KILL] = CELL(ENDED, NOTHING, NONE, ASKED, UNWANTED),
	},
	[WORKER_PARKED] = {
		[WORKER_EV_START] = IGNORE(PARKED),
		[WORKER_EV_FORK_FAILED] = IGNORE(PARKED),
		[WORKER_EV_EXECUTED] = IGNORE(PARKED),
		[WORKER_EV_NOTIFY_READY] = IGNORE(PARKED),
		[WORKER_EV_EXTEND] = IGNORE(PARKED),
		[WORKER_EV_WAITS] = IGNORE(PARKED),
		[WORKER_EV_BLIND] = IGNORE(PARKED),
		[WORKER_EV_HEALTHY] = IGNORE(PARKED),
		[WORKER_EV_DEADLINE] = IGNORE(PARKED),
		[WORKER_EV_EXITED] = IGNORE(PARKED),
		[WORKER_EV_PASSED] = IGNORE(PARKED),
		[WORKER_EV_RETIRE] = IGNORE(PARKED),
		[WORKER_EV_DRAINED] = IGNORE(PARKED),
		[WORKER_EV_STOP] = IGNORE(PARKED),
		[WORKER_EV_KILL] = IGNORE(PARKED),
	},
	[WORKER_ENDED] = {
		[WORKER_EV_START] = IGNORE(ENDED),
		[WORKER_EV_FORK_FAILED] = IGNORE(ENDED),
		[WORKER_EV_EXECUTED] = IGNORE(ENDED),
		[WORKER_EV_NOTIFY_READY] = IGNORE(ENDED),
		[WORKER_EV_EXTEND] = IGNORE(ENDED),
		[WORKER_EV_WAITS] = IGNORE(ENDED),
		[WORKER_EV_BLIND] = IGNORE(ENDED),
		[WORKER_EV_HEALTHY] = IGNORE(ENDED),
		[WORKER_EV_DEADLINE] = IGNORE(ENDED),
		[WORKER_EV_EXITED] = IGNORE(ENDED),
		[WORKER_EV_PASSED] = IGNORE(ENDED),
		[WORKER_EV_RETIRE] = IGNORE(ENDED),
		[WORKER_EV_DRAINED] = IGNORE(ENDED),
		[WORKER_EV_STOP] = IGNORE(ENDED),
		[WORKER_EV_KILL] = IGNORE(ENDED),
	},
	[WORKER_FAILED] = {
		[WORKER_EV_START] = IGNORE(FAILED),
		[WORKER_EV_FORK_FAILED] = IGNORE(FAILED),
		[WORKER_EV_EXECUTED] = IGNORE(FAILED),
		[WORKER_EV_NOTIFY_READY] = IGNORE(FAILED),
		[WORKER_EV_EXTEND] = IGNORE(FAILED),
		[WORKER_EV_WAITS] = IGNORE(FAILED),
		[WORKER_EV_BLIND] = IGNORE(FAILED),
		[WORKER_EV_HEALTHY] = IGNORE(FAILED),
		[WORKER_EV_DEADLINE] = IGNORE(FAILED),
		[WORKER_EV_EXITED] = IGNORE(FAILED),
		[WORKER_EV_PASSED] = IGNORE(FAILED),
		[WORKER_EV_RETIRE] = IGNORE(FAILED),
		[WORKER_EV_DRAINED] = IGNORE(FAILED),
		[WORKER_EV_STOP] = IGNORE(FAILED),
		[WORKER_EV_KILL] = IGNORE(FAILED),
	},
};

/* A machine in any state, executed at 0, with a deadline to recognise. */
static struct worker_fsm
machine(enum worker_state state)
{
	return (struct worker_fsm){
		.state = state,
		.unwanted = state == WORKER_STOPPING ||
		    state == WORKER_DRAINING,
		.retiring = state == WORKER_DRAINING,
		.executed = at(0),
		.deadline = at(123456),
	};
}

static struct mono
expected_deadline(enum deadline kind, struct mono before, struct mono now)
{
	switch (kind) {
	case SAME:
		return before;
	case NONE:
		return MONO_NEVER;
	case IN_READY:
		return mono_add_ms(now, READY_MS);
	case IN_ALIVE:
		return mono_add_ms(now, ALIVE_MS);
	case IN_STOP:
		return mono_add_ms(now, STOP_MS);
	case IN_DRAIN:
		return mono_add_ms(now, DRAIN_MS);
	case IN_DELAY:
		return mono_add_ms(now, DELAY_MS);
	}
	return before;
}

static const char *const event_names[WORKER_EVENTS] = {
	[WORKER_EV_START] = "start",
	[WORKER_EV_FORK_FAILED] = "fork-failed",
	[WORKER_EV_EXECUTED] = "executed",
	[WORKER_EV_NOTIFY_READY] = "notify-ready",
	[WORKER_EV_EXTEND] = "extend",
	[WORKER_EV_WAITS] = "waits",
	[WORKER_EV_BLIND] = "blind",
	[WORKER_EV_HEALTHY] = "healthy",
	[WORKER_EV_PASSED] = "passed",
	[WORKER_EV_DEADLINE] = "deadline",
	[WORKER_EV_EXITED] = "exited",
	[WORKER_EV_RETIRE] = "retire",
	[WORKER_EV_DRAINED] = "drained",
	[WORKER_EV_STOP] = "stop",
	[WORKER_EV_KILL] = "kill",
};

/* Says which cell it was. */
#define CHECK(condition) do {						\
	if (!(condition))						\
		fail_msg("%s x %s: not so: %s", worker_state_name(state), \
		    event_names[event], #condition);		\
} while (0)

static void
check_cell(const struct conf_app *app, enum worker_state state,
    enum worker_event event, const struct cell *expected, bool waiting)
{
	const struct worker_facts facts = {
		.now = at(1000), .dice = EVEN, .failure = true,
		.waiting = waiting,
	};
	const struct worker_fsm before = machine(state);
	struct worker_fsm fsm = before;
	struct worker_step step = worker_fsm_step(&fsm, app, event, &facts);

	CHECK(expected->written);
	CHECK(step.from == state);
	CHECK(step.to == expected->to);
	CHECK(fsm.state == expected->to);
	CHECK(step.spawn == (expected->effect == SPAWN));
	CHECK(step.send_stop == (expected->effect == STOP));
	CHECK(step.send_kill == (expected->effect == KILL));
	CHECK(step.why == expected->why);
	CHECK(step.delay_ms ==
	    ((expected->marks & FIRST_DELAY) != 0 ? DELAY_MS : 0));
	CHECK(fsm.deadline.ns == expected_deadline(expected->deadline,
	    before.deadline, facts.now).ns);
	CHECK(fsm.executed.ns == ((expected->marks & EXECUTED) != 0 ?
	    facts.now : before.executed).ns);
	CHECK(fsm.unwanted == (before.unwanted ||
	    (expected->marks & UNWANTED) != 0));
	CHECK(fsm.retiring == ((before.retiring &&
	    (expected->marks & NO_MORE) == 0) ||
	    (expected->marks & RETIRES) != 0));
	CHECK(fsm.rescues == before.rescues +
	    ((expected->marks & RESCUED) != 0));
	CHECK(!fsm.trial);
	CHECK(fsm.history.streak ==
	    ((expected->marks & FIRST_DELAY) != 0 ? 1 : 0));
	worker_fsm_free(&fsm);
}

static void
every_cell_is_as_expected(void **state)
{
	const struct conf_app app = config(CONF_READY_AUTO,
	    CONF_RESTART_ALWAYS);

	(void)state;
	for (int s = 0; s < WORKER_STATES; s++)
		for (int e = 0; e < WORKER_EVENTS; e++)
			check_cell(&app, (enum worker_state)s,
			    (enum worker_event)e, &table[s][e], false);
}

/* With listeners six cells are others. */
static void
every_cell_with_listeners(void **state)
{
	static const struct cell executed = CELL(STARTING, NOTHING, IN_READY,
	    NOTHING, EXECUTED);
	static const struct cell unseen = CELL(READY, NOTHING, NONE, UNSEEN,
	    0);
	static const struct cell said = IGNORE(STARTING);
	static const struct cell retire = CELL(DRAINING, NOTHING, IN_DRAIN,
	    RETIRING, UNWANTED | RETIRES);
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);

	(void)state;
	app.n_listens = 1;
	for (int s = 0; s < WORKER_STATES; s++)
		for (int e = 0; e < WORKER_EVENTS; e++) {
			const struct cell *cell = &table[s][e];

			if (s == WORKER_EXECING &&
			    (e == WORKER_EV_EXECUTED ||
				e == WORKER_EV_EXTEND ||
				e == WORKER_EV_NOTIFY_READY))
				cell = &executed;
			if (s == WORKER_STARTING &&
			    e == WORKER_EV_NOTIFY_READY)
				cell = &said;
			if (s == WORKER_STARTING && e == WORKER_EV_DEADLINE)
				cell = &unseen;
			if (s == WORKER_READY && e == WORKER_EV_RETIRE)
				cell = &retire;
			check_cell(&app, (enum worker_state)s,
			    (enum worker_event)e, cell, false);
		}
}

/* So are six where clients wait whom nobody else can serve. */
static void
every_cell_while_somebody_waits(void **state)
{
	static const struct cell rescue = CELL(EXECING, SPAWN, IN_READY,
	    RESCUE, EXECUTED | RESCUED);
	static const struct cell again = CELL(EXECING, SPAWN, IN_READY,
	    RESCUE, EXECUTED | RESCUED | UNWANTED | RETIRES);
	static const struct cell on[] = {
		CELL(EXECING, NOTHING, SAME, NOTHING, UNWANTED | RETIRES),
		CELL(STARTING, NOTHING, SAME, NOTHING, UNWANTED | RETIRES),
		CELL(KILLED, NOTHING, SAME, NOTHING, UNWANTED | RETIRES),
	};
	const struct conf_app app = config(CONF_READY_AUTO,
	    CONF_RESTART_ALWAYS);

	(void)state;
	for (int s = 0; s < WORKER_STATES; s++)
		for (int e = 0; e < WORKER_EVENTS; e++) {
			const struct cell *cell = &table[s][e];

			if (s == WORKER_DRAINING && e == WORKER_EV_EXITED)
				cell = &rescue;
			if ((s == WORKER_BACKOFF || s == WORKER_IDLE) &&
			    e == WORKER_EV_RETIRE)
				cell = &again;
			for (size_t i = 0; i < 3; i++)
				if ((int)on[i].to == s &&
				    e == WORKER_EV_RETIRE)
					cell = &on[i];
			check_cell(&app, (enum worker_state)s,
			    (enum worker_event)e, cell, true);
		}
}

static void
names_are_distinct(void **state)
{
	(void)state;
	for (int a = 0; a < WORKER_STATES; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(
			    worker_state_name((enum worker_state)a),
			    worker_state_name((enum worker_state)b));
	assert_string_equal(worker_reason_text(WORKER_WHY_NOTHING), "");
	for (int a = 1; a < WORKER_REASONS; a++)
		for (int b = 0; b < a; b++)
			assert_string_not_equal(
			    worker_reason_text((enum worker_reason)a),
			    worker_reason_text((enum worker_reason)b));
	assert_string_equal(worker_state_name(WORKER_BACKOFF), "backoff");
}

static void
alive_and_final(void **state)
{
	static const struct {
		bool alive, final;
	} expected[WORKER_STATES] = {
		[WORKER_IDLE] = { false, false },
		[WORKER_EXECING] = { true, false },
		[WORKER_STARTING] = { true, false },
		[WORKER_READY] = { true, false },
		[WORKER_DRAINING] = { true, false },
		[WORKER_STOPPING] = { true, false },
		[WORKER_KILLED] = { true, false },
		[WORKER_BACKOFF] = { false, false },
		[WORKER_PARKED] = { false, true },
		[WORKER_ENDED] = { false, true },
		[WORKER_FAILED] = { false, true },
	};

	(void)state;
	for (int s = 0; s < WORKER_STATES; s++) {
		assert_int_equal(worker_state_alive((enum worker_state)s),
		    expected[s].alive);
		assert_int_equal(worker_state_final((enum worker_state)s),
		    expected[s].final);
	}
}

/* ---- what a cell depends on beside state and event ---- */

static struct worker_step
step_at(struct worker_fsm *fsm, const struct conf_app *app,
    enum worker_event event, int64_t ms, bool failure)
{
	const struct worker_facts facts = {
		.now = at(ms), .dice = EVEN, .failure = failure,
	};

	return worker_fsm_step(fsm, app, event, &facts);
}

static void
expect_deadline(const struct worker_fsm *fsm, int64_t ms)
{
	assert_true(fsm->deadline.ns == at(ms).ns);
}

static void
fresh_machine_is_idle(void **state)
{
	const struct worker_fsm fsm = WORKER_FSM_INIT;

	(void)state;
	assert_int_equal(fsm.state, WORKER_IDLE);
	assert_true(mono_is_never(fsm.deadline));
	assert_false(fsm.trial);
	assert_false(fsm.unwanted);
	assert_false(fsm.retiring);
	assert_int_equal(fsm.rescues, 0);
}

static void
ready_by_health_only(void **state)
{
	const struct conf_app app = config(CONF_READY_HEALTH,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT;
	struct worker_step step;

	(void)state;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 10, false);
	assert_int_equal(fsm.state, WORKER_EXECING);
	step_at(&fsm, &app, WORKER_EV_EXECUTED, 50, false);
	step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 60, false);
	step_at(&fsm, &app, WORKER_EV_WAITS, 70, false);
	assert_int_equal(fsm.state, WORKER_STARTING);
	step = step_at(&fsm, &app, WORKER_EV_HEALTHY, 80, false);
	assert_int_equal(step.to, WORKER_READY);
	assert_int_equal(step.why, WORKER_WHY_HEALTHY);
}

static void
ready_by_notification_only(void **state)
{
	const struct conf_app app = config(CONF_READY_NOTIFY,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT;
	struct worker_step step;

	(void)state;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	expect_deadline(&fsm, READY_MS);
	step_at(&fsm, &app, WORKER_EV_EXECUTED, 50, false);
	/* The whole timeout from the exec on; `alive` plays no part. */
	expect_deadline(&fsm, 50 + READY_MS);
	step = step_at(&fsm, &app, WORKER_EV_DEADLINE, 50 + READY_MS, false);
	assert_int_equal(step.to, WORKER_KILLED);
	assert_int_equal(step.why, WORKER_WHY_READY_TIMEOUT);
	assert_true(step.send_kill);
	assert_true(mono_is_never(fsm.deadline));
	assert_false(fsm.unwanted);
	/* It counts as a crash: after a life of READY_MS, at once again. */
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 51 + READY_MS, true);
	assert_int_equal(step.to, WORKER_EXECING);
	assert_int_equal(step.why, WORKER_WHY_AGAIN);
	assert_true(step.spawn);

	step_at(&fsm, &app, WORKER_EV_EXECUTED, 100000, false);
	step = step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 100001, false);
	assert_int_equal(step.to, WORKER_READY);
	assert_int_equal(step.why, WORKER_WHY_NOTIFIED);
	worker_fsm_free(&fsm);
}

/* Only what is seen counts; what the worker says does not. */
static void
ready_by_being_seen_only(void **state)
{
	struct conf_app app = config(CONF_READY_ACCEPT, CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT, before;
	struct worker_step step;

	(void)state;
	app.n_listens = 1;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	before = fsm;
	step = step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 10, false);
	assert_int_equal(step.to, WORKER_EXECING);
	assert_int_equal(step.why, WORKER_WHY_NOTHING);
	assert_true(fsm.executed.ns == before.executed.ns);
	expect_deadline(&fsm, READY_MS);

	/* The whole timeout from the exec on; `alive` plays no part. */
	step_at(&fsm, &app, WORKER_EV_EXECUTED, 50, false);
	expect_deadline(&fsm, 50 + READY_MS);
	step = step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 60, false);
	assert_int_equal(step.to, WORKER_STARTING);
	assert_int_equal(step.why, WORKER_WHY_NOTHING);
	expect_deadline(&fsm, 50 + READY_MS);
	step = step_at(&fsm, &app, WORKER_EV_DEADLINE, 50 + READY_MS, false);
	assert_int_equal(step.to, WORKER_KILLED);
	assert_int_equal(step.why, WORKER_WHY_READY_TIMEOUT);
	assert_true(step.send_kill);
	assert_false(fsm.unwanted);
	assert_true(mono_is_never(fsm.deadline));
	/* Seen too late. */
	step = step_at(&fsm, &app, WORKER_EV_WAITS, 51 + READY_MS, false);
	assert_int_equal(step.to, WORKER_KILLED);
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 52 + READY_MS, true);
	assert_int_equal(step.to, WORKER_EXECING);
	assert_true(step.spawn);

	step_at(&fsm, &app, WORKER_EV_EXECUTED, 100000, false);
	step = step_at(&fsm, &app, WORKER_EV_WAITS, 100001, false);
	assert_int_equal(step.to, WORKER_READY);
	assert_int_equal(step.why, WORKER_WHY_WAITS);
	assert_true(mono_is_never(fsm.deadline));
	worker_fsm_free(&fsm);
}

/* `auto` with listeners: seen, or said where it cannot be seen, and at the
   timeout nobody is killed. */
static void
ready_by_itself_with_listeners(void **state)
{
	static const struct {
		bool said;
		enum worker_event event;
		int64_t ms;
		enum worker_reason why;	/* NOTHING: it is not ready */
	} ways[] = {
		{ false, WORKER_EV_WAITS, 60, WORKER_WHY_WAITS },
		{ true, WORKER_EV_WAITS, 60, WORKER_WHY_WAITS },
		{ true, WORKER_EV_NOTIFY_READY, 60, WORKER_WHY_NOTHING },
		{ true, WORKER_EV_BLIND, 60, WORKER_WHY_NOTIFIED },
		{ false, WORKER_EV_BLIND, 60, WORKER_WHY_NOTHING },
		{ false, WORKER_EV_DEADLINE, 50 + READY_MS,
		    WORKER_WHY_UNSEEN },
		{ true, WORKER_EV_DEADLINE, 50 + READY_MS,
		    WORKER_WHY_UNSEEN },
	};
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);

	(void)state;
	app.n_listens = 1;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct worker_fsm fsm = WORKER_FSM_INIT;
		struct worker_step step;

		step_at(&fsm, &app, WORKER_EV_START, 0, false);
		step_at(&fsm, &app, WORKER_EV_EXECUTED, 50, false);
		expect_deadline(&fsm, 50 + READY_MS);
		if (ways[i].said)
			step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 55, false);
		assert_int_equal(fsm.state, WORKER_STARTING);
		step = step_at(&fsm, &app, ways[i].event, ways[i].ms, false);
		assert_int_equal(step.to, ways[i].why != WORKER_WHY_NOTHING ?
		    WORKER_READY : WORKER_STARTING);
		assert_int_equal(step.why, ways[i].why);
		assert_false(step.send_kill);
		worker_fsm_free(&fsm);
	}
}

/*
 * `notify` and `alive` with listeners: what it says counts when it is seen to
 * wait too, in this order alone, or if that cannot be seen.
 */
static void
word_and_wait(void **state)
{
	static const enum conf_ready modes[] = {
		CONF_READY_NOTIFY, CONF_READY_ALIVE,
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(modes) / sizeof(*modes); i++) {
		struct conf_app app = config(modes[i / 2],
		    CONF_RESTART_ALWAYS);
		enum worker_event second = i % 2 == 0 ? WORKER_EV_WAITS :
		    WORKER_EV_BLIND;
		struct worker_fsm fsm = WORKER_FSM_INIT;
		struct worker_step step;

		app.n_listens = 1;
		step_at(&fsm, &app, WORKER_EV_START, 0, false);
		/* It overtakes the exec's report. */
		step = step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 10, false);
		assert_int_equal(step.to, WORKER_STARTING);
		step = step_at(&fsm, &app, WORKER_EV_EXECUTED, 20, false);
		assert_int_equal(step.to, WORKER_STARTING);
		step = step_at(&fsm, &app, second, 30, false);
		assert_int_equal(step.to, WORKER_READY);
		assert_int_equal(step.why, i % 2 == 0 ?
		    WORKER_WHY_NOTIFIED_WAITS : WORKER_WHY_NOTIFIED);

		/* The next process has said nothing yet. */
		step_at(&fsm, &app, WORKER_EV_EXITED, RESET_MS + 100, true);
		step_at(&fsm, &app, WORKER_EV_EXECUTED, RESET_MS + 110, false);
		step = step_at(&fsm, &app, second, RESET_MS + 120, false);
		assert_int_equal(step.to, WORKER_STARTING);
		worker_fsm_free(&fsm);
	}
}

/* Nobody of its kind could be seen, or it is the first: that it lives counts.
   Otherwise a reload has nothing to rely on. */
static void
unseen_in_the_place_of_seen(void **state)
{
	static const enum conf_ready modes[] = {
		CONF_READY_AUTO, CONF_READY_NOTIFY,
	};

	(void)state;
	for (size_t i = 0; i < 16; i++) {
		bool trial = (i & 1) != 0, before = (i & 2) != 0;
		bool said = (i & 4) != 0, good;
		struct conf_app app = config(modes[i / 8],
		    CONF_RESTART_ALWAYS);
		struct worker_fsm fsm = machine(WORKER_STARTING);
		const struct worker_facts facts = {
			.now = at(READY_MS), .seen_before = before,
		};
		struct worker_step step;

		app.n_listens = 1;
		fsm.trial = trial;
		fsm.said = said;
		step = worker_fsm_step(&fsm, &app, WORKER_EV_DEADLINE, &facts);
		good = (said || app.ready == CONF_READY_AUTO) &&
		    !(trial && before);
		assert_int_equal(step.to, good ? WORKER_READY : WORKER_KILLED);
		assert_int_equal(step.send_kill, !good);
		assert_int_equal(step.why, good ? WORKER_WHY_UNSEEN :
		    said || app.ready == CONF_READY_AUTO ?
		    WORKER_WHY_NEVER_WAITED : WORKER_WHY_READY_TIMEOUT);
		worker_fsm_free(&fsm);
	}
}

/* Without exec in time there is nothing that could be ready. */
static void
no_exec_in_time_is_a_kill(void **state)
{
	static const enum conf_ready modes[] = {
		CONF_READY_AUTO, CONF_READY_NOTIFY, CONF_READY_ACCEPT,
		CONF_READY_ALIVE,
	};

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(modes) / sizeof(*modes); i++) {
		struct conf_app app = config(modes[i / 2],
		    CONF_RESTART_ALWAYS);
		struct worker_fsm fsm = WORKER_FSM_INIT;
		struct worker_step step;

		app.n_listens = i % 2;
		step_at(&fsm, &app, WORKER_EV_START, 0, false);
		expect_deadline(&fsm, READY_MS);
		step = step_at(&fsm, &app, WORKER_EV_DEADLINE, READY_MS,
		    false);
		assert_int_equal(step.to, WORKER_KILLED);
		assert_int_equal(step.why, WORKER_WHY_READY_TIMEOUT);
		worker_fsm_free(&fsm);
	}
}

static void
ready_by_being_alive(void **state)
{
	/* `auto` is this only where there are no listeners to wait at. */
	static const struct {
		enum conf_ready ready;
		size_t n_listens;
	} rows[] = {
		{ CONF_READY_ALIVE, 0 }, { CONF_READY_ALIVE, 1 },
		{ CONF_READY_AUTO, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct conf_app app = config(rows[i].ready,
		    CONF_RESTART_ALWAYS);
		struct worker_fsm fsm = WORKER_FSM_INIT;
		struct worker_step step;

		app.n_listens = rows[i].n_listens;
		step_at(&fsm, &app, WORKER_EV_START, 0, false);
		expect_deadline(&fsm, READY_MS);
		step_at(&fsm, &app, WORKER_EV_EXECUTED, 50, false);
		expect_deadline(&fsm, 50 + ALIVE_MS);
		step = step_at(&fsm, &app, WORKER_EV_DEADLINE, 50 + ALIVE_MS,
		    false);
		assert_int_equal(step.to, WORKER_READY);
		assert_int_equal(step.why, WORKER_WHY_ALIVE);
		assert_false(step.send_kill);
		assert_true(mono_is_never(fsm.deadline));
		worker_fsm_free(&fsm);
	}
}

/* `ready_timeout` shorter than the second of `auto`. */
static void
short_timeout_cuts_auto(void **state)
{
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT;

	(void)state;
	app.ready_timeout_ms = 300;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	expect_deadline(&fsm, 300);
	step_at(&fsm, &app, WORKER_EV_EXECUTED, 10, false);
	expect_deadline(&fsm, 310);
	assert_int_equal(step_at(&fsm, &app, WORKER_EV_DEADLINE, 310,
	    false).to, WORKER_READY);
	worker_fsm_free(&fsm);
}

static void
life_counts_from_the_exec(void **state)
{
	const struct conf_app app = config(CONF_READY_AUTO,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT;
	struct worker_step step;

	(void)state;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	step_at(&fsm, &app, WORKER_EV_EXECUTED, 5000, false);
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 5000 + RESET_MS - 1,
	    true);
	assert_int_equal(step.to, WORKER_BACKOFF);
	assert_int_equal(step.delay_ms, DELAY_MS);
	expect_deadline(&fsm, 5000 + RESET_MS - 1 + DELAY_MS);
	worker_fsm_free(&fsm);

	fsm = (struct worker_fsm)WORKER_FSM_INIT;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	/* READY=1 that overtakes the end of the exec counts as the exec. */
	step_at(&fsm, &app, WORKER_EV_NOTIFY_READY, 5000, false);
	step = step_at(&fsm, &app, WORKER_EV_EXECUTED, 6000, false);
	assert_int_equal(step.to, WORKER_READY);
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 5000 + RESET_MS, true);
	assert_int_equal(step.to, WORKER_EXECING);
	assert_true(step.spawn);
	assert_int_equal(step.delay_ms, 0);
	assert_int_equal(step.why, WORKER_WHY_AGAIN);
	expect_deadline(&fsm, 5000 + RESET_MS + READY_MS);
	assert_true(fsm.executed.ns == at(5000 + RESET_MS).ns);
	worker_fsm_free(&fsm);
}

static void
delays_grow_from_death_to_death(void **state)
{
	const struct conf_app app = config(CONF_READY_AUTO,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT;
	int64_t now = 0;

	(void)state;
	step_at(&fsm, &app, WORKER_EV_START, now, false);
	for (int64_t delay = DELAY_MS; delay <= 3200; delay *= 2) {
		struct worker_step step;

		step = step_at(&fsm, &app, WORKER_EV_EXITED, now, true);
		assert_int_equal(step.to, WORKER_BACKOFF);
		assert_int_equal(step.delay_ms, delay);
		now += delay;
		expect_deadline(&fsm, now);
		step = step_at(&fsm, &app, WORKER_EV_DEADLINE, now, false);
		assert_int_equal(step.to, WORKER_EXECING);
		assert_true(step.spawn);
	}
	/* A start that could not be made is one more quick death. */
	assert_int_equal(step_at(&fsm, &app, WORKER_EV_FORK_FAILED, now,
	    false).delay_ms, 6400);
	expect_deadline(&fsm, now + 6400);
	worker_fsm_free(&fsm);
}

/* Every state in which a process may die: what becomes of it. */
static const enum worker_state mortal[] = {
	WORKER_EXECING, WORKER_STARTING, WORKER_READY, WORKER_DRAINING,
	WORKER_STOPPING, WORKER_KILLED,
};

#define N_MORTAL (sizeof(mortal) / sizeof(*mortal))

static struct worker_step
death(enum worker_state from, enum conf_restart restart, bool failure,
    bool trial, bool unwanted, struct worker_fsm *ret)
{
	const struct conf_app app = config(CONF_READY_AUTO, restart);
	struct worker_fsm fsm = machine(from);
	struct worker_step step;

	fsm.trial = trial;
	fsm.unwanted = unwanted;
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 1000, failure);
	assert_int_equal(step.from, from);
	assert_int_equal(step.to, fsm.state);
	assert_false(step.send_stop);
	assert_false(step.send_kill);
	assert_false(step.spawn);	/* a second is a short life */
	assert_int_equal(mono_is_never(fsm.deadline),
	    fsm.state != WORKER_BACKOFF);
	assert_int_equal(fsm.unwanted, unwanted);
	worker_fsm_free(&fsm);
	*ret = fsm;
	return step;
}

static void
a_relapse_is_a_start_that_fails_later(void **state)
{
	const enum worker_state starts[] = {
		WORKER_EXECING, WORKER_STARTING, WORKER_KILLED,
	};
	struct worker_fsm fsm;
	struct worker_step step;

	(void)state;
	for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
		step = death(starts[i], CONF_RESTART_ALWAYS, true, false,
		    false, &fsm);
		assert_int_equal(step.to, WORKER_BACKOFF);
		assert_true(worker_step_relapses(&step, true));
		/* One that never got so far has nothing to fall back from. */
		assert_false(worker_step_relapses(&step, false));
	}
	step = death(WORKER_READY, CONF_RESTART_ALWAYS, true, false, false,
	    &fsm);
	assert_false(worker_step_relapses(&step, true));
	/* It has ended, and does not come back at all. */
	step = death(WORKER_STARTING, CONF_RESTART_NEVER, true, false, false,
	    &fsm);
	assert_false(worker_step_relapses(&step, true));
}

static void
deaths_by_policy(void **state)
{
	static const struct {
		enum conf_restart restart;
		bool failure;
		enum worker_state to;
		enum worker_reason why;
	} rows[] = {
		{ CONF_RESTART_ALWAYS, true, WORKER_BACKOFF,
		  WORKER_WHY_AGAIN },
		{ CONF_RESTART_ALWAYS, false, WORKER_BACKOFF,
		  WORKER_WHY_AGAIN },
		{ CONF_RESTART_ON_FAILURE, true, WORKER_BACKOFF,
		  WORKER_WHY_AGAIN },
		{ CONF_RESTART_ON_FAILURE, false, WORKER_ENDED,
		  WORKER_WHY_POLICY },
		{ CONF_RESTART_NEVER, true, WORKER_FAILED,
		  WORKER_WHY_POLICY },
		{ CONF_RESTART_NEVER, false, WORKER_ENDED,
		  WORKER_WHY_POLICY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (size_t m = 0; m < N_MORTAL; m++) {
			struct worker_fsm fsm;
			struct worker_step step = death(mortal[m],
			    rows[i].restart, rows[i].failure, false, false,
			    &fsm);

			assert_int_equal(step.to, rows[i].to);
			assert_int_equal(step.why, rows[i].why);
			assert_int_equal(step.delay_ms,
			    rows[i].to == WORKER_BACKOFF ? DELAY_MS : 0);
		}
}

static void
deaths_on_trial(void **state)
{
	static const struct {
		enum conf_restart restart;
		bool failure;
		enum worker_state to;
		enum worker_reason why;
	} rows[] = {
		{ CONF_RESTART_ALWAYS, true, WORKER_FAILED,
		  WORKER_WHY_TRIAL },
		/* A server that ends, however well, does not serve. */
		{ CONF_RESTART_ALWAYS, false, WORKER_FAILED,
		  WORKER_WHY_TRIAL },
		{ CONF_RESTART_ON_FAILURE, true, WORKER_FAILED,
		  WORKER_WHY_TRIAL },
		/* A job that ends well has done its work. */
		{ CONF_RESTART_ON_FAILURE, false, WORKER_ENDED,
		  WORKER_WHY_POLICY },
		{ CONF_RESTART_NEVER, true, WORKER_FAILED, WORKER_WHY_TRIAL },
		{ CONF_RESTART_NEVER, false, WORKER_ENDED,
		  WORKER_WHY_POLICY },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (size_t m = 0; m < N_MORTAL; m++) {
			struct worker_fsm fsm;
			struct worker_step step = death(mortal[m],
			    rows[i].restart, rows[i].failure, true, false,
			    &fsm);

			assert_int_equal(step.to, rows[i].to);
			assert_int_equal(step.why, rows[i].why);
			assert_int_equal(step.delay_ms, 0);
			assert_int_equal(fsm.history.streak, 0);
		}
}

/* Nobody asks the policy, or a trial, about a worker that was stopped. */
static void
deaths_of_the_unwanted(void **state)
{
	(void)state;
	for (int restart = CONF_RESTART_ALWAYS; restart <= CONF_RESTART_NEVER;
	    restart++)
		for (unsigned bits = 0; bits < 4; bits++)
			for (size_t m = 0; m < N_MORTAL; m++) {
				struct worker_fsm fsm;
				struct worker_step step = death(mortal[m],
				    (enum conf_restart)restart,
				    (bits & 1) != 0, (bits & 2) != 0, true,
				    &fsm);

				assert_int_equal(step.to, WORKER_ENDED);
				assert_int_equal(step.why, WORKER_WHY_ASKED);
				assert_int_equal(step.delay_ms, 0);
			}
}

/* Ready is not enough: it is on trial until it has passed. */
static void
trial_ends_when_it_has_passed(void **state)
{
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct worker_fsm fsm = machine(WORKER_STARTING);
		bool passes = i / 2 == 0;

		app.n_listens = i % 2;
		fsm.trial = true;
		step_at(&fsm, &app, WORKER_EV_WAITS, 100, false);
		assert_int_equal(fsm.state, WORKER_READY);
		assert_true(fsm.trial);
		if (passes)
			step_at(&fsm, &app, WORKER_EV_PASSED, 150, false);
		assert_int_equal(fsm.state, WORKER_READY);
		assert_int_equal(fsm.trial, !passes);
		/* From then on it is restarted like any other. */
		assert_int_equal(step_at(&fsm, &app, WORKER_EV_EXITED, 200,
		    true).to, passes ? WORKER_BACKOFF : WORKER_FAILED);
		worker_fsm_free(&fsm);
	}
}

/* One that retires has had clients, and goes on for those who wait. */
static void
trial_ends_by_a_drain(void **state)
{
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = machine(WORKER_READY);

	(void)state;
	app.n_listens = 1;
	fsm.trial = true;
	step_at(&fsm, &app, WORKER_EV_RETIRE, 100, false);
	assert_int_equal(fsm.state, WORKER_DRAINING);
	assert_false(fsm.trial);
	worker_fsm_free(&fsm);
}

/* A job may have done its work; a server that has ended does not serve. */
static void
trial_of_a_server_that_ends_well(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct conf_app app = config(CONF_READY_AUTO,
		    CONF_RESTART_ON_FAILURE);
		struct worker_fsm fsm = machine(i / 2 == 0 ?
		    WORKER_STARTING : WORKER_READY);

		app.n_listens = i % 2;
		fsm.trial = true;
		assert_int_equal(step_at(&fsm, &app, WORKER_EV_EXITED, 200,
		    false).to, i % 2 == 0 ? WORKER_ENDED : WORKER_FAILED);
		worker_fsm_free(&fsm);
	}
}

static void
trial_has_one_try(void **state)
{
	const struct conf_app app = config(CONF_READY_NOTIFY,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = machine(WORKER_EXECING);
	struct worker_step step;

	(void)state;
	/* No process could be made. */
	fsm.trial = true;
	step = step_at(&fsm, &app, WORKER_EV_FORK_FAILED, 10, false);
	assert_int_equal(step.to, WORKER_FAILED);
	assert_int_equal(step.why, WORKER_WHY_TRIAL);
	assert_int_equal(step.delay_ms, 0);
	assert_true(mono_is_never(fsm.deadline));
	assert_int_equal(fsm.history.streak, 0);
	worker_fsm_free(&fsm);

	/* Not executed, or not ready, in time: killed, and that was it. */
	for (int s = WORKER_EXECING; s <= WORKER_STARTING; s++) {
		fsm = machine((enum worker_state)s);
		fsm.trial = true;
		step = step_at(&fsm, &app, WORKER_EV_DEADLINE, 10, false);
		assert_int_equal(step.to, WORKER_KILLED);
		assert_true(step.send_kill);
		assert_true(fsm.trial);
		step = step_at(&fsm, &app, WORKER_EV_EXITED, 999999, true);
		assert_int_equal(step.to, WORKER_FAILED);
		assert_int_equal(step.why, WORKER_WHY_TRIAL);
		worker_fsm_free(&fsm);
	}
}

/* A worker that was to be killed anyhow, for the time it took, and is then
   stopped for good: its exit is final. */
static void
stop_during_a_kill_is_remembered(void **state)
{
	static const enum worker_event ways[] = {
		WORKER_EV_STOP, WORKER_EV_KILL,
	};
	const struct conf_app app = config(CONF_READY_NOTIFY,
	    CONF_RESTART_ALWAYS);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct worker_fsm fsm = machine(WORKER_STARTING);
		struct worker_step step;

		step_at(&fsm, &app, WORKER_EV_DEADLINE, 10, false);
		assert_int_equal(fsm.state, WORKER_KILLED);
		step = step_at(&fsm, &app, ways[i], 20, false);
		assert_int_equal(step.to, WORKER_KILLED);
		assert_false(step.send_stop || step.send_kill);
		assert_true(fsm.unwanted);
		step = step_at(&fsm, &app, WORKER_EV_EXITED, 30, true);
		assert_int_equal(step.to, WORKER_ENDED);
		worker_fsm_free(&fsm);
	}
}

static void
stop_that_needs_a_kill(void **state)
{
	const struct conf_app app = config(CONF_READY_AUTO,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = machine(WORKER_READY);
	struct worker_step step;

	(void)state;
	step = step_at(&fsm, &app, WORKER_EV_STOP, 500, false);
	assert_true(step.send_stop);
	expect_deadline(&fsm, 500 + STOP_MS);
	/* A second one does not prolong it. */
	step = step_at(&fsm, &app, WORKER_EV_STOP, 900, false);
	assert_false(step.send_stop);
	expect_deadline(&fsm, 500 + STOP_MS);
	step = step_at(&fsm, &app, WORKER_EV_DEADLINE, 500 + STOP_MS, false);
	assert_true(step.send_kill);
	assert_int_equal(step.why, WORKER_WHY_STOP_TIMEOUT);
	assert_true(mono_is_never(fsm.deadline));
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 600 + STOP_MS, true);
	assert_int_equal(step.to, WORKER_ENDED);
	worker_fsm_free(&fsm);
}

static void
limit_parks(void **state)
{
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = WORKER_FSM_INIT;
	struct worker_step step;

	(void)state;
	app.restart_limit = 2;
	app.restart_limit_ms = 60000;
	step_at(&fsm, &app, WORKER_EV_START, 0, false);
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 10, true);
	assert_int_equal(step.to, WORKER_BACKOFF);
	step_at(&fsm, &app, WORKER_EV_DEADLINE, 110, false);
	step = step_at(&fsm, &app, WORKER_EV_EXITED, 120, true);
	assert_int_equal(step.to, WORKER_PARKED);
	assert_int_equal(step.why, WORKER_WHY_LIMIT);
	assert_int_equal(step.delay_ms, 0);
	assert_false(step.spawn);
	assert_true(mono_is_never(fsm.deadline));
	worker_fsm_free(&fsm);
}

/* ---- retiring ---- */

static struct worker_step
step_while(struct worker_fsm *fsm, const struct conf_app *app,
    enum worker_event event, int64_t ms, bool waiting)
{
	const struct worker_facts facts = {
		.now = at(ms), .dice = EVEN, .failure = true,
		.waiting = waiting,
	};

	return worker_fsm_step(fsm, app, event, &facts);
}

static struct conf_app
with_listener(void)
{
	struct conf_app app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);

	app.n_listens = 1;
	return app;
}

static void
drain_that_comes_to_its_end(void **state)
{
	const struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_READY);
	struct worker_step step;

	(void)state;
	step = step_while(&fsm, &app, WORKER_EV_RETIRE, 500, true);
	assert_int_equal(step.to, WORKER_DRAINING);
	assert_int_equal(step.why, WORKER_WHY_RETIRING);
	assert_false(step.send_stop || step.send_kill || step.spawn);
	expect_deadline(&fsm, 500 + DRAIN_MS);
	/* A second one does not prolong it. */
	step_while(&fsm, &app, WORKER_EV_RETIRE, 900, false);
	expect_deadline(&fsm, 500 + DRAIN_MS);
	step = step_while(&fsm, &app, WORKER_EV_DRAINED, 1000, false);
	assert_int_equal(step.to, WORKER_STOPPING);
	assert_int_equal(step.why, WORKER_WHY_DRAINED);
	assert_true(step.send_stop);
	expect_deadline(&fsm, 1000 + STOP_MS);
	/* News of a look that had begun before. */
	step = step_while(&fsm, &app, WORKER_EV_DRAINED, 1001, false);
	assert_false(step.send_stop);
	step = step_while(&fsm, &app, WORKER_EV_EXITED, 1100, false);
	assert_int_equal(step.to, WORKER_ENDED);
	worker_fsm_free(&fsm);
}

static void
drain_that_takes_too_long(void **state)
{
	const struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_READY);
	struct worker_step step;

	(void)state;
	step_while(&fsm, &app, WORKER_EV_RETIRE, 500, false);
	step = step_while(&fsm, &app, WORKER_EV_DEADLINE, 500 + DRAIN_MS,
	    false);
	assert_int_equal(step.to, WORKER_STOPPING);
	assert_int_equal(step.why, WORKER_WHY_DRAIN_TIMEOUT);
	assert_true(step.send_stop);
	expect_deadline(&fsm, 500 + DRAIN_MS + STOP_MS);
	step = step_while(&fsm, &app, WORKER_EV_DEADLINE,
	    500 + DRAIN_MS + STOP_MS, false);
	assert_int_equal(step.to, WORKER_KILLED);
	assert_true(step.send_kill);
	worker_fsm_free(&fsm);
}

/* drain_timeout = 0, or nothing that could be looked at. */
static void
retirement_without_a_drain(void **state)
{
	struct conf_app app = with_listener();

	(void)state;
	app.drain_timeout_ms = 0;
	for (int i = 0; i < 2; i++) {
		struct worker_fsm fsm = machine(WORKER_READY);
		struct worker_step step = step_while(&fsm, &app,
		    WORKER_EV_RETIRE, 500, false);

		assert_int_equal(step.to, WORKER_STOPPING);
		assert_true(step.send_stop);
		expect_deadline(&fsm, 500 + STOP_MS);
		worker_fsm_free(&fsm);
		app = config(CONF_READY_AUTO, CONF_RESTART_ALWAYS);
	}
}

static void
stop_and_kill_end_a_drain(void **state)
{
	const struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_DRAINING);
	struct worker_step step;

	(void)state;
	step = step_while(&fsm, &app, WORKER_EV_STOP, 700, true);
	assert_int_equal(step.to, WORKER_STOPPING);
	assert_int_equal(step.why, WORKER_WHY_ASKED);
	assert_true(step.send_stop);
	/* Nobody comes for those who wait, then. */
	step = step_while(&fsm, &app, WORKER_EV_EXITED, 800, true);
	assert_int_equal(step.to, WORKER_ENDED);
	assert_false(step.spawn);
	worker_fsm_free(&fsm);

	fsm = machine(WORKER_DRAINING);
	step = step_while(&fsm, &app, WORKER_EV_KILL, 700, true);
	assert_int_equal(step.to, WORKER_KILLED);
	assert_true(step.send_kill);
	step = step_while(&fsm, &app, WORKER_EV_EXITED, 800, true);
	assert_int_equal(step.to, WORKER_ENDED);
	worker_fsm_free(&fsm);
}

/* It was told to stop when it had drained, and more had come by then. */
static void
who_waits_after_the_drain_is_rescued_too(void **state)
{
	const struct conf_app app = with_listener();

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct worker_fsm fsm = machine(WORKER_READY);
		struct worker_step step;

		step_while(&fsm, &app, WORKER_EV_RETIRE, 500, false);
		step_while(&fsm, &app, i == 0 ? WORKER_EV_DRAINED :
		    WORKER_EV_DEADLINE, 600, false);
		assert_int_equal(fsm.state, WORKER_STOPPING);
		step = step_while(&fsm, &app, WORKER_EV_EXITED, 700, true);
		assert_int_equal(step.to, WORKER_EXECING);
		assert_int_equal(step.why, WORKER_WHY_RESCUE);
		worker_fsm_free(&fsm);
	}
}

/* What is to run once is not run again for anybody. */
static void
never_means_no_rescue(void **state)
{
	struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_DRAINING);
	struct worker_step step;

	(void)state;
	app.restart = CONF_RESTART_NEVER;
	step = step_while(&fsm, &app, WORKER_EV_EXITED, 1000, true);
	assert_int_equal(step.to, WORKER_ENDED);
	assert_false(step.spawn);
	worker_fsm_free(&fsm);
}

/* A first start for those who wait is no restart, and drains whatever the
   configuration says. */
static void
one_that_begins_for_others_drains(void **state)
{
	struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_IDLE);
	struct worker_step step;

	(void)state;
	app.restart = CONF_RESTART_NEVER;
	app.drain_timeout_ms = 0;
	step = step_while(&fsm, &app, WORKER_EV_RETIRE, 500, true);
	assert_true(step.spawn);
	assert_int_equal(step.why, WORKER_WHY_RESCUE);
	/* Another one who wants it to go changes nothing. */
	step = step_while(&fsm, &app, WORKER_EV_RETIRE, 505, true);
	assert_int_equal(step.to, WORKER_EXECING);
	step_while(&fsm, &app, WORKER_EV_EXECUTED, 510, false);
	step = step_while(&fsm, &app, WORKER_EV_RETIRE, 520, true);
	assert_int_equal(step.to, WORKER_STARTING);
	assert_false(step.send_stop || step.send_kill);
	step = step_while(&fsm, &app, WORKER_EV_WAITS, 600, false);
	assert_int_equal(step.to, WORKER_DRAINING);
	expect_deadline(&fsm, 600 + STOP_MS);
	worker_fsm_free(&fsm);

	fsm = machine(WORKER_BACKOFF);
	step = step_while(&fsm, &app, WORKER_EV_RETIRE, 500, true);
	assert_false(step.spawn);
	assert_int_equal(step.to, WORKER_ENDED);
	worker_fsm_free(&fsm);
}

/* The rescuer drains like the one before it, and its life and death are no
   matter of the restart policy, unless that is `never`. */
static void
rescue_goes_on_draining(void **state)
{
	static const enum worker_event ways[] = {
		WORKER_EV_WAITS, WORKER_EV_DEADLINE,
	};
	struct conf_app app = with_listener();

	(void)state;
	app.restart = CONF_RESTART_ON_FAILURE;
	app.restart_limit = 1;
	app.restart_limit_ms = 60000;
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		struct worker_fsm fsm = machine(WORKER_DRAINING);
		struct worker_step step;

		step_while(&fsm, &app, WORKER_EV_EXITED, 1000, true);
		step_while(&fsm, &app, WORKER_EV_EXECUTED, 1010, false);
		assert_int_equal(fsm.state, WORKER_STARTING);
		expect_deadline(&fsm, 1010 + READY_MS);
		step = step_while(&fsm, &app, ways[i], 1100, false);
		assert_int_equal(step.to, WORKER_DRAINING);
		assert_int_equal(step.why, WORKER_WHY_RETIRING);
		expect_deadline(&fsm, 1100 + DRAIN_MS);
		assert_int_equal(fsm.history.streak, 0);
		step = step_while(&fsm, &app, WORKER_EV_DRAINED, 1200, false);
		assert_true(step.send_stop);
		step = step_while(&fsm, &app, WORKER_EV_EXITED, 1300, false);
		assert_int_equal(step.to, WORKER_ENDED);
		worker_fsm_free(&fsm);
	}
}

/* It said so before the exec's report came. */
static void
early_word_of_a_rescuer_counts(void **state)
{
	const struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_DRAINING);

	(void)state;
	step_while(&fsm, &app, WORKER_EV_EXITED, 1000, true);
	step_while(&fsm, &app, WORKER_EV_NOTIFY_READY, 1010, false);
	assert_int_equal(fsm.state, WORKER_STARTING);
	step_while(&fsm, &app, WORKER_EV_WAITS, 1020, false);
	assert_int_equal(fsm.state, WORKER_DRAINING);
	expect_deadline(&fsm, 1020 + DRAIN_MS);
	worker_fsm_free(&fsm);
}

static void
nobody_is_rescued_after_the_drain_of_a_stop(void **state)
{
	const struct conf_app app = with_listener();
	const struct worker_facts facts = {
		.now = at(600), .dice = EVEN, .ends = true,
	};
	struct worker_fsm fsm = machine(WORKER_READY);

	(void)state;
	step_while(&fsm, &app, WORKER_EV_RETIRE, 500, false);
	worker_fsm_step(&fsm, &app, WORKER_EV_DEADLINE, &facts);
	assert_int_equal(fsm.state, WORKER_STOPPING);
	step_while(&fsm, &app, WORKER_EV_EXITED, 700, true);
	assert_int_equal(fsm.state, WORKER_ENDED);
	worker_fsm_free(&fsm);
}

/* A drain_timeout of 0 meets one that was to go on for those who wait. */
static void
rescue_without_a_drain_is_stopped_when_ready(void **state)
{
	struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_STARTING);
	struct worker_step step;

	(void)state;
	app.drain_timeout_ms = 0;
	step_while(&fsm, &app, WORKER_EV_RETIRE, 500, true);
	assert_int_equal(fsm.state, WORKER_STARTING);
	step = step_while(&fsm, &app, WORKER_EV_WAITS, 600, false);
	assert_int_equal(step.to, WORKER_STOPPING);
	assert_true(step.send_stop);
	worker_fsm_free(&fsm);
}

static void
rescues_come_to_an_end(void **state)
{
	const struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_DRAINING);
	struct worker_step step;

	(void)state;
	for (unsigned i = 1; i <= RESCUES; i++) {
		step = step_while(&fsm, &app, WORKER_EV_EXITED, 1000 * i,
		    true);
		assert_int_equal(step.why, WORKER_WHY_RESCUE);
		assert_true(step.spawn);
		assert_int_equal(fsm.rescues, i);
	}
	step = step_while(&fsm, &app, WORKER_EV_EXITED, 9000, true);
	assert_int_equal(step.to, WORKER_ENDED);
	assert_false(step.spawn);
	worker_fsm_free(&fsm);
}

static void
rescue_that_cannot_be_forked_is_tried_again(void **state)
{
	const struct conf_app app = with_listener();
	struct worker_fsm fsm = machine(WORKER_DRAINING);
	struct worker_step step;

	(void)state;
	step_while(&fsm, &app, WORKER_EV_EXITED, 1000, true);
	step = step_while(&fsm, &app, WORKER_EV_FORK_FAILED, 1000, false);
	assert_int_equal(step.to, WORKER_BACKOFF);
	expect_deadline(&fsm, 1000 + DELAY_MS);
	step = step_while(&fsm, &app, WORKER_EV_DEADLINE, 1000 + DELAY_MS,
	    false);
	assert_int_equal(step.to, WORKER_EXECING);
	assert_true(fsm.retiring);
	worker_fsm_free(&fsm);
}

/* Whoever waits for one on trial, its successor serves. */
static void
nobody_waits_for_one_on_trial(void **state)
{
	static const struct {
		enum worker_state from, to;
	} rows[] = {
		{ WORKER_IDLE, WORKER_ENDED },
		{ WORKER_EXECING, WORKER_KILLED },
		{ WORKER_STARTING, WORKER_STOPPING },
		{ WORKER_KILLED, WORKER_KILLED },
		{ WORKER_BACKOFF, WORKER_ENDED },
	};
	const struct conf_app app = with_listener();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct worker_fsm fsm = machine(rows[i].from);

		fsm.trial = true;
		step_while(&fsm, &app, WORKER_EV_RETIRE, 500, true);
		assert_int_equal(fsm.state, rows[i].to);
		assert_true(fsm.unwanted);
		assert_false(fsm.retiring);
		worker_fsm_free(&fsm);
	}
}

/* At a stop there is none: it has its place already, and those who have come
   since the old one made room (max_surge = 0). */
static void
one_on_trial_serves_who_waits_if_nobody_comes_after_it(void **state)
{
	static const struct {
		enum worker_state from, to;
	} rows[] = {
		{ WORKER_IDLE, WORKER_EXECING },
		{ WORKER_EXECING, WORKER_EXECING },
		{ WORKER_STARTING, WORKER_STARTING },
	};
	const struct conf_app app = with_listener();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct worker_facts facts = {
			.now = at(500), .dice = EVEN, .waiting = true,
			.no_successor = true,
		};
		struct worker_fsm fsm = machine(rows[i].from);

		fsm.trial = true;
		worker_fsm_step(&fsm, &app, WORKER_EV_RETIRE, &facts);
		assert_int_equal(fsm.state, rows[i].to);
		assert_true(fsm.unwanted && fsm.retiring);
		assert_false(fsm.trial);
		step_while(&fsm, &app, WORKER_EV_EXECUTED, 600, false);
		step_while(&fsm, &app, WORKER_EV_WAITS, 700, false);
		assert_int_equal(fsm.state, WORKER_DRAINING);
		worker_fsm_free(&fsm);
	}
}

/* ---- a long walk ---- */

struct walk {
	struct conf_app app;
	struct worker_fsm fsm;
	uint32_t seed;
	int64_t now_ms;
	unsigned final_steps;	/* taken since the machine has ended */
	unsigned spawns, rescues;
	unsigned visits[WORKER_STATES];
	unsigned walks;
};

static uint32_t
roll(struct walk *w)
{
	w->seed = w->seed * 1664525 + 1013904223;
	return w->seed >> 8;
}

static void
begin_walk(struct walk *w)
{
	worker_fsm_free(&w->fsm);
	w->app = config((enum conf_ready)(roll(w) % (CONF_READY_ALIVE + 1)),
	    (enum conf_restart)(roll(w) % 3));
	w->app.n_listens = roll(w) % 2;
	if (roll(w) % 4 == 0)
		w->app.drain_timeout_ms = 0;
	if (roll(w) % 4 == 0) {
		w->app.restart_limit = 1 + roll(w) % 5;
		w->app.restart_limit_ms = 1 + roll(w) % 100000;
	}
	w->app.restart_reset_ms = roll(w) % 20000;
	w->fsm = (struct worker_fsm)WORKER_FSM_INIT;
	w->fsm.trial = roll(w) % 3 == 0;
	w->final_steps = 0;
	w->walks++;
}

static bool
may_have_deadline(enum worker_state state)
{
	return state == WORKER_EXECING || state == WORKER_STARTING ||
	    state == WORKER_DRAINING || state == WORKER_STOPPING ||
	    state == WORKER_BACKOFF;
}

static void
check_invariants(const struct walk *w, const struct worker_fsm *before,
    enum worker_event event, const struct worker_step *step)
{
	const struct worker_fsm *after = &w->fsm;

	assert_int_equal(step->from, before->state);
	assert_int_equal(step->to, after->state);
	assert_true(after->state < WORKER_STATES);
	assert_false(worker_state_alive(after->state) &&
	    worker_state_final(after->state));
	/* The end is the end, and nothing happens there. */
	if (worker_state_final(before->state)) {
		assert_int_equal(after->state, before->state);
		assert_false(step->spawn || step->send_stop ||
		    step->send_kill);
	}
	/* One effect at a time. */
	assert_true(step->spawn + step->send_stop + step->send_kill <= 1);
	if (step->spawn) {
		assert_true(event == WORKER_EV_START ||
		    event == WORKER_EV_DEADLINE || event == WORKER_EV_EXITED ||
		    event == WORKER_EV_RETIRE);
		/* For the sake of others, if at all. */
		assert_true(!before->unwanted || before->retiring);
		assert_int_equal(after->state, WORKER_EXECING);
		/* Never a second process beside a living one. */
		assert_true(!worker_state_alive(before->state) ||
		    event == WORKER_EV_EXITED);
	}
	if (event != WORKER_EV_EXITED && event != WORKER_EV_FORK_FAILED &&
	    worker_state_alive(before->state))
		assert_true(worker_state_alive(after->state));
	if (step->send_stop || step->send_kill) {
		assert_true(worker_state_alive(before->state));
		assert_true(worker_state_alive(after->state));
	}
	/* Nobody takes these back. */
	if (before->unwanted) {
		assert_true(after->unwanted);
		assert_true(after->state != WORKER_READY &&
		    after->state != WORKER_PARKED &&
		    after->state != WORKER_FAILED);
		if (!after->retiring)
			assert_true(after->state == WORKER_STOPPING ||
			    after->state == WORKER_KILLED ||
			    after->state == WORKER_ENDED);
	}
	if (after->retiring)
		assert_true(after->unwanted && !after->trial);
	if (after->state == WORKER_DRAINING)
		assert_true(after->retiring && w->app.n_listens > 0 &&
		    (w->app.drain_timeout_ms > 0 || after->rescues > 0));
	assert_true(after->rescues <= RESCUES);
	assert_int_equal(after->rescues != before->rescues,
	    step->why == WORKER_WHY_RESCUE);
	/* STOP and KILL are the last word. */
	if (event == WORKER_EV_STOP && before->state != WORKER_STOPPING &&
	    !worker_state_final(before->state))
		assert_false(after->retiring);
	if (event == WORKER_EV_KILL && !worker_state_final(before->state))
		assert_false(after->retiring);
	if (!before->trial)
		assert_false(after->trial);
	if (after->trial)
		assert_true(after->state != WORKER_BACKOFF &&
		    after->state != WORKER_PARKED);
	if (event == WORKER_EV_STOP || event == WORKER_EV_KILL ||
	    event == WORKER_EV_RETIRE)
		assert_true(after->unwanted ||
		    worker_state_final(before->state));
	/* A deadline in these states, always, and in no other. */
	assert_int_equal(!mono_is_never(after->deadline),
	    may_have_deadline(after->state));
	if (may_have_deadline(after->state) && step->from != step->to)
		assert_false(mono_before(after->deadline, at(w->now_ms)));
	/* A delay is that of the backoff. */
	if (step->delay_ms != 0) {
		assert_int_equal(after->state, WORKER_BACKOFF);
		assert_true(after->deadline.ns ==
		    at(w->now_ms + step->delay_ms).ns);
	}
	/* What the worker says makes it ready, unless only what is seen does;
	   and only time makes it ready unseen. */
	if (after->state == WORKER_READY && before->state != WORKER_READY)
		assert_true(event == WORKER_EV_WAITS ||
		    (event == WORKER_EV_NOTIFY_READY &&
			w->app.ready != CONF_READY_ACCEPT &&
			w->app.n_listens == 0) ||
		    (event == WORKER_EV_BLIND && before->said) ||
		    (event == WORKER_EV_DEADLINE && (before->said ||
			w->app.ready == CONF_READY_AUTO ||
			    w->app.ready == CONF_READY_ALIVE)));
	if (after->state == WORKER_READY && w->app.ready == CONF_READY_ACCEPT)
		assert_false(after->said);
	if (after->state == WORKER_PARKED && before->state != WORKER_PARKED)
		assert_true(w->app.restart_limit > 0);
}

static void
a_million_events(void **state)
{
	struct walk w = { .seed = 20240229 };

	(void)state;
	begin_walk(&w);
	for (unsigned i = 0; i < 1000000; i++) {
		const struct worker_fsm before = w.fsm;
		/* Stops are rarer, or no walk would get far. */
		enum worker_event event = (enum worker_event)(roll(&w) %
		    (roll(&w) % 8 == 0 ? WORKER_EVENTS :
		    w.fsm.retiring ? WORKER_EV_STOP :
		    WORKER_EV_RETIRE + (roll(&w) % 4 == 0)));
		struct worker_facts facts;
		struct worker_step step;

		w.now_ms += roll(&w) % 4 == 0 ? roll(&w) % 30000 :
		    roll(&w) % 50;
		facts = (struct worker_facts){
			.now = at(w.now_ms), .dice = roll(&w),
			.failure = roll(&w) % 2 == 0,
			.waiting = roll(&w) % 3 == 0,
			.no_successor = roll(&w) % 2 == 0,
		};
		step = worker_fsm_step(&w.fsm, &w.app, event, &facts);
		check_invariants(&w, &before, event, &step);
		w.visits[step.to]++;
		w.spawns += step.spawn;
		w.rescues += step.why == WORKER_WHY_RESCUE;
		if (worker_state_final(step.to) && ++w.final_steps > 10)
			begin_walk(&w);
	}
	worker_fsm_free(&w.fsm);
	/* It was everywhere. */
	for (int s = 0; s < WORKER_STATES; s++)
		assert_true(w.visits[s] > 1000);
	assert_true(w.spawns > 10000);
	assert_in_range(w.rescues, 501, 10000000);
	assert_true(w.walks > 1000);
}

/* EXTEND_TIMEOUT_USEC moves the deadline further away, never nearer. */
static void
extend(struct worker_fsm *fsm, const struct conf_app *app, int64_t until)
{
	const struct worker_facts facts = {
		.now = at(1000), .dice = EVEN, .extended = at(until),
	};
	struct worker_step step = worker_fsm_step(fsm, app, WORKER_EV_EXTEND,
	    &facts);

	assert_int_equal(step.why, WORKER_WHY_NOTHING);
	assert_false(step.spawn || step.send_stop || step.send_kill);
}

static void
a_start_and_a_stop_are_extended(void **state)
{
	static const enum worker_state states[] = {
		WORKER_STARTING, WORKER_STOPPING,
	};
	const struct conf_app app = config(CONF_READY_NOTIFY,
	    CONF_RESTART_ALWAYS);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct worker_fsm fsm = machine(states[i]);

		extend(&fsm, &app, 123000);
		assert_int_equal(fsm.deadline.ns, at(123456).ns);
		extend(&fsm, &app, 200000);
		assert_int_equal(fsm.deadline.ns, at(200000).ns);
		extend(&fsm, &app, 150000);
		assert_int_equal(fsm.deadline.ns, at(200000).ns);
		assert_int_equal(fsm.state, states[i]);
		worker_fsm_free(&fsm);
	}
}

static void
it_may_be_asked_for_before_the_exec_is_known(void **state)
{
	const struct conf_app app = config(CONF_READY_NOTIFY,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = machine(WORKER_EXECING);

	(void)state;
	extend(&fsm, &app, 1000 + READY_MS + 500);
	assert_int_equal(fsm.state, WORKER_STARTING);
	assert_int_equal(fsm.deadline.ns, at(1000 + READY_MS + 500).ns);
	worker_fsm_free(&fsm);
}

/* To be alive for a while is no time-out, and a drain is not the worker's. */
static void
other_times_are_not_extended(void **state)
{
	const struct conf_app alive = config(CONF_READY_ALIVE,
	    CONF_RESTART_ALWAYS);
	struct worker_fsm fsm = machine(WORKER_STARTING);

	(void)state;
	extend(&fsm, &alive, 200000);
	assert_int_equal(fsm.deadline.ns, at(123456).ns);
	fsm.state = WORKER_DRAINING;
	extend(&fsm, &alive, 200000);
	assert_int_equal(fsm.deadline.ns, at(123456).ns);
	worker_fsm_free(&fsm);
}

static void
well_before_the_exec_is_known(void **state)
{
	const struct conf_app app = config(CONF_READY_HEALTH,
	    CONF_RESTART_ALWAYS);
	const struct worker_facts facts = { .now = at(1000), .dice = EVEN };
	struct worker_fsm fsm = machine(WORKER_EXECING);

	(void)state;
	(void)worker_fsm_step(&fsm, &app, WORKER_EV_HEALTHY, &facts);
	assert_int_equal(fsm.state, WORKER_READY);
	worker_fsm_free(&fsm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_and_a_stop_are_extended),
		cmocka_unit_test(it_may_be_asked_for_before_the_exec_is_known),
		cmocka_unit_test(other_times_are_not_extended),
		cmocka_unit_test(well_before_the_exec_is_known),
		cmocka_unit_test(every_cell_is_as_expected),
		cmocka_unit_test(every_cell_with_listeners),
		cmocka_unit_test(every_cell_while_somebody_waits),
		cmocka_unit_test(names_are_distinct),
		cmocka_unit_test(alive_and_final),
		cmocka_unit_test(fresh_machine_is_idle),
		cmocka_unit_test(ready_by_health_only),
		cmocka_unit_test(ready_by_notification_only),
		cmocka_unit_test(ready_by_being_seen_only),
		cmocka_unit_test(ready_by_itself_with_listeners),
		cmocka_unit_test(word_and_wait),
		cmocka_unit_test(unseen_in_the_place_of_seen),
		cmocka_unit_test(no_exec_in_time_is_a_kill),
		cmocka_unit_test(ready_by_being_alive),
		cmocka_unit_test(short_timeout_cuts_auto),
		cmocka_unit_test(life_counts_from_the_exec),
		cmocka_unit_test(delays_grow_from_death_to_death),
		cmocka_unit_test(deaths_by_policy),
		cmocka_unit_test(deaths_on_trial),
		cmocka_unit_test(deaths_of_the_unwanted),
		cmocka_unit_test(trial_ends_when_it_has_passed),
		cmocka_unit_test(trial_ends_by_a_drain),
		cmocka_unit_test(trial_of_a_server_that_ends_well),
		cmocka_unit_test(trial_has_one_try),
		cmocka_unit_test(stop_during_a_kill_is_remembered),
		cmocka_unit_test(stop_that_needs_a_kill),
		cmocka_unit_test(limit_parks),
		cmocka_unit_test(drain_that_comes_to_its_end),
		cmocka_unit_test(drain_that_takes_too_long),
		cmocka_unit_test(retirement_without_a_drain),
		cmocka_unit_test(stop_and_kill_end_a_drain),
		cmocka_unit_test(who_waits_after_the_drain_is_rescued_too),
		cmocka_unit_test(never_means_no_rescue),
		cmocka_unit_test(one_that_begins_for_others_drains),
		cmocka_unit_test(rescue_goes_on_draining),
		cmocka_unit_test(early_word_of_a_rescuer_counts),
		cmocka_unit_test(rescue_without_a_drain_is_stopped_when_ready),
		cmocka_unit_test(rescues_come_to_an_end),
		cmocka_unit_test(rescue_that_cannot_be_forked_is_tried_again),
		cmocka_unit_test(nobody_is_rescued_after_the_drain_of_a_stop),
		cmocka_unit_test(nobody_waits_for_one_on_trial),
		cmocka_unit_test(
		    one_on_trial_serves_who_waits_if_nobody_comes_after_it),
		cmocka_unit_test(a_relapse_is_a_start_that_fails_later),
		cmocka_unit_test(a_million_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
