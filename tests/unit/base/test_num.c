#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/num.h"

static void
expect_number(const char *s, uint64_t min, uint64_t max, uint64_t expected)
{
	uint64_t value = ~expected;

	assert_true(num_parse(s, min, max, &value));
	assert_true(value == expected);
}

static void
expect_no_number(const char *s, uint64_t min, uint64_t max)
{
	uint64_t value = 4711;

	assert_false(num_parse(s, min, max, &value));
	assert_true(value == 4711);
}

static void
numbers(void **state)
{
	(void)state;
	expect_number("0", 0, UINT64_MAX, 0);
	expect_number("42", 0, UINT64_MAX, 42);
	expect_number("1234567890", 0, UINT64_MAX, 1234567890);
	expect_number("00042", 0, UINT64_MAX, 42);
	expect_number("18446744073709551615", 0, UINT64_MAX, UINT64_MAX);
	expect_number("0018446744073709551615", 0, UINT64_MAX, UINT64_MAX);
	expect_number("9223372036854775807", 0, INT64_MAX, INT64_MAX);
}

static void
number_limits(void **state)
{
	(void)state;
	expect_number("5", 5, 7, 5);
	expect_number("7", 5, 7, 7);
	expect_no_number("4", 5, 7);
	expect_no_number("8", 5, 7);
	expect_number("0", 0, 0, 0);
	expect_no_number("1", 0, 0);
	expect_no_number("70", 5, 7);
	expect_no_number("9223372036854775808", 0, INT64_MAX);
	expect_no_number("18446744073709551616", 0, UINT64_MAX);
	expect_no_number("18446744073709551620", 0, UINT64_MAX);
	/* 2^64 + 5 and far beyond: neither wraps into the range. */
	expect_no_number("18446744073709551621", 0, 10);
	expect_no_number("99999999999999999999999999999999", 0, UINT64_MAX);
	expect_no_number("340282366920938463463374607431768211461", 0, 10);
}

static void
no_numbers(void **state)
{
	static const char *const texts[] = {
		"", " ", " 1", "1 ", "+1", "-1", "-0", "1.0", "1e3", "0x10",
		"x", "1x", "1\n", "\t1", "1,000", "1_000", "\xb2", "1\xff",
		"/", ":", "1/", "1:",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		expect_no_number(texts[i], 0, UINT64_MAX);
}

static void
octal_numbers(void **state)
{
	uint64_t value = 1;

	(void)state;
	assert_true(num_parse_octal("0660", 07777, &value));
	assert_int_equal(value, 0660);
	assert_true(num_parse_octal("660", 07777, &value));
	assert_int_equal(value, 0660);
	assert_true(num_parse_octal("0", 07777, &value));
	assert_int_equal(value, 0);
	assert_true(num_parse_octal("7777", 07777, &value));
	assert_int_equal(value, 07777);
	assert_true(num_parse_octal("1777777777777777777777", UINT64_MAX,
	    &value));
	assert_true(value == UINT64_MAX);
	value = 4711;
	assert_false(num_parse_octal("10000", 07777, &value));
	assert_false(num_parse_octal("8", 07777, &value));
	assert_false(num_parse_octal("669", 07777, &value));
	assert_false(num_parse_octal("", 07777, &value));
	assert_false(num_parse_octal("-1", 07777, &value));
	assert_false(num_parse_octal("0o660", 07777, &value));
	assert_false(num_parse_octal("2000000000000000000000", UINT64_MAX,
	    &value));
	assert_int_equal(value, 4711);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(number_limits),
		cmocka_unit_test(no_numbers),
		cmocka_unit_test(octal_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
