/* Deaths of no process: the test says who is dead, and how long a look takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/worker/obituary.h"
#include "daemon/health/check.h"
#include "daemon/health/health.h"
#include "daemon/life/life.h"
#include "daemon/life/reaper.h"
#include "daemon/watch/orphans.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"

/* Above any pid (PID_MAX_LIMIT, linux/threads.h). */
#define FIRST_PID (4 * 1024 * 1024 + 1)

/* Linked with --wrap for these. */
struct mono __wrap_mono_now(void);
pid_t __wrap_process_next_dead(struct exit_status *ret_status);
bool __wrap_process_is_dead(pid_t pid, struct exit_status *ret_status);
void __wrap_process_reap(pid_t pid);
void __wrap_worker_died(struct worker *w, struct exit_status status);

static struct mono now;
static unsigned dead, reaped, workers_died;
static unsigned told;		/* of orphans */

static struct loop *loop;
static struct workers workers;
static struct orphans orphans;
static struct life life;
static struct checks checks = CHECKS_INIT;
static struct healths healths = { .checks = &checks };
static struct reaper reaper;

struct mono
__wrap_mono_now(void)
{
	return now;
}

/* It takes half a millisecond, whether somebody is found or not. */
pid_t
__wrap_process_next_dead(struct exit_status *ret_status)
{
	now.ns += 500000;
	*ret_status = (struct exit_status){ .code = 0 };
	return reaped < dead ? FIRST_PID + (pid_t)reaped : 0;
}

bool
__wrap_process_is_dead(pid_t pid, struct exit_status *ret_status)
{
	(void)pid;
	(void)ret_status;
	return false;
}

void
__wrap_process_reap(pid_t pid)
{
	assert_int_equal(pid, FIRST_PID + (pid_t)reaped);
	reaped++;
}

void
__wrap_worker_died(struct worker *w, struct exit_status status)
{
	(void)status;
	workers_died++;
	__wrap_process_reap(w->pid);
}

static void
orphan_died(void *ctx)
{
	(void)ctx;
	told++;
}

static int
set_up(void **state)
{
	(void)state;
	now = (struct mono){ .ns = 1000000000 };
	dead = reaped = workers_died = told = 0;
	memset(&orphans, 0, sizeof(orphans));
	memset(&life, 0, sizeof(life));
	assert_int_equal(loop_new(&loop, NULL), 0);
	workers_init(&workers, loop, NULL, 1);
	orphans.workers = &workers;
	life.with.workers = &workers;
	life.with.orphans = &orphans;
	life.with.healths = &healths;
	assert_int_equal(reaper_init(&reaper, loop, &life, &workers,
	    orphan_died, NULL), 0);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	reaper_fini(&reaper);
	loop_free(loop);
	return 0;
}

static bool
pauses(void)
{
	return mono_before(now, reaper.not_before);
}

static void
others_have_the_time_after_a_look(void **state)
{
	(void)state;
	reaper_child_died(&reaper, 0);
	assert_true(pauses());
	now = reaper.not_before;
	dead = 3;
	reaper_child_died(&reaper, 0);
	assert_int_equal(reaped, 3);
	assert_int_equal(told, 1);
	assert_true(pauses());
}

/* They are the ones that are waited for. */
static void
workers_are_buried_without_a_pause(void **state)
{
	static struct worker w[3];

	(void)state;
	for (dead = 0; dead < 3; dead++) {
		w[dead].pid = FIRST_PID + (pid_t)dead;
		workers_add(&workers, &w[dead]);
	}
	reaper_child_died(&reaper, 0);
	assert_int_equal(workers_died, 3);
	assert_int_equal(told, 0);
	assert_false(pauses());
	for (unsigned i = 0; i < 3; i++)
		workers_remove(&workers, &w[i]);
}

static void
nobody_is_paused_for_at_a_stop(void **state)
{
	(void)state;
	workers_stop(&workers);
	dead = 3;
	reaper_child_died(&reaper, 0);
	assert_int_equal(reaped, 3);
	assert_false(pauses());
	reaper_child_died(&reaper, 0);
	assert_false(pauses());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    others_have_the_time_after_a_look, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    workers_are_buried_without_a_pause, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    nobody_is_paused_for_at_a_stop, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
