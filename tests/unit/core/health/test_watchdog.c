#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>

#include "core/health/watchdog.h"

#define TIMEOUT_MS 5000

static struct mono
at(int64_t ms)
{
	return (struct mono){ .ns = ms * 1000000 };
}

static void
expect_late(struct watchdog *w, struct mono now, const char *words)
{
	struct verdict v;

	watchdog_late(w, TIMEOUT_MS, now, &v);
	assert_int_equal(v.kind, VERDICT_BAD);
	assert_string_equal(v.words, words);
	assert_int_equal(v.took_us, -1);
}

static void
each_word_gives_it_all_its_time(void **state)
{
	struct watchdog w = { .own_us = 0 };

	(void)state;
	watchdog_begin(&w, at(1000));
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, at(6000).ns);
	assert_true(watchdog_alive(&w, at(3000)));
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, at(8000).ns);
	/* A failure is one, and the next one comes as much later. */
	expect_late(&w, at(8001), "no WATCHDOG=1 in 5s");
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, at(13001).ns);
	/* The file may change it while it runs. */
	assert_int_equal(watchdog_ends(&w, 100).ns, at(8101).ns);
}

static void
a_time_of_its_own(void **state)
{
	struct watchdog w = { .own_us = 0 };

	(void)state;
	watchdog_begin(&w, at(0));
	assert_int_equal(watchdog_set(&w, WATCHDOG_MIN_US - 1, at(10)),
	    -ERANGE);
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, at(5000).ns);
	assert_int_equal(watchdog_set(&w, 20000500, at(1000)), 0);
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, at(21001).ns);
	expect_late(&w, at(21001), "no WATCHDOG=1 in 20001ms");
	/* However long: the sum does not overflow. */
	assert_int_equal(watchdog_set(&w, INT64_MAX - 1000, at(1000)), 0);
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, MONO_NEVER.ns);
	/* Nor does a ledger make it. */
	w.own_us = INT64_MAX;
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, MONO_NEVER.ns);
}

static void
who_gives_up_does_so_for_good(void **state)
{
	struct watchdog w = { .own_us = 0 };

	(void)state;
	watchdog_begin(&w, at(0));
	w.gave_up = true;
	expect_late(&w, at(10), "it said WATCHDOG=trigger");
	assert_false(watchdog_alive(&w, at(20)));
	assert_int_equal(watchdog_ends(&w, TIMEOUT_MS).ns, MONO_NEVER.ns);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_word_gives_it_all_its_time),
		cmocka_unit_test(a_time_of_its_own),
		cmocka_unit_test(who_gives_up_does_so_for_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
