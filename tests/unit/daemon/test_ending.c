#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/ending.h"

/*
 * The apps have workers that were all killed; as a test says, one dies each time that
 * the loop would sleep.
 * Linked with -Wl,--wrap= for each of these. Time goes on where the loop would
 * sleep.
 */
bool __wrap_apps_only_killed_left(const struct apps *apps);
struct mono __wrap_mono_now(void);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);

static struct mono now;
static uint64_t deaths, most;
static unsigned told;		/* whoever is above us */
static bool one_dies_in_each_wait;

bool
__wrap_apps_only_killed_left(const struct apps *apps)
{
	(void)apps;
	return true;
}

struct mono
__wrap_mono_now(void)
{
	return now;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	(void)fd;
	(void)events;
	(void)max;
	assert_true(timeout > 0);
	now = mono_add_ms(now, timeout);
	if (one_dies_in_each_wait && deaths < most)
		deaths++;
	return 0;
}

static void
longer(void *ctx, int64_t ms)
{
	(void)ctx;
	assert_true(ms > ENDING_GIVE_UP_MS);
	told++;
}

/* Until the end has given up; how long that took. */
static int64_t
wait_ms(uint64_t n, bool dying)
{
	struct app app = { .crew.number = 0 };
	struct apps apps = { .first = &app };
	struct ending e = { .apps = &apps, .longer = longer,
		.deaths = &deaths };
	struct error err = { 0 };
	struct mono begin = now;
	struct loop *loop;
	bool failed = false;

	deaths = 0;
	most = n;
	told = 0;
	one_dies_in_each_wait = dying;
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(ending_init(&e, loop, &failed), 0);
	while (!e.done) {
		assert_false(failed);
		ending_look(&e, false);
		loop_turn(loop);
	}
	assert_true(failed);
	ending_fini(&e);
	loop_free(loop);
	return mono_ms_between(begin, now);
}

static void
test_killed_that_do_not_die_are_left_after_a_while(void **state)
{
	(void)state;
	assert_int_equal(wait_ms(3, false), ENDING_GIVE_UP_MS);
}

static void
test_as_long_as_some_die_others_are_waited_for(void **state)
{
	(void)state;
	assert_int_equal(wait_ms(2, true), 3 * ENDING_GIVE_UP_MS);
}

static void
test_it_does_not_take_for_ever(void **state)
{
	(void)state;
	assert_int_equal(wait_ms(10000, true),
	    (1 + ENDING_RENEWALS) * ENDING_GIVE_UP_MS);
	assert_int_equal(told, ENDING_RENEWALS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_killed_that_do_not_die_are_left_after_a_while),
		cmocka_unit_test(
		    test_as_long_as_some_die_others_are_waited_for),
		cmocka_unit_test(test_it_does_not_take_for_ever),
	};

	now.ns = INT64_C(1000000000000);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
