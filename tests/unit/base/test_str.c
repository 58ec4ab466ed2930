#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

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

static void
names(void **state)
{
	static const char *const list[] = { "node", "", NULL };

	(void)state;
	assert_true(str_is_one_of("node", list));
	assert_true(str_is_one_of("", list));
	assert_false(str_is_one_of("nod", list));
	assert_false(str_is_one_of("node", list + 2));
	assert_string_equal(str_base_name("/usr/bin/node"), "node");
	assert_string_equal(str_base_name("node"), "node");
	assert_string_equal(str_base_name("a/"), "");
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
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
