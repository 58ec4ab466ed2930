#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/names/words.h"

/* Split `text` and compare with the words that follow, up to NULL. */
static void
expect_words(const char *text, ...)
{
	struct strlist words = STRLIST_INIT;
	const char *expected;
	size_t n = 0;
	va_list ap;

	assert_int_equal(words_split(text, &words, NULL), 0);
	va_start(ap, text);
	while ((expected = va_arg(ap, const char *)) != NULL) {
		assert_true(n < words.n);
		assert_string_equal(words.v[n++], expected);
	}
	va_end(ap);
	assert_int_equal(words.n, n);
	strlist_free(&words);
}

static void
expect_refused(const char *text, const char *needle)
{
	struct strlist words = STRLIST_INIT;
	struct error err = ERROR_INIT;

	assert_int_equal(words_split(text, &words, &err), -EINVAL);
	assert_non_null(strstr(error_text(&err), needle));
	error_clear(&err);
	strlist_free(&words);
}

static void
expect_quoted(const char *word, const char *expected)
{
	struct strbuf sb = STRBUF_INIT;
	struct strlist words = STRLIST_INIT;

	words_quote(&sb, word);
	assert_string_equal(sb.text, expected);
	assert_int_equal(words_split(sb.text, &words, NULL), 0);
	assert_int_equal(words.n, 1);
	assert_string_equal(words.v[0], word);
	strlist_free(&words);
	strbuf_free(&sb);
}

static void
blanks_separate(void **state)
{
	(void)state;
	expect_words("", NULL);
	expect_words(" \t ", NULL);
	expect_words("a", "a", NULL);
	expect_words("  ./server\t--port  80 ", "./server", "--port", "80",
	    NULL);
}

static void
quotes_hold_together(void **state)
{
	(void)state;
	expect_words("sh -c 'a ; b'", "sh", "-c", "a ; b", NULL);
	expect_words("sh -c \"a ; b\"", "sh", "-c", "a ; b", NULL);
	expect_words("a'b c'\"d e\"f g", "ab cd ef", "g", NULL);
	expect_words("'' \"\" x", "", "", "x", NULL);
	expect_words("'a\\b' '\"' \"'\"", "a\\b", "\"", "'", NULL);
	expect_words("'it'\\''s'", "it's", NULL);
}

static void
backslash_quotes_one_byte(void **state)
{
	(void)state;
	expect_words("a\\ b \\'c \\\\ \\\"", "a b", "'c", "\\", "\"", NULL);
	expect_words("\"\\\" \\\\ \\$ \\` \\n\"", "\" \\ $ ` \\n", NULL);
}

static void
no_operator_is_known(void **state)
{
	(void)state;
	expect_words("a;b | c > d & $HOME *.c # x `y` ~ {fd}",
	    "a;b", "|", "c", ">", "d", "&", "$HOME", "*.c", "#", "x", "`y`",
	    "~", "{fd}", NULL);
}

static void
escapes_in_dollar_quotes(void **state)
{
	(void)state;
	expect_words("$'a\\nb\\tc' x", "a\nb\tc", "x", NULL);
	expect_words("$'\\x1b[0m\\'\\\\\\\"\\a\\b\\e\\f\\r\\v'",
	    "\x1b[0m'\\\"\a\b\x1b\f\r\v", NULL);
	expect_words("$'\\x4G\\x41\\x4a'", "\x04GAJ", NULL);
	expect_words("a$'b'c $x", "abc", "$x", NULL);
	expect_refused("$'a", "$'...'");
	expect_refused("$'\\q'", "$'...'");
	expect_refused("$'\\x'", "$'...'");
	expect_refused("$'\\x00'", "$'...'");
	expect_refused("$'\\", "$'...'");
}

static void
open_ends_are_errors(void **state)
{
	(void)state;
	expect_refused("a 'b", "single quote");
	expect_refused("a \"b", "double quote");
	expect_refused("a \"b\\\"", "double quote");
	expect_refused("\"\\", "double quote");
	expect_refused("a \\", "backslash");
}

static void
appends_behind_what_is_there(void **state)
{
	struct strlist words = STRLIST_INIT;

	(void)state;
	assert_int_equal(words_split("a b", &words, NULL), 0);
	assert_int_equal(words_split("c", &words, NULL), 0);
	assert_int_equal(words.n, 3);
	assert_string_equal(words.v[2], "c");
	assert_null(words.v[3]);
	strlist_free(&words);
}

static void
quote_only_where_needed(void **state)
{
	(void)state;
	expect_quoted("./server", "./server");
	expect_quoted("--listen={fd},x@y:1%+_", "--listen={fd},x@y:1%+_");
	expect_quoted("", "''");
	expect_quoted("a b", "'a b'");
	expect_quoted("#x", "'#x'");
	expect_quoted("it's", "'it'\\''s'");
	expect_quoted("a\\b\"$`", "'a\\b\"$`'");
	expect_quoted("gr\xc3\xbc\xdf", "'gr\xc3\xbc\xdf'");
	expect_quoted("a\nb\tc\x7f\x01'\\",
	    "$'a\\nb\\tc\\x7f\\x01\\'\\\\'");
	expect_quoted("\x01" "f", "$'\\x01f'");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blanks_separate),
		cmocka_unit_test(quotes_hold_together),
		cmocka_unit_test(backslash_quotes_one_byte),
		cmocka_unit_test(no_operator_is_known),
		cmocka_unit_test(escapes_in_dollar_quotes),
		cmocka_unit_test(open_ends_are_errors),
		cmocka_unit_test(appends_behind_what_is_there),
		cmocka_unit_test(quote_only_where_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
