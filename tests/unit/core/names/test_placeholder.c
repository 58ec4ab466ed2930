#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "core/names/placeholder.h"

static void
expect(const struct placeholders *p, const char *text, const char *expanded)
{
	char *got = placeholders_expand(p, text);

	assert_non_null(got);
	assert_string_equal(got, expanded);
	free(got);
}

static char first[] = "A=1", again[] = "A=2", empty[] = "E=", longer[] = "AB=3";
static char *const env[] = { first, again, empty, longer, NULL };

static void
each_comes_to_its_value(void **state)
{
	const struct placeholders p = {
		.values = { "3", "80", "7", "web", "id" }, .env = env,
	};

	(void)state;
	expect(&p, "", "");
	expect(&p, "{fd}{port}{instance}{app}{worker_id}", "3807webid");
	/* The last one of a name counts. */
	expect(&p, "<{env:A}{env:E}{env:AB}>", "<23>");
	/* Those that are none. */
	expect(&p, "{env:}{env:1}{env:A-}{env:A", "{env:}{env:1}{env:A-}{env:A");
	expect(&p, "{env:NONE}{x}{}{{port}}", "{env:NONE}{x}{}{80}");
}

static void
what_is_not_known_stays(void **state)
{
	const struct placeholders p = { .env = NULL };

	(void)state;
	expect(&p, "{fd}{port}{instance}{app}{worker_id}{env:A}",
	    "{fd}{port}{instance}{app}{worker_id}{env:A}");
}

static void
they_are_found(void **state)
{
	const char *text = "a{env:A}b{env:NONE}c{env:E}", *unset;
	size_t len = 0;

	(void)state;
	assert_true(placeholder_in(PLACEHOLDER_PORT, "x{port}"));
	assert_false(placeholder_in(PLACEHOLDER_PORT, "{instance}port"));
	assert_true(placeholder_in(PLACEHOLDER_ENV, "{env:X}"));
	assert_false(placeholder_in(PLACEHOLDER_ENV, "{env:}"));
	unset = placeholder_find_unset(text, env, &len);
	assert_ptr_equal(unset, text + 9);
	assert_int_equal(len, strlen("{env:NONE}"));
	assert_null(placeholder_find_unset(unset + len, env, &len));
	assert_ptr_equal(placeholder_find_unset(text, NULL, &len), text + 1);

	text = "{app}{nonsense}{";
	assert_ptr_equal(placeholder_find_unknown(text, &len), text + 5);
	assert_int_equal(len, strlen("{nonsense}"));
	assert_null(placeholder_find_unknown("{app}{", &len));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_comes_to_its_value),
		cmocka_unit_test(what_is_not_known_stays),
		cmocka_unit_test(they_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
