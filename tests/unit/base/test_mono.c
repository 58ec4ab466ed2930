#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <time.h>

#include "base/mono.h"

static void
adding_time(void **state)
{
	const struct mono t = { .ns = 1000 };

	(void)state;
	assert_true(mono_add_ms(t, 0).ns == 1000);
	assert_true(mono_add_ms(t, 1).ns == 1001000);
	assert_true(mono_add_ms(t, 86400 * 1000).ns ==
	    86400 * INT64_C(1000000000) + 1000);
	assert_false(mono_is_never(mono_add_ms(t, 1)));
}

static void
adding_saturates_at_never(void **state)
{
	const struct mono t = { .ns = 1000 };
	const struct mono late = { .ns = INT64_MAX - 1000000 };

	(void)state;
	assert_true(mono_is_never(MONO_NEVER));
	assert_true(mono_is_never(mono_add_ms(MONO_NEVER, 0)));
	assert_true(mono_is_never(mono_add_ms(MONO_NEVER, 1)));
	assert_true(mono_is_never(mono_add_ms(MONO_NEVER, INT64_MAX)));
	assert_true(mono_is_never(mono_add_ms(t, INT64_MAX)));
	assert_true(mono_is_never(mono_add_ms(t, INT64_MAX / 1000000 + 1)));
	assert_true(mono_is_never(mono_add_ms(late, 2)));
	/* The last moment but one. */
	assert_true(mono_is_never(mono_add_ms(late, 1)));
	assert_true(mono_add_ms((struct mono){ .ns = INT64_MAX - 1000001 },
	    1).ns == INT64_MAX - 1);
}

static void
time_between(void **state)
{
	static const struct {
		int64_t from, to, ms;
	} rows[] = {
		{ 0, 0, 0 },
		{ 0, 999999, 0 },
		{ 0, 1000000, 1 },
		{ 0, 1999999, 1 },
		{ 5, 5000005, 5 },
		{ 6, 5000005, 4 },
		/* Rounded down, not towards zero. */
		{ 1, 0, -1 },
		{ 999999, 0, -1 },
		{ 1000000, 0, -1 },
		{ 1000001, 0, -2 },
		{ 5000000, 0, -5 },
		{ 0, INT64_MAX, INT64_MAX / 1000000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_true(mono_ms_between((struct mono){ .ns = rows[i].from },
		    (struct mono){ .ns = rows[i].to }) == rows[i].ms);
	for (int64_t ms = 0; ms < 100000; ms += 37) {
		const struct mono t = { .ns = 123456789 };

		assert_true(mono_ms_between(t, mono_add_ms(t, ms)) == ms);
		assert_true(mono_ms_between(mono_add_ms(t, ms), t) == -ms);
	}
}

static void
time_since_never(void **state)
{
	(void)state;
	assert_true(mono_ms_between(MONO_NEVER, (struct mono){ .ns = 0 }) ==
	    -(INT64_MAX / 1000000) - 1);
}

static void
order_of_time(void **state)
{
	const struct mono a = { .ns = 1 }, b = { .ns = 2 };

	(void)state;
	assert_true(mono_before(a, b));
	assert_false(mono_before(b, a));
	assert_false(mono_before(a, a));
	assert_true(mono_before(b, MONO_NEVER));
	assert_false(mono_before(MONO_NEVER, MONO_NEVER));
	assert_false(mono_is_never(b));
}

static void
clock_goes_on(void **state)
{
	struct timespec earlier, later;
	struct mono before;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &earlier);
	before = mono_now();
	clock_gettime(CLOCK_MONOTONIC, &later);
	assert_true(before.ns >= (int64_t)earlier.tv_sec * 1000000000 +
	    earlier.tv_nsec);
	assert_true(before.ns <= (int64_t)later.tv_sec * 1000000000 +
	    later.tv_nsec);
	for (int i = 0; i < 1000; i++) {
		struct mono now = mono_now();

		assert_false(mono_before(now, before));
		before = now;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adding_time),
		cmocka_unit_test(adding_saturates_at_never),
		cmocka_unit_test(time_between),
		cmocka_unit_test(time_since_never),
		cmocka_unit_test(order_of_time),
		cmocka_unit_test(clock_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
