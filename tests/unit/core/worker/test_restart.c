#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/conf/conf.h"
#include "core/worker/restart.h"
#include "lib/alloc_fail.h"

/* Dice that land on a jitter of 0, -10 % and +10 %. */
#define EVEN	100
#define LOWEST	0
#define HIGHEST	200

static struct conf_app
policy(void)
{
	return (struct conf_app){
		.restart = CONF_RESTART_ALWAYS,
		.restart_delay_ms = 100,
		.restart_delay_max_ms = 30000,
		.restart_reset_ms = 10000,
	};
}

/* A point in fake time; 0 is long after the machine was booted. */
static struct mono
at(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 86400 * INT64_C(1000000000) },
	    ms);
}

static void
expect(struct restart_decision d, enum restart_verdict verdict,
    int64_t delay_ms)
{
	assert_int_equal(d.verdict, verdict);
	assert_int_equal(d.delay_ms, delay_ms);
}

static void
at_once_after_a_long_life(void **state)
{
	const struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	expect(restart_decide(&app, &h, true, 9999, at(0), EVEN),
	    RESTART_AGAIN, 100);
	expect(restart_decide(&app, &h, true, 10000, at(1), EVEN),
	    RESTART_AGAIN, 0);
	expect(restart_decide(&app, &h, true, INT64_MAX, at(2), HIGHEST),
	    RESTART_AGAIN, 0);
	restart_free(&h);
}

/* With `restart_reset = 0`, what ends at its start would be started a thousand
   times a second. */
static void
who_has_not_lived_waits_whatever_the_reset_says(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_reset_ms = 0;
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN),
	    RESTART_AGAIN, 100);
	expect(restart_decide(&app, &h, false, 99, at(1), EVEN),
	    RESTART_AGAIN, 200);
	expect(restart_decide(&app, &h, true, 100, at(2), EVEN),
	    RESTART_AGAIN, 0);
	expect(restart_decide(&app, &h, true, 1, at(3), EVEN),
	    RESTART_AGAIN, 100);
	app.restart_reset_ms = 99;
	expect(restart_decide(&app, &h, true, 99, at(4), EVEN),
	    RESTART_AGAIN, 200);
	restart_free(&h);
}

static void
each_quick_death_doubles_the_wait(void **state)
{
	static const int64_t expected[] = {
		100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600,
		30000, 30000, 30000,
	};
	const struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		expect(restart_decide(&app, &h, true, 0, at((int64_t)i), EVEN),
		    RESTART_AGAIN, expected[i]);
	/* The streak has no end at which it would wrap. */
	for (int i = 0; i < 1000; i++)
		expect(restart_decide(&app, &h, true, 0, at(i), EVEN),
		    RESTART_AGAIN, 30000);
	restart_free(&h);
}

static void
long_life_ends_the_streak(void **state)
{
	const struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	for (int i = 0; i < 5; i++)
		(void)restart_decide(&app, &h, true, 10, at(i), EVEN);
	expect(restart_decide(&app, &h, true, 10, at(5), EVEN),
	    RESTART_AGAIN, 3200);
	expect(restart_decide(&app, &h, true, 10000, at(6), EVEN),
	    RESTART_AGAIN, 0);
	expect(restart_decide(&app, &h, true, 10, at(7), EVEN),
	    RESTART_AGAIN, 100);
	expect(restart_decide(&app, &h, true, 10, at(8), EVEN),
	    RESTART_AGAIN, 200);
	restart_free(&h);
}

/* A max that is no power of two of the delay, and an odd one. */
static void
doubling_meets_the_max(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_delay_max_ms = 250;
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN),
	    RESTART_AGAIN, 100);
	expect(restart_decide(&app, &h, true, 0, at(1), EVEN),
	    RESTART_AGAIN, 200);
	expect(restart_decide(&app, &h, true, 0, at(2), EVEN),
	    RESTART_AGAIN, 250);
	restart_free(&h);

	app.restart_delay_max_ms = 200;
	(void)restart_decide(&app, &h, true, 0, at(0), EVEN);
	for (int i = 0; i < 3; i++)
		expect(restart_decide(&app, &h, true, 0, at(1), EVEN),
		    RESTART_AGAIN, 200);
	restart_free(&h);

	app.restart_delay_max_ms = 100;
	for (int i = 0; i < 3; i++)
		expect(restart_decide(&app, &h, true, 0, at(1), EVEN),
		    RESTART_AGAIN, 100);
	restart_free(&h);

	/* conf_check refuses it; still, the max is the max. */
	app.restart_delay_max_ms = 60;
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN),
	    RESTART_AGAIN, 60);
	restart_free(&h);
}

static void
odd_max_is_not_reached_early(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_delay_max_ms = 201;
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN),
	    RESTART_AGAIN, 100);
	expect(restart_decide(&app, &h, true, 0, at(1), EVEN),
	    RESTART_AGAIN, 200);
	expect(restart_decide(&app, &h, true, 0, at(2), EVEN),
	    RESTART_AGAIN, 201);
	restart_free(&h);
}

/* What the n-th quick death in a row waits for one throw of the dice. */
static int64_t
nth_delay(const struct conf_app *app, int n, uint32_t dice)
{
	struct restart_history h = { 0 };
	int64_t delay = -1;

	for (int i = 0; i < n; i++)
		delay = restart_decide(app, &h, true, 0, at(i), dice).delay_ms;
	restart_free(&h);
	return delay;
}

static void
expect_jitter(const struct conf_app *app, int n, int64_t nominal)
{
	const int64_t tenth = nominal / 10;
	int64_t least = INT64_MAX, most = 0;
	uint32_t seed = 12345;

	for (uint32_t i = 0; i < 20000; i++) {
		/* Small numbers, then big ones, then the biggest. */
		uint32_t dice = i < 5000 ? i : i < 10000 ? UINT32_MAX - i :
		    (seed = seed * 1664525 + 1013904223);
		int64_t delay = nth_delay(app, n, dice);

		assert_in_range(delay, nominal - tenth, nominal + tenth);
		if (delay < least)
			least = delay;
		if (delay > most)
			most = delay;
	}
	/* And all of that width is used. */
	assert_int_equal(least, nominal - tenth);
	assert_int_equal(most, nominal + tenth);
}

static void
jitter_spreads_by_ten_percent(void **state)
{
	struct conf_app app = policy();

	(void)state;
	expect_jitter(&app, 1, 100);
	expect_jitter(&app, 2, 200);
	expect_jitter(&app, 10, 30000);
	app.restart_delay_ms = app.restart_delay_max_ms = 1;
	expect_jitter(&app, 1, 1);
	app.restart_delay_ms = app.restart_delay_max_ms = 1999;
	expect_jitter(&app, 1, 1999);
	app.restart_delay_ms = app.restart_delay_max_ms = 86400 * 1000;
	expect_jitter(&app, 1, 86400 * 1000);
}

static void
jitter_is_even(void **state)
{
	const struct conf_app app = policy();
	unsigned seen[21] = { 0 };

	(void)state;
	for (uint32_t dice = 0; dice < 201; dice++)
		seen[nth_delay(&app, 1, dice) - 90]++;
	/* 201 throws for 21 values; cutting towards 100 makes that one wide
	   and the two ends narrow. */
	assert_int_equal(seen[0], 1);
	assert_int_equal(seen[20], 1);
	assert_int_equal(seen[10], 19);
	for (int i = 1; i < 20; i++)
		if (i != 10)
			assert_int_equal(seen[i], 10);
}

/* Ten years, the longest that the configuration takes, and absurd numbers. */
static void
huge_delays_do_not_overflow(void **state)
{
	static const int64_t longest[] = {
		INT64_C(10) * 365 * 86400 * 1000, INT64_MAX / 4,
		INT64_MAX / 2,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(longest) / sizeof(*longest); i++) {
		struct conf_app app = policy();
		struct restart_history h = { 0 };
		int64_t previous = 0;

		app.restart_delay_max_ms = longest[i];
		for (int k = 0; k < 200; k++) {
			int64_t delay = restart_decide(&app, &h, true, 0,
			    at(k), EVEN).delay_ms;

			assert_true(delay >= previous);
			assert_true(delay <= longest[i]);
			previous = delay;
		}
		assert_int_equal(previous, longest[i]);
		assert_int_equal(restart_delay(&app, &h, HIGHEST),
		    longest[i] + longest[i] / 10);
		assert_int_equal(restart_delay(&app, &h, LOWEST),
		    longest[i] - longest[i] / 10);
		restart_free(&h);
		app.restart_delay_ms = longest[i];
		assert_int_equal(nth_delay(&app, 1, EVEN), longest[i]);
		assert_int_equal(nth_delay(&app, 3, EVEN), longest[i]);
	}
}

static void
policies(void **state)
{
	static const struct {
		enum conf_restart restart;
		bool failure;
		enum restart_verdict verdict;
	} rows[] = {
		{ CONF_RESTART_ALWAYS, true, RESTART_AGAIN },
		{ CONF_RESTART_ALWAYS, false, RESTART_AGAIN },
		{ CONF_RESTART_ON_FAILURE, true, RESTART_AGAIN },
		{ CONF_RESTART_ON_FAILURE, false, RESTART_END },
		{ CONF_RESTART_NEVER, true, RESTART_END },
		{ CONF_RESTART_NEVER, false, RESTART_END },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct conf_app app = policy();
		struct restart_history h = { 0 };

		app.restart = rows[i].restart;
		expect(restart_decide(&app, &h, rows[i].failure, 10, at(0),
		    EVEN), rows[i].verdict,
		    rows[i].verdict == RESTART_AGAIN ? 100 : 0);
		/* Nor does a long life change what the policy wants. */
		expect(restart_decide(&app, &h, rows[i].failure, 10000, at(1),
		    EVEN), rows[i].verdict, 0);
		restart_free(&h);
	}
}

/* The n-th of n deaths, `ms` after the first of them. */
static enum restart_verdict
nth_death(unsigned n, int64_t window_ms, int64_t ms, int64_t lived_ms)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };
	enum restart_verdict verdict = RESTART_END;

	app.restart_limit = n;
	app.restart_limit_ms = window_ms;
	for (unsigned i = 0; i < n; i++) {
		if (i > 0)
			assert_int_equal(verdict, RESTART_AGAIN);
		verdict = restart_decide(&app, &h, true, lived_ms,
		    at(i + 1 < n ? 0 : ms), EVEN).verdict;
	}
	restart_free(&h);
	return verdict;
}

static void
limit_at_its_edges(void **state)
{
	(void)state;
	for (unsigned n = 2; n < 8; n++) {
		assert_int_equal(nth_death(n, 60000, 0, 0), RESTART_PARK);
		assert_int_equal(nth_death(n, 60000, 59999, 0), RESTART_PARK);
		assert_int_equal(nth_death(n, 60000, 60000, 0), RESTART_PARK);
		assert_int_equal(nth_death(n, 60000, 60001, 0), RESTART_AGAIN);
		/* Long lives count as well: it is about deaths. */
		assert_int_equal(nth_death(n, 60000, 60000, 50000),
		    RESTART_PARK);
	}
	/* One death is one too many. */
	assert_int_equal(nth_death(1, 60000, 0, 0), RESTART_PARK);
	assert_int_equal(nth_death(1, 1, 0, 99999), RESTART_PARK);
}

static void
parking_comes_without_a_delay(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_limit = 2;
	app.restart_limit_ms = 1000;
	expect(restart_decide(&app, &h, true, 0, at(0), HIGHEST),
	    RESTART_AGAIN, 110);
	expect(restart_decide(&app, &h, true, 0, at(500), HIGHEST),
	    RESTART_PARK, 0);
	restart_free(&h);
}

/* A good end under on-failure is no death that the limit would count. */
static void
limit_counts_what_restarts(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart = CONF_RESTART_ON_FAILURE;
	app.restart_limit = 2;
	app.restart_limit_ms = 1000;
	expect(restart_decide(&app, &h, false, 0, at(0), EVEN), RESTART_END,
	    0);
	expect(restart_decide(&app, &h, true, 0, at(1), EVEN), RESTART_AGAIN,
	    100);
	expect(restart_decide(&app, &h, true, 0, at(2), EVEN), RESTART_PARK,
	    0);
	restart_free(&h);
}

/* Where the clock is younger than the window: places of the ring that hold no
   death yet are no deaths at time 0. */
static void
limit_soon_after_boot(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_limit = 3;
	app.restart_limit_ms = 60000;
	for (int64_t ms = 1; ms <= 2; ms++)
		assert_int_equal(restart_decide(&app, &h, true, 0,
		    mono_add_ms((struct mono){ .ns = 0 }, ms), EVEN).verdict,
		    RESTART_AGAIN);
	assert_int_equal(restart_decide(&app, &h, true, 0,
	    mono_add_ms((struct mono){ .ns = 0 }, 3), EVEN).verdict,
	    RESTART_PARK);
	restart_free(&h);
}

/* Random deaths against a list of all of them, far beyond the ring's size. */
static void
limit_against_a_plain_list(void **state)
{
	enum { DEATHS = 400 };
	uint32_t seed = 1;
	unsigned parked = 0, kept = 0;

	(void)state;
	for (unsigned n = 1; n <= 9; n++) {
		struct conf_app app = policy();
		struct restart_history h = { 0 };
		int64_t times[DEATHS], now = 0;

		app.restart_limit = n;
		app.restart_limit_ms = 1000;
		for (unsigned i = 0; i < DEATHS; i++) {
			bool over;

			seed = seed * 1664525 + 1013904223;
			now += (seed >> 8) % (2000 / n);
			times[i] = now;
			over = i + 1 >= n && now - times[i + 1 - n] <= 1000;
			assert_int_equal(restart_decide(&app, &h, true, 10,
			    at(now), EVEN).verdict,
			    over ? RESTART_PARK : RESTART_AGAIN);
			if (over)
				parked++;
			else
				kept++;
		}
		restart_free(&h);
	}
	/* Both happened, often: the comparison was about something. */
	assert_true(parked > 500);
	assert_true(kept > 500);
}

static void
no_limit_no_ring(void **state)
{
	const struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(restart_decide(&app, &h, true, 0, at(0),
		    EVEN).verdict, RESTART_AGAIN);
	assert_null(h.deaths);
}

static void
no_memory_for_the_ring_does_not_park(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_limit = 1;
	app.restart_limit_ms = 60000;
	alloc_fail(1, ALLOC_ALL);
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN), RESTART_AGAIN,
	    100);
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN), RESTART_AGAIN,
	    200);
	expect(restart_decide(&app, &h, true, 10000, at(0), EVEN),
	    RESTART_AGAIN, 0);
	/* From where there is memory again, the limit counts. */
	alloc_works();
	app.restart_limit = 2;
	expect(restart_decide(&app, &h, true, 0, at(1), EVEN), RESTART_AGAIN,
	    100);
	expect(restart_decide(&app, &h, true, 0, at(2), EVEN), RESTART_PARK,
	    0);
	/* Another limit, and no memory for its ring: the old one is no help. */
	alloc_fail(1, ALLOC_ALL);
	app.restart_limit = 1;
	expect(restart_decide(&app, &h, true, 0, at(3), EVEN), RESTART_AGAIN,
	    200);
	alloc_works();
	expect(restart_decide(&app, &h, true, 0, at(4), EVEN), RESTART_PARK,
	    0);
	restart_free(&h);
}

static void
failed_start_waits_as_a_quick_death(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart = CONF_RESTART_NEVER;
	app.restart_limit = 1;
	app.restart_limit_ms = 60000;
	/* Never parks, and is no end for any policy. */
	assert_int_equal(restart_delay(&app, &h, EVEN), 100);
	assert_int_equal(restart_delay(&app, &h, EVEN), 200);
	assert_int_equal(restart_delay(&app, &h, LOWEST), 360);
	assert_int_equal(restart_delay(&app, &h, HIGHEST), 880);
	assert_int_equal(h.n, 0);
	/* A death goes on where the starts had come to. */
	app.restart = CONF_RESTART_ALWAYS;
	app.restart_limit = 0;
	expect(restart_decide(&app, &h, true, 10, at(0), EVEN),
	    RESTART_AGAIN, 1600);
	for (int i = 0; i < 100; i++)
		(void)restart_delay(&app, &h, EVEN);
	assert_int_equal(restart_delay(&app, &h, EVEN), 30000);
	restart_free(&h);
}

static void
freed_history_is_a_new_one(void **state)
{
	struct conf_app app = policy();
	struct restart_history h = { 0 };

	(void)state;
	app.restart_limit = 3;
	app.restart_limit_ms = 60000;
	(void)restart_decide(&app, &h, true, 0, at(0), EVEN);
	(void)restart_decide(&app, &h, true, 0, at(0), EVEN);
	restart_free(&h);
	assert_null(h.deaths);
	expect(restart_decide(&app, &h, true, 0, at(0), EVEN),
	    RESTART_AGAIN, 100);
	restart_free(&h);
	restart_free(&h);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_once_after_a_long_life),
		cmocka_unit_test(
		    who_has_not_lived_waits_whatever_the_reset_says),
		cmocka_unit_test(each_quick_death_doubles_the_wait),
		cmocka_unit_test(long_life_ends_the_streak),
		cmocka_unit_test(doubling_meets_the_max),
		cmocka_unit_test(jitter_spreads_by_ten_percent),
		cmocka_unit_test(jitter_is_even),
		cmocka_unit_test(huge_delays_do_not_overflow),
		cmocka_unit_test(policies),
		cmocka_unit_test(limit_at_its_edges),
		cmocka_unit_test(parking_comes_without_a_delay),
		cmocka_unit_test(limit_counts_what_restarts),
		cmocka_unit_test(limit_soon_after_boot),
		cmocka_unit_test(limit_against_a_plain_list),
		cmocka_unit_test(no_limit_no_ring),
		cmocka_unit_test(no_memory_for_the_ring_does_not_park),
		cmocka_unit_test(failed_start_waits_as_a_quick_death),
		cmocka_unit_test(freed_history_is_a_new_one),
		cmocka_unit_test(odd_max_is_not_reached_early),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
