#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "base/error.h"
#include "base/mono.h"
#include "base/num.h"
#include "base/str.h"
#include "lib/alloc_fail.h"

/* ---- strbuf ---- */

static void
strbuf_grows(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	char *expected = malloc(3 * 5000 + 1);

	(void)state;
	assert_non_null(expected);
	for (int i = 0; i < 5000; i++) {
		strbuf_putc(&sb, (char)('a' + i % 26));
		strbuf_puts(&sb, i % 2 == 0 ? "x" : "");
		strbuf_printf(&sb, "%d", i % 10);
	}
	expected[0] = '\0';
	for (int i = 0, at = 0; i < 5000; i++) {
		expected[at++] = (char)('a' + i % 26);
		if (i % 2 == 0)
			expected[at++] = 'x';
		expected[at++] = (char)('0' + i % 10);
		expected[at] = '\0';
	}
	assert_false(sb.failed);
	assert_int_equal(sb.len, 5000 * 2 + 2500);
	assert_string_equal(sb.text, expected);
	free(expected);
	strbuf_free(&sb);
	assert_null(sb.text);
	assert_int_equal(sb.len, 0);
}

/* Every length around each size that the buffer takes on. */
static void
strbuf_at_its_edges(void **state)
{
	char text[300];

	(void)state;
	memset(text, 'y', sizeof(text));
	for (size_t len = 0; len < sizeof(text); len++) {
		struct strbuf sb = STRBUF_INIT;

		strbuf_add(&sb, text, len);
		assert_int_equal(sb.len, len);
		assert_true(sb.cap > len);
		assert_int_equal(strlen(sb.text), len);
		strbuf_printf(&sb, "%.*s", (int)len, text);
		assert_int_equal(sb.len, 2 * len);
		assert_int_equal(strlen(sb.text), 2 * len);
		strbuf_free(&sb);
	}
}

static void
strbuf_holds_any_bytes(void **state)
{
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	strbuf_add(&sb, "a\0b", 3);
	strbuf_putc(&sb, '\0');
	strbuf_puts(&sb, "\xff");
	assert_int_equal(sb.len, 5);
	assert_memory_equal(sb.text, "a\0b\0\xff", 6);
	strbuf_add(&sb, NULL, 0);
	assert_int_equal(sb.len, 5);
	strbuf_free(&sb);
}

static void
strbuf_hands_its_text_over(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	char *text;

	(void)state;
	strbuf_puts(&sb, "text");
	text = strbuf_take(&sb);
	assert_string_equal(text, "text");
	free(text);
	assert_null(sb.text);
	assert_int_equal(sb.len, 0);
	assert_int_equal(sb.cap, 0);

	/* And may be used again; an empty one gives "". */
	text = strbuf_take(&sb);
	assert_string_equal(text, "");
	free(text);
	strbuf_printf(&sb, "%s", "");
	assert_string_equal(sb.text, "");
	strbuf_puts(&sb, "more");
	text = strbuf_take(&sb);
	assert_string_equal(text, "more");
	free(text);
}

static void
strbuf_failure_sticks(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	char longer[100];

	(void)state;
	memset(longer, 'z', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	strbuf_puts(&sb, "kept");
	alloc_fail(1, ALLOC_ALL);
	strbuf_puts(&sb, longer);
	alloc_works();
	assert_true(sb.failed);
	/* The text is cut at where it failed, not taken up behind a hole. */
	strbuf_puts(&sb, "tail");
	strbuf_printf(&sb, "%d", 1);
	strbuf_putc(&sb, '!');
	assert_true(sb.failed);
	assert_string_equal(sb.text, "kept");
	assert_null(strbuf_take(&sb));
	/* Taking ends it, as freeing does. */
	assert_false(sb.failed);
	strbuf_puts(&sb, "new");
	assert_string_equal(sb.text, "new");
	strbuf_free(&sb);

	alloc_fail(1, ALLOC_ALL);
	strbuf_printf(&sb, "%s", "x");
	assert_true(sb.failed);
	assert_null(sb.text);
	strbuf_free(&sb);
	assert_false(sb.failed);
	/* Not even "" can be had then. */
	assert_null(strbuf_take(&sb));
	alloc_works();
}

static void
strbuf_refuses_the_impossible(void **state)
{
	static const wchar_t not_in_this_locale[] = { 0x20ac, 0 };
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	/* More than can be counted. */
	strbuf_puts(&sb, "kept");
	strbuf_add(&sb, "x", SIZE_MAX - 4);
	assert_true(sb.failed);
	assert_string_equal(sb.text, "kept");
	strbuf_free(&sb);

	/* What vsnprintf(3) fails at. */
	strbuf_puts(&sb, "kept");
	strbuf_printf(&sb, "%ls", not_in_this_locale);
	assert_true(sb.failed);
	assert_string_equal(sb.text, "kept");
	strbuf_free(&sb);
}

/* ---- strlist ---- */

static void
strlist_is_an_argv(void **state)
{
	struct strlist sl = STRLIST_INIT;

	(void)state;
	assert_null(sl.v);
	for (size_t i = 0; i < 100; i++) {
		if (i % 2 == 0)
			strlist_printf(&sl, "number %zu", i);
		else
			strlist_add(&sl, "odd");
		assert_int_equal(sl.n, i + 1);
		assert_null(sl.v[sl.n]);
	}
	assert_false(sl.failed);
	for (size_t i = 0; i < 100; i += 2) {
		char expected[20];

		snprintf(expected, sizeof(expected), "number %zu", i);
		assert_string_equal(sl.v[i], expected);
		assert_string_equal(sl.v[i + 1], "odd");
	}
	strlist_free(&sl);
	assert_null(sl.v);
	assert_int_equal(sl.n, 0);
	strlist_free(&sl);
}

static void
strlist_copies_or_owns(void **state)
{
	struct strlist sl = STRLIST_INIT;
	char text[] = "before";
	char *owned = strdup("owned");

	(void)state;
	strlist_add(&sl, text);
	text[0] = 'B';
	strlist_take(&sl, owned);
	strlist_printf(&sl, "%s", "");
	assert_false(sl.failed);
	assert_string_equal(sl.v[0], "before");
	assert_ptr_equal(sl.v[1], owned);
	assert_string_equal(sl.v[2], "");
	strlist_free(&sl);
}

static void
strlist_failure_sticks(void **state)
{
	struct strlist sl = STRLIST_INIT;
	char *no_place;

	(void)state;
	strlist_add(&sl, "kept");
	strlist_take(&sl, NULL);
	assert_true(sl.failed);
	/* Owned also now: a leak would show. */
	strlist_take(&sl, strdup("lost"));
	strlist_add(&sl, "lost");
	strlist_printf(&sl, "%s", "lost");
	assert_true(sl.failed);
	assert_int_equal(sl.n, 1);
	assert_string_equal(sl.v[0], "kept");
	assert_null(sl.v[1]);
	strlist_free(&sl);
	assert_false(sl.failed);

	alloc_fail(1, ALLOC_ALL);
	strlist_add(&sl, "x");
	assert_true(sl.failed);
	assert_int_equal(sl.n, 0);
	strlist_free(&sl);
	strlist_printf(&sl, "%s", "x");
	assert_true(sl.failed);
	strlist_free(&sl);
	alloc_works();

	/* The string is there, its place is not. */
	for (size_t i = 0; i < 7; i++)
		strlist_add(&sl, "x");
	no_place = strdup("no place");
	alloc_fail(1, ALLOC_ALL);
	strlist_take(&sl, no_place);
	alloc_works();
	assert_true(sl.failed);
	assert_int_equal(sl.n, 7);
	assert_null(sl.v[7]);
	strlist_free(&sl);
}

static void
prefixes(void **state)
{
	(void)state;
	assert_true(str_starts("unix:/x", "unix:"));
	assert_true(str_starts("unix:", "unix:"));
	assert_true(str_starts("x", ""));
	assert_true(str_starts("", ""));
	assert_false(str_starts("unix", "unix:"));
	assert_false(str_starts("", "u"));
	assert_false(str_starts("Unix:", "unix:"));
	assert_false(str_starts(" unix:", "unix:"));
}

/* ---- num ---- */

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

/* ---- mono ---- */

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

/* ---- error ---- */

static void
error_in_words(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_string_equal(error_text(&err), "out of memory");
	assert_int_equal(error_set(&err, -ENOENT, "%s:%d: %s", "app.ini", 3,
	    "no such key"), -ENOENT);
	assert_string_equal(error_text(&err), "app.ini:3: no such key");
	/* Replaced, not leaked, and an old text may be part of the new. */
	assert_int_equal(error_set(&err, -EINVAL, "again: %s", err.text),
	    -EINVAL);
	assert_string_equal(error_text(&err), "again: app.ini:3: no such key");
	assert_int_equal(error_set(&err, -EIO, "%s", ""), -EIO);
	assert_string_equal(error_text(&err), "");
	error_clear(&err);
	assert_null(err.text);
	error_clear(&err);
	assert_int_equal(error_set(&err, 0, "used %s", "again"), 0);
	assert_string_equal(error_text(&err), "used again");
	error_clear(&err);
}

static void
error_without_words(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(error_set(NULL, -ENOENT, "nobody %s", "listens"),
	    -ENOENT);
	error_set(&err, -ENOENT, "old");
	alloc_fail(1, ALLOC_ALL);
	assert_int_equal(error_set(&err, -EPERM, "new"), -EPERM);
	alloc_works();
	/* Better no text than that of another error. */
	assert_null(err.text);
	assert_string_equal(error_text(&err), "out of memory");
	error_clear(&err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strbuf_grows),
		cmocka_unit_test(strbuf_at_its_edges),
		cmocka_unit_test(strbuf_holds_any_bytes),
		cmocka_unit_test(strbuf_hands_its_text_over),
		cmocka_unit_test(strbuf_failure_sticks),
		cmocka_unit_test(strbuf_refuses_the_impossible),
		cmocka_unit_test(strlist_is_an_argv),
		cmocka_unit_test(strlist_copies_or_owns),
		cmocka_unit_test(strlist_failure_sticks),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(number_limits),
		cmocka_unit_test(no_numbers),
		cmocka_unit_test(octal_numbers),
		cmocka_unit_test(adding_time),
		cmocka_unit_test(adding_saturates_at_never),
		cmocka_unit_test(time_between),
		cmocka_unit_test(order_of_time),
		cmocka_unit_test(clock_goes_on),
		cmocka_unit_test(error_in_words),
		cmocka_unit_test(error_without_words),
		cmocka_unit_test(time_since_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
