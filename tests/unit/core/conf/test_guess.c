/* Which word may have been meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "core/conf/guess.h"

static void
expect(const char *text, const char *expected)
{
	static const char *const words[] = {
		"status", "stop", "start", "scale", "reload", "restart",
	};
	struct strbuf sb = STRBUF_INIT;
	struct guess guess;

	guess_begin(&guess, text);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		guess_word(&guess, words[i]);
	strbuf_puts(&sb, "?");
	guess_put(&guess, &sb);
	assert_string_equal(sb.text + 1, expected);
	strbuf_free(&sb);
}

static void
guesses(void **state)
{
	(void)state;
	/* `start` is as near. */
	expect("stat", ", did you mean status?");
	expect("star", ", did you mean start?");
	expect("sta", ", did you mean status or start?");
	expect("re", ", did you mean reload or restart?");
	expect("s", ", did you mean status, stop, start or scale?");
	expect("relaod", ", did you mean reload?");
	expect("", "");
	expect("frobnicate", "");
	expect("statusses", "");
}

static void
too_many(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct guess guess;

	(void)state;
	guess_begin(&guess, "app");
	for (int i = 0; i < GUESS_MAX + 1; i++)
		guess_word(&guess, "app-server");
	guess_put(&guess, &sb);
	assert_int_equal(sb.len, 0);
	strbuf_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guesses),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests_name("guess", tests, NULL, NULL);
}
