/*
 * Workers whose processes are none: spawn() gives numbers that no process can
 * have, and the test says what becomes of them. All else is real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"
#include "core/worker/worker_words.h"
#include "daemon/adopt/adopt.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/notify.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/spawn.h"
#include "linux/process/cgroup_tree.h"
#include "linux/process/process.h"
#include "lib/config.h"

/* Above any pid (PID_MAX_LIMIT, linux/threads.h). */
#define FIRST_PID (4 * 1024 * 1024 + 1)

/* Linked with --wrap for these. */
struct mono __wrap_mono_now(void);
int __wrap_spawn(const struct spawn_plan *plan, struct spawn_room *ret_room,
    pid_t *ret_pid, int *ret_report);
void __wrap_process_kill(pid_t pid, int signo);
void __wrap_process_kill_group(pid_t pgid, int signo);
void __wrap_process_reap(pid_t pid);
bool __wrap_process_child_in_group(pid_t pgid);
void __wrap_log_vital(enum log_level level, const struct log_about *about,
    const void *kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static struct mono now;
static unsigned spawned, told_ends;
static const void *vital;	/* the kind of the last line that no other one
				   leaves out */
static unsigned n_vital;
static unsigned n_unlimited;	/* … lines that say that there are no limits */
static bool limited;		/* the last one that was spawned */
static int spawn_code;
static int report;		/* the child's end of the latest; -1 */
static int last_signal;		/* that a group was sent; 0: none */
static bool group_lives;
static int64_t spawn_ms;	/* that a fork takes */

static struct loop *loop;
static struct workers workers;
static struct listeners listeners;
static struct outputs outputs;
static struct steering steering;
static struct readiness readiness;
static struct notify_sockets notify;
static struct orphans orphans;
static struct drainers drainers;
static struct adopt adopt;
static struct adopt_review review;
static struct life life;
static struct app_house house = {
	.listeners = &listeners, .outputs = &outputs, .auto_instances = 1,
};
static struct crew crew;
static struct worker *w, *others[3];	/* as a test needs them, or NULL */

struct mono
__wrap_mono_now(void)
{
	return now;
}

int
__wrap_spawn(const struct spawn_plan *plan, struct spawn_room *ret_room,
    pid_t *ret_pid, int *ret_report)
{
	int ends[2];

	limited = plan->limited;
	*ret_room = (struct spawn_room)SPAWN_ROOM_INIT;
	now = mono_add_ms(now, spawn_ms);
	if (spawn_code < 0)
		return spawn_code;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
	    SOCK_NONBLOCK, 0, ends), 0);
	fd_close(&report);
	report = ends[1];
	*ret_report = ends[0];
	*ret_pid = FIRST_PID + (pid_t)spawned++;
	return 0;
}

void
__wrap_process_kill_group(pid_t pgid, int signo)
{
	assert_true(pgid >= FIRST_PID);
	last_signal = signo;
}

void
__wrap_process_kill(pid_t pid, int signo)
{
	assert_true(pid >= FIRST_PID);
	last_signal = signo;
}

void
__wrap_process_reap(pid_t pid)
{
	assert_true(pid >= FIRST_PID);
}

bool
__wrap_process_child_in_group(pid_t pgid)
{
	assert_true(pgid >= FIRST_PID);
	return group_lives;
}

void
__wrap_log_vital(enum log_level level, const struct log_about *about,
    const void *kind, const char *fmt, ...)
{
	(void)level;
	assert_string_equal(about->app, "web");
	if (strstr(fmt, "its limits are not in force") != NULL) {
		n_unlimited++;
		return;
	}
	vital = kind;
	n_vital++;
}

/* ---- what the rooms above are told ---- */

static void
stepped(struct worker *worker, const struct worker_step *step)
{
	assert_true(worker == w || worker == others[0] ||
	    worker == others[1] || worker == others[2]);
	(void)step;
}

static void
ended(struct worker *worker, const struct worker_step *step,
    enum restart_cause cause, const char *words)
{
	(void)worker;
	(void)step;
	(void)cause;
	assert_non_null(words);
	told_ends++;
}

/* Nobody drains here. */
static void
finished(struct worker *worker)
{
	(void)worker;
	fail();
}

static const struct worker_events events = { stepped, ended, finished };

/* ---- the house ---- */

static struct app_spec *
new_spec(const char *keys)
{
	struct app_spec *spec = NULL;
	struct error err = ERROR_INIT;
	struct config *config;
	char text[512];

	snprintf(text, sizeof(text), "[web]\ncommand = /x\n%s", keys);
	config = config_of(text);
	assert_int_equal(app_spec_new(&house, config, &config->apps[0], &spec,
	    &err), 0);
	app_spec_try(spec, 1);
	app_spec_put_in_force(spec);
	config_unref(config);
	return spec;
}

static void
begin(const char *keys)
{
	struct error err = ERROR_INIT;

	log_set_level(LOG_LEVEL_ERROR);
	now = mono_add_ms((struct mono){ .ns = 0 }, 100000);
	spawned = told_ends = n_vital = n_unlimited = 0;
	spawn_code = last_signal = 0;
	spawn_ms = 0;
	report = -1;
	group_lives = false;
	memset(&workers, 0, sizeof(workers));
	listeners = (struct listeners)LISTENERS_INIT;
	drainers = (struct drainers){ .batch = { .diag = SOCKDIAG_INIT } };
	life = (struct life)LIFE_INIT;
	assert_int_equal(life_init(&life, &err), 0);
	assert_int_equal(loop_new(&loop, &err), 0);
	workers_init(&workers, loop, &events, 1);
	assert_int_equal(notify_init(&notify, loop, &workers), 0);
	assert_int_equal(orphans_init(&orphans, loop, &workers), 0);
	assert_int_equal(adopt_init(&adopt, loop, &workers, &orphans, &review),
	    0);
	assert_int_equal(adopt_review_init(&review, loop, &workers, &orphans),
	    0);
	assert_int_equal(readiness_init(&readiness, loop), 0);
	assert_int_equal(steer_init(&steering, loop, &listeners, &workers), 0);
	assert_int_equal(drainers_init(&drainers, loop), 0);
	listeners_init(&listeners, loop);
	outputs_init(&outputs, loop, NULL, NULL);
	life_move_in(&life, &(struct life_house){
		.workers = &workers, .listeners = &listeners,
		.outputs = &outputs, .steering = &steering,
		.readiness = &readiness, .notify = &notify,
		.drainers = &drainers, .orphans = &orphans, .adopt = &adopt,
		.review = &review,
	});
	crew = (struct crew){
		.name = (char *)"web", .wanted = 1, .stable = new_spec(keys),
	};
	workers_enter(&workers, &crew);
	w = worker_new(&life, &crew, crew.stable, 0, false);
	assert_non_null(w);
}

static int
end(void **state)
{
	(void)state;
	fd_close(&report);
	worker_free(w);
	for (size_t i = 0; i < 3; i++) {
		worker_free(others[i]);
		others[i] = NULL;
	}
	workers_leave(&crew);
	app_spec_unref(crew.stable);
	notify_fini(&notify);
	orphans_fini(&orphans);
	adopt_fini(&adopt);
	adopt_review_fini(&review);
	readiness_fini(&readiness);
	steer_fini(&steering);
	drainers_fini(&drainers);
	listeners_fini(&listeners);
	outputs_fini(&outputs);
	life_fini(&life);
	loop_free(loop);
	return 0;
}

/* The child has executed the program: its end of the report is closed. */
static void
execute(void)
{
	fd_close(&report);
	loop_turn(loop);
}

static void
die(int code)
{
	worker_died(w, (struct exit_status){ .code = code });
	life_turn(&life);
}

/* ---- tests ---- */

static void
an_event_is_taken_at_the_end_of_the_turn(void **state)
{
	(void)state;
	begin("");
	worker_start(w);
	assert_int_equal(w->fsm.state, WORKER_EXECING);
	assert_int_equal(w->pid, FIRST_PID);
	assert_ptr_equal(workers_find(&workers, FIRST_PID), w);
	execute();
	assert_int_equal(w->fsm.state, WORKER_EXECING);
	assert_ptr_equal(workers_posted(&workers), w);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_STARTING);
	assert_null(workers_posted(&workers));
	assert_true(crew.executed);
}

/* Its exec was still to be read when it died. */
static void
what_it_said_while_it_lived_comes_before_its_death(void **state)
{
	(void)state;
	begin("restart = never\n");
	worker_start(w);
	fd_close(&report);
	die(3);
	assert_true(crew.executed);
	assert_int_equal(w->fsm.state, WORKER_FAILED);
	assert_string_equal(w->death, "exited with code 3");
	assert_int_equal(w->pid, 0);
	assert_null(workers_find(&workers, FIRST_PID));
	assert_int_equal(told_ends, 1);
}

static void
a_deadline_that_was_moved_is_none(void **state)
{
	(void)state;
	begin("ready = notify\nready_timeout = 1s\n");
	worker_start(w);
	now = mono_add_ms(now, 1000);
	/* Both in one turn: the program runs, which gives it another second. */
	worker_post(w, WORKER_EV_DEADLINE);
	execute();
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_STARTING);
	assert_int_equal(last_signal, 0);
	now = mono_add_ms(now, 1000);
	loop_turn(loop);
	assert_int_equal(w->fsm.state, WORKER_STARTING);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_KILLED);
	assert_int_equal(last_signal, SIGKILL);
}

/* The start that was due comes first, and must not forget what is wanted. */
static void
a_stop_beside_a_start_that_is_due_is_not_lost(void **state)
{
	(void)state;
	begin("restart_delay = 100ms\n");
	worker_start(w);
	execute();
	life_turn(&life);
	die(1);
	assert_int_equal(w->fsm.state, WORKER_BACKOFF);
	now = mono_add_ms(now, 200);
	worker_post(w, WORKER_EV_DEADLINE);
	worker_stop(w);
	assert_int_equal(spawned, 2);
	assert_true(w->fsm.unwanted);
	assert_int_equal(w->fsm.state, WORKER_KILLED);
	assert_int_equal(last_signal, SIGKILL);
	die(0);
	assert_int_equal(w->fsm.state, WORKER_ENDED);
	assert_int_equal(spawned, 2);
}

/* Each death has one line, and so has each process that cannot be had. */
static void
what_happens_once_is_told_beside_much_else(void **state)
{
	(void)state;
	begin("restart_delay = 100ms\n");
	spawn_code = -EAGAIN;
	worker_start(w);
	assert_int_equal(n_vital, 1);
	assert_non_null(vital);
}

static void
become_ready(void)
{
	execute();
	life_turn(&life);
	now = mono_add_ms(now, 2000);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_READY);
}

/* What an order begins is told of each; what may come again has a limit. */
static void
a_worker_that_is_ready_again_counts(void **state)
{
	const void *ready = NULL;

	(void)state;
	begin("restart_delay = 100ms\n");
	worker_start(w);
	become_ready();
	assert_int_equal(n_vital, 0);
	for (unsigned i = 1; i <= 2; i++) {
		die(1);
		assert_int_equal(n_vital, 2 * i - 1);
		assert_ptr_not_equal(vital, ready);
		now = mono_add_ms(now, 1000);
		loop_turn(loop);
		life_turn(&life);
		become_ready();
		assert_int_equal(n_vital, 2 * i);
		/* Another reason is another kind. */
		assert_ptr_equal(vital, worker_reason_text(WORKER_WHY_ALIVE));
		ready = vital;
	}
}

static void
let_it_be_late(void)
{
	execute();
	life_turn(&life);
	now = mono_add_ms(now, 5000);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_KILLED);
}

static void
so_does_one_that_is_late_again(void **state)
{
	(void)state;
	begin("ready = notify\nready_timeout = 5s\nrestart_delay = 100ms\n");
	worker_start(w);
	let_it_be_late();
	assert_int_equal(n_vital, 0);
	die(1);
	assert_int_equal(n_vital, 1);
	now = mono_add_ms(now, 1000);
	loop_turn(loop);
	life_turn(&life);
	let_it_be_late();
	assert_int_equal(n_vital, 2);
	assert_non_null(vital);
}

/* Another reason is another line. */
static void
programs_that_cannot_be_executed_are_of_several_kinds(void **state)
{
	static const int errors[] = { ENOENT, EACCES, ENOENT };
	const void *kinds[3];

	(void)state;
	begin("restart_delay = 100ms\n");
	worker_start(w);
	for (size_t i = 0; i < 3; i++) {
		const struct spawn_failure failure = {
			.stage = SPAWN_EXEC, .err = errors[i],
		};

		assert_int_equal(w->fsm.state, WORKER_EXECING);
		assert_int_equal(write(report, &failure, sizeof(failure)),
		    sizeof(failure));
		die(127);
		assert_int_equal(n_vital, i + 1);
		kinds[i] = vital;
		now = mono_add_ms(now, 1000);
		loop_turn(loop);
		life_turn(&life);
	}
	assert_ptr_not_equal(kinds[0], kinds[1]);
	assert_ptr_equal(kinds[0], kinds[2]);
}

static void
a_process_that_cannot_be_had_is_tried_again(void **state)
{
	(void)state;
	begin("restart_delay = 100ms\n");
	spawn_code = -EAGAIN;
	worker_start(w);
	assert_int_equal(w->fsm.state, WORKER_BACKOFF);
	assert_int_equal(told_ends, 1);
	assert_int_equal(w->pid, 0);
	spawn_code = 0;
	now = mono_add_ms(now, 200);
	loop_turn(loop);
	assert_int_equal(spawned, 0);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_EXECING);
	assert_int_equal(spawned, 1);
}

static void
the_rest_of_a_group_is_waited_for_in_a_stop(void **state)
{
	(void)state;
	begin("stop_timeout = 5s\n");
	worker_start(w);
	execute();
	life_turn(&life);
	worker_stop(w);
	assert_int_equal(w->fsm.state, WORKER_STOPPING);
	group_lives = true;
	die(0);
	assert_true(w->lingering);
	assert_false(worker_has_leader(w));
	assert_int_equal(w->fsm.state, WORKER_STOPPING);
	assert_int_equal(told_ends, 0);
	/* Somebody of another group has died. */
	life_group_shrank(&life, w->pid + 1);
	assert_true(w->lingering);
	group_lives = false;
	life_group_shrank(&life, w->pid);
	assert_int_equal(w->fsm.state, WORKER_ENDED);
	assert_int_equal(told_ends, 1);
}

/* The delay of four is over at once, and a turn has time for one. */
static void
those_who_come_back_do_so_in_several_turns(void **state)
{
	(void)state;
	begin("restart_delay = 100ms\n");
	spawn_code = -EAGAIN;
	worker_start(w);
	for (size_t i = 0; i < 3; i++) {
		others[i] = worker_new(&life, &crew, crew.stable,
		    (unsigned)i + 1, false);
		assert_non_null(others[i]);
		worker_start(others[i]);
	}
	life_turn(&life);
	spawn_code = 0;
	spawn_ms = 5;
	now = mono_add_ms(now, 200);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(spawned, 1);
	/* Nobody is waited for. */
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(spawned, 2);
	/* One that is to stop meanwhile is not started. */
	for (size_t i = 0; i < 3; i++)
		if (others[i]->fsm.state == WORKER_BACKOFF) {
			worker_stop(others[i]);
			assert_int_equal(others[i]->fsm.state, WORKER_ENDED);
			break;
		}
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(spawned, 3);
	assert_true(TAILQ_EMPTY(&life.late));
}

/* A stop has begun, and its turn to be told of it has not come yet. */
static void
who_dies_before_it_is_told_to_retire_is_not_started(void **state)
{
	(void)state;
	begin("restart_delay = 1ms\n");
	worker_start(w);
	execute();
	life_turn(&life);
	crew.stopping = true;
	die(1);
	assert_int_equal(w->fsm.state, WORKER_ENDED);
	assert_true(w->fsm.unwanted);
	assert_int_equal(spawned, 1);
	worker_retire(w);
	assert_int_equal(w->fsm.state, WORKER_ENDED);
}

static void
nor_is_its_group_left_behind(void **state)
{
	(void)state;
	begin("stop_timeout = 5s\n");
	worker_start(w);
	execute();
	life_turn(&life);
	/* It is ready, and nothing else is to come. */
	now = mono_add_ms(now, 2000);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_READY);
	crew.stopping = group_lives = true;
	die(0);
	assert_true(w->lingering);
	assert_int_equal(w->fsm.state, WORKER_STOPPING);
	assert_int_equal(told_ends, 0);
	now = mono_add_ms(now, 5000);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_KILLED);
	assert_int_equal(last_signal, SIGKILL);
	/* Its turn. */
	worker_retire(w);
	assert_true(w->lingering);
	group_lives = false;
	life_group_shrank(&life, w->pid);
	assert_int_equal(w->fsm.state, WORKER_ENDED);
	assert_int_equal(spawned, 1);
}

static void
nor_who_waits_for_its_start_then(void **state)
{
	(void)state;
	begin("restart_delay = 100ms\n");
	worker_start(w);
	execute();
	life_turn(&life);
	die(1);
	assert_int_equal(w->fsm.state, WORKER_BACKOFF);
	crew.stopping = true;
	now = mono_add_ms(now, 200);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_ENDED);
	assert_int_equal(spawned, 1);
}

/* A seat of which no process was ever executed leaves its lane to others. */
static void
a_lane_of_a_first_start_that_failed_is_free(void **state)
{
	struct listener *l;

	(void)state;
	begin("listen = 127.0.0.1:0\nbalance = random\nhandoff = env\n"
	    "restart_delay = 100ms\n");
	l = app_spec_listener(crew.stable, 0);
	spawn_code = -EAGAIN;
	worker_start(w);
	assert_int_equal(w->fsm.state, WORKER_BACKOFF);
	assert_null(listener_first_lane(l)->holder);
	spawn_code = 0;
	now = mono_add_ms(now, 200);
	loop_turn(loop);
	life_turn(&life);
	assert_ptr_equal(listener_first_lane(l)->holder, &w->holder);
	execute();
	life_turn(&life);
	/* From now on clients may wait in it for the next process. */
	die(1);
	spawn_code = -EAGAIN;
	now = mono_add_ms(now, 1000);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_BACKOFF);
	assert_ptr_equal(listener_first_lane(l)->holder, &w->holder);
}

/* ---- control groups ---- */

static void
begin_limited(const char *dir)
{
	begin("memory_limit = 8M\nrestart_delay = 1s\n");
	life.groups = (struct cgroup_tree){
		.dir = strdup(dir), .own = strdup("_clusterd.47.9"),
		.controllers = 1U << GROUP_MEMORY,
	};
}

static void
come_back(void)
{
	now = mono_add_ms(now, 60000);
	loop_turn(loop);
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_EXECING);
}

/* A limit is not worth an outage: it is started all the same, and told of once. */
static void
a_group_that_cannot_be_made_holds_up_nobody(void **state)
{
	(void)state;
	begin_limited("/nowhere");
	worker_start(w);
	for (unsigned i = 1; i <= 3; i++) {
		assert_int_equal(w->fsm.state, WORKER_EXECING);
		assert_int_equal(spawned, i);
		assert_false(limited);
		assert_int_equal(n_unlimited, 1);
		execute();
		life_turn(&life);
		die(1);
		come_back();
	}
}

/* Nor one that takes nobody. */
static void
nor_does_one_that_cannot_be_joined(void **state)
{
	const struct spawn_failure failure = {
		.stage = SPAWN_GROUP, .err = ENOSPC,
	};

	(void)state;
	begin_limited("/nowhere");
	worker_start(w);
	n_unlimited = 0;
	w->leader->group.told = false;
	assert_int_equal(write(report, &failure, sizeof(failure)),
	    sizeof(failure));
	loop_turn(loop);
	assert_int_equal(n_unlimited, 1);
	assert_false(w->leader->group.own);
	execute();
	life_turn(&life);
	assert_int_equal(w->fsm.state, WORKER_STARTING);
	assert_int_equal(n_vital, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
		    an_event_is_taken_at_the_end_of_the_turn, end),
		cmocka_unit_test_teardown(
		    what_it_said_while_it_lived_comes_before_its_death, end),
		cmocka_unit_test_teardown(a_deadline_that_was_moved_is_none,
		    end),
		cmocka_unit_test_teardown(
		    a_stop_beside_a_start_that_is_due_is_not_lost, end),
		cmocka_unit_test_teardown(
		    those_who_come_back_do_so_in_several_turns, end),
		cmocka_unit_test_teardown(
		    who_dies_before_it_is_told_to_retire_is_not_started, end),
		cmocka_unit_test_teardown(nor_is_its_group_left_behind, end),
		cmocka_unit_test_teardown(
		    what_happens_once_is_told_beside_much_else, end),
		cmocka_unit_test_teardown(
		    a_worker_that_is_ready_again_counts, end),
		cmocka_unit_test_teardown(so_does_one_that_is_late_again, end),
		cmocka_unit_test_teardown(
		    programs_that_cannot_be_executed_are_of_several_kinds,
		    end),
		cmocka_unit_test_teardown(nor_who_waits_for_its_start_then,
		    end),
		cmocka_unit_test_teardown(
		    a_process_that_cannot_be_had_is_tried_again, end),
		cmocka_unit_test_teardown(
		    the_rest_of_a_group_is_waited_for_in_a_stop, end),
		cmocka_unit_test_teardown(
		    a_lane_of_a_first_start_that_failed_is_free, end),
		cmocka_unit_test_teardown(
		    a_group_that_cannot_be_made_holds_up_nobody, end),
		cmocka_unit_test_teardown(nor_does_one_that_cannot_be_joined,
		    end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
