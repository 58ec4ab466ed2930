#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "core/health/health.h"
#include "core/health/recycle.h"

static const struct health_terms terms = {
	.delay_ms = 100, .delay_max_ms = 30000, .patience_ms = 3000,
};

static struct mono
at(int64_t ms)
{
	return (struct mono){ .ns = ms * 1000000 };
}

static void
first_failure_and_first_success(void **state)
{
	struct health h = { .known = false };

	(void)state;
	assert_int_equal(health_take(&h, VERDICT_UNKNOWN, 3), HEALTH_NOTHING);
	assert_true(h.blind && !h.known && !h.unwell);
	assert_int_equal(health_take(&h, VERDICT_GOOD, 3), HEALTH_WELL);
	assert_true(h.known && !h.blind);
	assert_int_equal(health_take(&h, VERDICT_GOOD, 3), HEALTH_NOTHING);
	assert_int_equal(health_take(&h, VERDICT_BAD, 3), HEALTH_FELL_ILL);
	assert_true(h.unwell && !h.condemned);
	/* What could not be asked is no failure, and no success. */
	assert_int_equal(health_take(&h, VERDICT_UNKNOWN, 3), HEALTH_NOTHING);
	assert_int_equal(h.failures, 1);
	assert_int_equal(health_take(&h, VERDICT_BAD, 3), HEALTH_NOTHING);
	assert_int_equal(health_take(&h, VERDICT_BAD, 3), HEALTH_CONDEMNED);
	assert_true(h.condemned);
	assert_int_equal(health_take(&h, VERDICT_BAD, 3), HEALTH_NOTHING);
	assert_int_equal(health_take(&h, VERDICT_GOOD, 3), HEALTH_RECOVERED);
	assert_true(!h.unwell && !h.condemned && h.failures == 0);
}

static void
one_failure_may_be_enough(void **state)
{
	struct health h = { .known = false };

	(void)state;
	assert_int_equal(health_take(&h, VERDICT_BAD, 1), HEALTH_CONDEMNED);
	assert_true(h.unwell && h.condemned);
}

/* Of a thousand, each hundredth of the interval has about ten. */
static void
doubt(void **state)
{
	struct health h = { .known = false };

	(void)state;
	assert_true(health_in_doubt(&h));
	/* Who cannot be asked is held up no longer by that. */
	health_take(&h, VERDICT_UNKNOWN, 3);
	assert_false(health_in_doubt(&h));
	health_take(&h, VERDICT_BAD, 3);
	assert_true(health_in_doubt(&h));
	/* … but is not well by that either. */
	health_take(&h, VERDICT_UNKNOWN, 3);
	assert_true(health_in_doubt(&h));
	health_take(&h, VERDICT_GOOD, 3);
	assert_false(health_in_doubt(&h));
	health_take(&h, VERDICT_UNKNOWN, 3);
	assert_false(health_in_doubt(&h));
}

static void
checks_are_spread(void **state)
{
	unsigned in[100] = { 0 };
	const struct mono now = at(123456789);

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		struct mono next = health_next("web", i, 10000, false, now);

		assert_true(next.ns > now.ns &&
		    next.ns <= now.ns + INT64_C(10000000000));
		/* … and keeps its place. */
		assert_int_equal(health_next("web", i, 10000, false, next).ns -
		    next.ns, INT64_C(10000000000));
		in[(next.ns - now.ns) / 100000001]++;
	}
	for (unsigned i = 0; i < 100; i++)
		assert_in_range(in[i], 7, 13);
	assert_int_equal(health_next("web", 7, 10000, true, now).ns,
	    now.ns + 100000000);
	assert_true(health_next("web", 7, 50, true, now).ns <= now.ns +
	    50000000);
}

/* Of many apps of one instance each the first tenth has about a tenth. */
static void
checks_of_many_apps_are_spread(void **state)
{
	const struct mono now = at(123456789);
	unsigned in[10] = { 0 };

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "app%u", i);
		in[(health_next(name, 0, 10000, false, now).ns - now.ns) /
		    1000000001]++;
	}
	for (unsigned i = 0; i < 10; i++)
		assert_in_range(in[i], 60, 140);
}

static void
the_condemned_are_replaced(void **state)
{
	struct health_ward w = { .failed = 0 };
	struct health_view v = { .ready = 8, .unwell = 2, .condemned = 1 };
	bool tell;

	(void)state;
	assert_int_equal(health_decide(&w, &v, &terms, at(1000), &tell),
	    HEALTH_REPLACE);
	assert_false(tell);
	v.busy = true;
	assert_int_equal(health_decide(&w, &v, &terms, at(1000), &tell),
	    HEALTH_LEAVE);
	v.busy = false;
	v.condemned = 0;
	assert_int_equal(health_decide(&w, &v, &terms, at(1000), &tell),
	    HEALTH_LEAVE);
	v.condemned = 1;
	assert_int_equal(health_decide(&w, &v,
	    &(struct health_terms){ .never = true }, at(1000), &tell),
	    HEALTH_LEAVE);
}

static void
one_alone_is_replaced_too(void **state)
{
	struct health_ward w = { .failed = 0 };
	const struct health_view v = { .ready = 1, .unwell = 1,
	    .condemned = 1 };
	bool tell;

	(void)state;
	assert_int_equal(health_decide(&w, &v, &terms, at(1000), &tell),
	    HEALTH_REPLACE);
	assert_false(tell);
}

/* … further and further apart; a success is the end of that. */
static void
replacements_that_fail_back_off(void **state)
{
	static const int64_t delays[] = { 3000, 6000, 12000, 24000, 30000,
	    30000 };
	struct health_ward w = { .failed = 0 };
	const struct health_view v = { .ready = 4, .unwell = 1,
	    .condemned = 1 };
	int64_t now = 1000;
	bool tell;

	(void)state;
	for (size_t i = 0; i < sizeof(delays) / sizeof(*delays); i++) {
		assert_int_equal(health_decide(&w, &v, &terms, at(now), &tell),
		    HEALTH_REPLACE);
		health_replaced(&w, false, &terms, at(now));
		assert_int_equal(w.next.ns, at(now + delays[i]).ns);
		assert_int_equal(health_decide(&w, &v, &terms,
		    at(now + delays[i] - 1), &tell), HEALTH_LATER);
		now += delays[i];
	}
	health_replaced(&w, true, &terms, at(now));
	assert_int_equal(health_decide(&w, &v, &terms, at(now), &tell),
	    HEALTH_REPLACE);
	assert_int_equal(w.failed, 0);
}

/* Told once; and again when somebody had been well meanwhile. For a minute there
   is at most one try for each instance. */
static void
nobody_is_well(void **state)
{
	struct health_ward w = { .failed = 0 };
	struct health_view v = { .ready = 8, .unwell = 8, .condemned = 1 };
	unsigned told = 0, tries = 0;
	bool tell;

	(void)state;
	for (int64_t now = 1000; now < 61000; now += 100) {
		enum health_deed deed = health_decide(&w, &v, &terms, at(now),
		    &tell);

		told += tell;
		if (now == 1000)
			assert_int_equal(deed, HEALTH_LATER);
		if (deed != HEALTH_REPLACE)
			continue;
		tries++;
		health_replaced(&w, false, &terms, at(now));
	}
	assert_int_equal(told, 1);
	assert_in_range(tries, 1, 8);
	v.unwell = 7;
	(void)health_decide(&w, &v, &terms, at(61000), &tell);
	assert_false(tell);
	v.unwell = 8;
	(void)health_decide(&w, &v, &terms, at(61100), &tell);
	assert_true(tell);
}

static void
causes_have_names(void **state)
{
	(void)state;
	assert_string_equal(recycle_cause_name(RECYCLE_UNHEALTHY),
	    "unhealthy");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_failure_and_first_success),
		cmocka_unit_test(one_failure_may_be_enough),
		cmocka_unit_test(doubt),
		cmocka_unit_test(checks_are_spread),
		cmocka_unit_test(checks_of_many_apps_are_spread),
		cmocka_unit_test(the_condemned_are_replaced),
		cmocka_unit_test(one_alone_is_replaced_too),
		cmocka_unit_test(replacements_that_fail_back_off),
		cmocka_unit_test(nobody_is_well),
		cmocka_unit_test(causes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
