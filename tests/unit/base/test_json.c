#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"

#define BAD "\xef\xbf\xbd"

static void
expect_bytes(const char *bytes, size_t len, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	json_put_bytes(&sb, bytes, len);
	assert_false(sb.failed);
	assert_string_equal(sb.text, expected);
	strbuf_free(&sb);
}

static void
expect(const char *text, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_puts(&sb, "{\"a\":");
	json_put_string(&sb, text);
	assert_memory_equal(sb.text, "{\"a\":", 5);
	assert_string_equal(sb.text + 5, expected);
	strbuf_free(&sb);
	expect_bytes(text, strlen(text), expected);
}

static void
plain_text(void **state)
{
	(void)state;
	expect("", "\"\"");
	expect("web[2] pid 4711: it's </fine>", "\"web[2] pid 4711: it's "
	    "</fine>\"");
	expect("gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"");
	expect("\xe2\x82\xac \xf0\x9f\x98\x80", "\"\xe2\x82\xac "
	    "\xf0\x9f\x98\x80\"");
}

static void
what_json_forbids(void **state)
{
	(void)state;
	expect("a\"b\\c", "\"a\\\"b\\\\c\"");
	expect("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
	expect("\x01\x1b[31m\x1f", "\"\\u0001\\u001b[31m\\u001f\"");
	expect_bytes("a\0b", 3, "\"a\\u0000b\"");
}

static void
what_a_terminal_takes_as_an_order(void **state)
{
	(void)state;
	expect("\x7f", "\"\\u007f\"");
	/* CSI of C1, and its neighbours. */
	expect("\xc2\x80\xc2\x9b\xc2\x9f\xc2\xa0",
	    "\"\\u0080\\u009b\\u009f\xc2\xa0\"");
}

/* One U+FFFD for each longest beginning of a sequence, as Unicode advises. */
static void
what_is_no_utf8(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "\x80", BAD },
		{ "a\xff" "b", "a" BAD "b" },
		{ "\xc0\xaf", BAD BAD },		/* overlong */
		{ "\xc1\xbf", BAD BAD },
		{ "\xe0\x9f\xbf", BAD BAD BAD },
		{ "\xf0\x8f\xbf\xbf", BAD BAD BAD BAD },
		{ "\xed\xa0\x80", BAD BAD BAD },	/* a surrogate */
		{ "\xf4\x90\x80\x80", BAD BAD BAD BAD },/* U+110000 */
		{ "\xf5\x80", BAD BAD },
		{ "\xe2\x82", BAD },			/* cut short */
		{ "\xe2\x82" "a", BAD "a" },
		{ "\xf0\x9f\x98\"", BAD "\\\"" },
		{ "\xf0\x9f\x98\xe2\x82\xac", BAD "\xe2\x82\xac" },
		{ "\xc3\n", BAD "\\n" },
		/* The edges of what is. */
		{ "\xc2\xa1\xdf\xbf", "\xc2\xa1\xdf\xbf" },
		{ "\xe0\xa0\x80\xed\x9f\xbf", "\xe0\xa0\x80\xed\x9f\xbf" },
		{ "\xee\x80\x80\xef\xbf\xbf", "\xee\x80\x80\xef\xbf\xbf" },
		{ "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf",
		  "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		char expected[64];

		snprintf(expected, sizeof(expected), "\"%s\"", rows[i].out);
		expect(rows[i].in, expected);
	}
}

/* Nothing is read behind the end, which no NUL need mark. */
static void
the_end_is_the_end(void **state)
{
	(void)state;
	expect_bytes("\xe2\x82\xac", 2, "\"" BAD "\"");
	expect_bytes("\xf0\x9f\x98\x80", 1, "\"" BAD "\"");
	expect_bytes("abc", 2, "\"ab\"");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text),
		cmocka_unit_test(what_json_forbids),
		cmocka_unit_test(what_a_terminal_takes_as_an_order),
		cmocka_unit_test(what_is_no_utf8),
		cmocka_unit_test(the_end_is_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
