#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/iso_time.h"

static void
expect(int64_t ms)
{
	char text[ISO_TIME_LEN + 1] = "", expected[32], whole[40];
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	assert_non_null(gmtime_r(&seconds, &tm));
	strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(whole, sizeof(whole), "%s.%03dZ", expected, (int)(ms % 1000));
	iso_time_put(text, ms);
	assert_string_equal(text, whole);
}

/* As the library has it, each day, and at odd times of them. */
static void
every_day_until_2500(void **state)
{
	(void)state;
	for (int64_t day = 0; day < INT64_C(530) * 366; day++)
		expect(day * 86400000 + day * 7919 % 86400000);
	expect(0);
	expect(86399999);
	expect(INT64_C(253402300799999));
}

static void
what_is_outside_is_the_nearest(void **state)
{
	char text[ISO_TIME_LEN + 1] = "";

	(void)state;
	iso_time_put(text, -1);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	iso_time_put(text, INT64_MAX);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_day_until_2500),
		cmocka_unit_test(what_is_outside_is_the_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
