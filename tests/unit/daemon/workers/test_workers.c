#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

static struct workers all;
static struct crew crew = { .name = (char *)"web" };
static struct worker a, b, c;

static int
set_up(void **state)
{
	(void)state;
	memset(&all, 0, sizeof(all));
	workers_init(&all, NULL, NULL, 1);
	workers_enter(&all, &crew);
	a = b = c = (struct worker){ .crew = &crew };
	return 0;
}

/* ---- pids ---- */

static void
a_pid_leads_to_its_worker(void **state)
{
	(void)state;
	a.pid = 7;
	b.pid = 7 + PID_BUCKETS;
	c.pid = 7 + 2 * PID_BUCKETS;
	workers_add(&all, &a);
	workers_add(&all, &b);
	workers_add(&all, &c);
	assert_ptr_equal(workers_find(&all, 7), &a);
	assert_ptr_equal(workers_find(&all, 7 + PID_BUCKETS), &b);
	workers_remove(&all, &b);
	assert_null(workers_find(&all, 7 + PID_BUCKETS));
	assert_ptr_equal(workers_find(&all, 7), &a);
	assert_ptr_equal(workers_find(&all, 7 + 2 * PID_BUCKETS), &c);
	/* Once more is no harm. */
	workers_remove(&all, &b);
	assert_null(workers_find(&all, 8));
}

static void
a_leader_that_is_dead_leads_no_more(void **state)
{
	(void)state;
	assert_false(worker_has_leader(&a));
	a.pid = 7;
	assert_true(worker_has_leader(&a));
	a.lingering = true;
	assert_false(worker_has_leader(&a));
}

/* ---- what it uses ---- */

#define CHILDREN 26	/* three files each: more than two parts */

static struct mono
at_ms(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 0 }, ms);
}

static bool
lists_children(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	return access(path, R_OK) == 0;
}

/* Where many are to be looked at, each has a part now and then: however long that
   takes, it comes to an end. */
static void
a_slow_look_is_not_begun_anew(void **state)
{
	pid_t children[CHILDREN];

	(void)state;
	if (!lists_children())
		skip();		/* no CONFIG_PROC_CHILDREN */
	for (unsigned i = 0; i < CHILDREN; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			pause();
			_exit(1);
		}
	}
	a.pid = getpid();
	a.serial = 1;
	assert_int_equal(worker_usage(&a, at_ms(1000)), -EAGAIN);
	assert_int_equal(worker_usage(&a, at_ms(9000)), -EAGAIN);
	assert_false(worker_usage_known(&a));
	assert_int_equal(worker_usage(&a, at_ms(17000)), 0);
	assert_true(worker_usage_known(&a));
	assert_int_equal(a.usage_at.ns, at_ms(1000).ns);
	/* One that nobody has gone on with is. */
	assert_int_equal(worker_usage(&a, at_ms(20000)), -EAGAIN);
	assert_int_equal(worker_usage(&a, at_ms(21000)), -EAGAIN);
	assert_int_equal(worker_usage(&a, at_ms(32000)), -EAGAIN);
	worker_usage_end(&a);
	for (unsigned i = 0; i < CHILDREN; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
}

/* ---- crews ---- */

static void
a_crew_on_its_way_out_is_not_found(void **state)
{
	struct crew next = { .name = (char *)"web" };

	(void)state;
	assert_ptr_equal(workers_crew(&all, "web"), &crew);
	assert_null(workers_crew(&all, "we"));
	crew.stopping = true;
	assert_null(workers_crew(&all, "web"));
	workers_enter(&all, &next);
	assert_ptr_equal(workers_crew(&all, "web"), &next);
	workers_leave(&crew);
	assert_ptr_equal(all.crews, &next);
	workers_leave(&next);
	assert_null(all.crews);
	crew.stopping = false;
}

/* ---- events that wait ---- */

static void
events_are_taken_in_their_order(void **state)
{
	enum worker_event event;

	(void)state;
	assert_null(workers_posted(&all));
	assert_false(worker_take_post(&a, &event));
	worker_post(&a, WORKER_EV_KILL);
	worker_post(&a, WORKER_EV_DEADLINE);
	worker_post(&a, WORKER_EV_WAITS);
	worker_post(&a, WORKER_EV_EXECUTED);
	assert_ptr_equal(workers_posted(&all), &a);
	/* A sign of life comes before a deadline, a wish after all. */
	assert_true(worker_take_post(&a, &event));
	assert_int_equal(event, WORKER_EV_EXECUTED);
	assert_true(worker_take_post(&a, &event));
	assert_int_equal(event, WORKER_EV_WAITS);
	assert_true(worker_take_post(&a, &event));
	assert_int_equal(event, WORKER_EV_DEADLINE);
	assert_ptr_equal(workers_posted(&all), &a);
	assert_true(worker_take_post(&a, &event));
	assert_int_equal(event, WORKER_EV_KILL);
	assert_false(worker_take_post(&a, &event));
	assert_null(workers_posted(&all));
}

static void
the_same_event_twice_is_one(void **state)
{
	enum worker_event event;

	(void)state;
	worker_post(&a, WORKER_EV_WAITS);
	worker_post(&b, WORKER_EV_WAITS);
	worker_post(&a, WORKER_EV_WAITS);
	assert_true(worker_take_post(&a, &event));
	assert_false(worker_take_post(&a, &event));
	assert_ptr_equal(workers_posted(&all), &b);
}

static void
workers_are_served_in_turn(void **state)
{
	enum worker_event event;

	(void)state;
	worker_post(&b, WORKER_EV_DRAINED);
	worker_post(&a, WORKER_EV_DRAINED);
	worker_post(&c, WORKER_EV_DRAINED);
	assert_ptr_equal(workers_posted(&all), &b);
	/* One that is gone is out of it. */
	worker_unpost(&a);
	worker_unpost(&a);
	assert_true(worker_take_post(&b, &event));
	assert_ptr_equal(workers_posted(&all), &c);
	/* What is posted meanwhile comes behind. */
	worker_post(&b, WORKER_EV_KILL);
	assert_ptr_equal(workers_posted(&all), &c);
	assert_true(worker_take_post(&c, &event));
	assert_ptr_equal(workers_posted(&all), &b);
	worker_unpost(&b);
	assert_null(workers_posted(&all));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_pid_leads_to_its_worker, set_up),
		cmocka_unit_test_setup(a_slow_look_is_not_begun_anew, set_up),
		cmocka_unit_test_setup(a_leader_that_is_dead_leads_no_more,
		    set_up),
		cmocka_unit_test_setup(a_crew_on_its_way_out_is_not_found,
		    set_up),
		cmocka_unit_test_setup(events_are_taken_in_their_order, set_up),
		cmocka_unit_test_setup(the_same_event_twice_is_one, set_up),
		cmocka_unit_test_setup(workers_are_served_in_turn, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
