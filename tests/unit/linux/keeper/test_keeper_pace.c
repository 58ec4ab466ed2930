#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "linux/keeper/keeper_pace.h"

static struct mono
at(int64_t ms)
{
	return (struct mono){ .ns = ms * 1000000 };
}

static void
whoever_was_up_is_followed_at_once(void **state)
{
	struct keeper_pace pace = { .deaths = 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(keeper_pace_death(&pace, true, 200,
		    at(i * 200)), 0);
	assert_false(pace.slow);
}

/* Not for ever at once: it would have a CPU. */
static void
whoever_dies_as_soon_as_it_is_up_waits(void **state)
{
	struct keeper_pace pace = { .deaths = 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_int_equal(keeper_pace_death(&pace, true, 5, at(i * 5)),
		    0);
	for (int i = 0; i < 10; i++)
		assert_int_equal(keeper_pace_death(&pace, true, 5,
		    at(100 + i * 105)), 100);
	assert_true(pace.spins);
	/* One that lives is a new beginning. */
	assert_int_equal(keeper_pace_death(&pace, true, 100, at(5000)), 0);
	assert_false(pace.spins);
	assert_int_equal(keeper_pace_death(&pace, true, 5, at(5005)), 0);
}

static void
who_does_not_come_up_is_tried_seldom(void **state)
{
	struct keeper_pace pace = { .deaths = 0 };
	static const int gaps[] = { 0, 100, 200, 400, 10000, 10000 };
	int64_t now = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(gaps) / sizeof(*gaps); i++) {
		assert_int_equal(keeper_pace_death(&pace, false, 10, at(now)),
		    gaps[i]);
		assert_int_equal(pace.slow, i >= 4);
		now += gaps[i] + 10;
	}
	assert_int_equal(keeper_pace_death(&pace, true, 10, at(now)), 0);
	assert_false(pace.slow);
	assert_int_equal(keeper_pace_death(&pace, false, 10, at(now)), 0);
}

/* Deaths that are far apart: no more than ten seconds. */
static void
gaps_have_an_end(void **state)
{
	struct keeper_pace pace = { .deaths = 0 };
	int ms = 0;

	(void)state;
	for (int i = 0; i < 40; i++) {
		ms = keeper_pace_death(&pace, false, 5000, at(i * 5000));
		assert_true(ms >= 0 && ms <= 10000);
	}
	assert_int_equal(ms, 10000);
	assert_false(pace.slow);
}

/* As where an app never becomes ready: nobody was up, and yet all was well. */
static void
who_has_lived_long_is_followed_at_once(void **state)
{
	struct keeper_pace pace = { .deaths = 0 };

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_int_equal(keeper_pace_death(&pace, false, 3600000,
		    at(i * 3600000LL)), 0);
	assert_int_equal(pace.deaths, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whoever_was_up_is_followed_at_once),
		cmocka_unit_test(whoever_dies_as_soon_as_it_is_up_waits),
		cmocka_unit_test(who_does_not_come_up_is_tried_seldom),
		cmocka_unit_test(gaps_have_an_end),
		cmocka_unit_test(who_has_lived_long_is_followed_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
