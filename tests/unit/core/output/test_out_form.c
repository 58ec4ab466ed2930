#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/output/line_split.h"
#include "core/output/out_form.h"

#define NOON	INT64_C(1795428000123)
#define TIME	"2026-11-23T10:00:00.123Z"

static void
expect(const struct out_form *f, const char *line, bool goes_on,
    const char *text)
{
	char to[512];
	size_t len = strlen(text);

	memset(to, 'x', sizeof(to));
	assert_int_equal(out_form_put(f, line, strlen(line), goes_on, to,
	    sizeof(to)), len);
	assert_memory_equal(to, text, len);
	/* It fits in what it takes, and in nothing less. */
	memset(to, 'x', sizeof(to));
	assert_int_equal(out_form_put(f, line, strlen(line), goes_on, to, len),
	    len);
	assert_int_equal(to[len], 'x');
	for (size_t room = 0; room < len; room++)
		assert_int_equal(out_form_put(f, line, strlen(line), goes_on,
		    to, room), 0);
	assert_true(len <= out_form_line_cost(f) + 1 +
	    strlen(line) * out_form_byte_cost(f) +
	    (goes_on ? OUT_FORM_CUT_MAX : 0));
}

static void
how_lines_look(void **state)
{
	struct out_form f;

	(void)state;
	out_form_make(&f, OUT_KIND_PLAIN, false, "web", 2, 1, true);
	assert_int_equal(f.head_len, 0);
	expect(&f, "a", true, "a\n");
	out_form_make(&f, OUT_KIND_PLAIN, true, "web", 2, 1, true);
	out_form_set_time(&f, NOON);
	expect(&f, "a", false, TIME " a\n");
	out_form_make(&f, OUT_KIND_TAG, false, "web", 2, 1, false);
	out_form_set_time(&f, NOON);
	expect(&f, "\x1b\"", true, "web.2 | \x1b\"\n");
	out_form_make(&f, OUT_KIND_TAG, true, "web", 2, 2, false);
	out_form_set_time(&f, NOON);
	expect(&f, "", false, TIME " web.2 | \n");
	out_form_make(&f, OUT_KIND_JSON, false, "web", 2, 1, true);
	out_form_set_time(&f, NOON);
#define HEAD(stream) "{\"time\":\"" TIME "\",\"app\":\"web\"," \
	    "\"instance\":2,\"stream\":\"" stream "\",\"line\":\""
	expect(&f, "a", false, HEAD("stdout") "a\"}\n");
	expect(&f, "", true, HEAD("stdout") "\",\"cont\":true}\n");
	out_form_make(&f, OUT_KIND_JSON, false, "web", 2, 2, true);
	out_form_set_time(&f, NOON);
	expect(&f, "\t\"\\ \xc3\xa9 \xff\x01z", false, HEAD("stderr")
	    "\\t\\\"\\\\ \xc3\xa9 \xef\xbf\xbd\\u0001z\"}\n");
#undef HEAD
}

/* Whoever loses a line reads in it whose it was. */
static void
whose_they_are(void **state)
{
	static const char *const names[] = {
		"a", "web", "abcdefghijklmnopqrstuvwxyz012345",
	};
	char line[512], app[CONF_NAME_MAX + 1];
	struct out_form f;

	(void)state;
	for (size_t i = 0; i < 3; i++)
		for (unsigned k = 0; k < 8; k++) {
			size_t len;

			out_form_make(&f, k & 1 ? OUT_KIND_JSON : OUT_KIND_TAG,
			    k & 2, names[i], 4095, 2, k & 4);
			assert_true(f.head_len < sizeof(f.head));
			len = out_form_put(&f, "x.1 | y", 7, true, line,
			    sizeof(line));
			assert_true(out_tag_read(line, len, app));
			assert_string_equal(app, names[i]);
		}
	/* What clusterd says itself is nobody's. */
	assert_false(out_tag_read("{\"time\":\"" TIME "\",\"level\":", 45,
	    app));
	assert_false(out_tag_read(TIME " web", 28, app));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(how_lines_look),
		cmocka_unit_test(whose_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
