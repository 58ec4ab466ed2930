#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "core/output/out_tag.h"

static void
what_is_made_is_read(void **state)
{
	static const char *const names[] = {
		"a", "web", "9-x_", "abcdefghijklmnopqrstuvwxyz012345",
	};
	static const unsigned instances[] = { 0, 7, 4095 };
	char line[OUT_TAG_MAX + 8], app[CONF_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		for (size_t k = 0; k < 3; k++)
			for (int colour = 0; colour < 2; colour++) {
				size_t len = out_tag_make(line, names[i],
				    instances[k], colour);

				assert_int_equal(len, strlen(line));
				strcpy(line + len, "a.b | c");
				assert_true(out_tag_read(line, len, app));
				assert_string_equal(app, names[i]);
				/* No part of it is one. */
				for (size_t cut = 0; cut < len; cut++)
					assert_false(out_tag_read(line, cut,
					    app));
			}
}

static void
how_it_looks(void **state)
{
	char tag[OUT_TAG_MAX], other[OUT_TAG_MAX];

	(void)state;
	out_tag_make(tag, "web", 2, false);
	assert_string_equal(tag, "web.2 | ");
	out_tag_make(tag, "web", 2, true);
	assert_non_null(strstr(tag, "mweb.2 |\033[0m "));
	out_tag_make(other, "web", 3, true);
	assert_int_not_equal(memcmp(tag, other, strlen("\033[36")), 0);
}

static void
what_is_no_tag(void **state)
{
	static const char *const lines[] = {
		"", ".", "web", "web.", "web.2", "web.2 ", "web.x | t",
		".2 | t", "web.2| t", "web.2 |t", "\033[36mweb.2 | t",
		"\033[mweb.2 |\033[0m t", "2026-11-23 10:00:00.123 info    x",
		"{\"time\":\"2026-11-23T10:00:00.123Z\"}",
		"abcdefghijklmnopqrstuvwxyz0123456.1 | t",
	};
	char app[CONF_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		assert_false(out_tag_read(lines[i], strlen(lines[i]), app));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_is_read),
		cmocka_unit_test(how_it_looks),
		cmocka_unit_test(what_is_no_tag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
