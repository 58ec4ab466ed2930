#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/control/answer.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

/* What was printed, parsed as one line; the buffer is to be freed. */
static struct answer_line
parse_printed(struct strbuf *sb)
{
	struct answer_line line;

	assert_false(sb->failed);
	assert_int_equal(sb->text[sb->len - 1], '\n');
	sb->text[sb->len - 1] = '\0';
	assert_null(strchr(sb->text, '\n'));
	assert_int_equal(answer_line_parse(sb->text, sb->len - 1, &line), 0);
	return line;
}

static void
records_come_back(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct answer_line line;
	uint64_t n = 5;

	(void)state;
	answer_begin(&sb, ANSWER_RECORD, "instance");
	answer_put(&sb, "app", "web");
	answer_put_number(&sb, "pid", 4711);
	answer_put_number(&sb, "most", UINT64_MAX);
	answer_put(&sb, "death", "killed by 9, 100 %\n\x7f");
	answer_put(&sb, "empty", "");
	answer_put(&sb, "name", "gr\xc3\xbc\xdf=x");
	answer_end(&sb);
	assert_string_equal(sb.text, "+ instance app=web pid=4711 "
	    "most=18446744073709551615 "
	    "death=killed%20by%209,%20100%20%25%0A%7F empty= "
	    "name=gr\xc3\xbc\xdf=x\n");
	line = parse_printed(&sb);
	assert_int_equal(line.kind, ANSWER_RECORD);
	assert_string_equal(line.word, "instance");
	assert_string_equal(line.text, "");
	assert_int_equal(line.n_fields, 6);
	assert_string_equal(answer_line_get(&line, "app"), "web");
	assert_string_equal(answer_line_get(&line, "death"),
	    "killed by 9, 100 %\n\x7f");
	assert_string_equal(answer_line_get(&line, "empty"), "");
	assert_string_equal(answer_line_get(&line, "name"), "gr\xc3\xbc\xdf=x");
	assert_null(answer_line_get(&line, "none"));
	assert_true(answer_line_number(&line, "pid", &n));
	assert_int_equal(n, 4711);
	assert_true(answer_line_number(&line, "most", &n));
	assert_true(n == UINT64_MAX);
	assert_false(answer_line_number(&line, "app", &n));
	assert_false(answer_line_number(&line, "empty", &n));
	assert_false(answer_line_number(&line, "none", &n));
	strbuf_free(&sb);
}

static void
every_byte_comes_back(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct answer_line line;
	char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	answer_begin(&sb, ANSWER_PROGRESS, "note");
	answer_put_bytes(&sb, "text", bytes, sizeof(bytes));
	answer_put_bytes(&sb, "none", "", 0);
	answer_end(&sb);
	for (size_t i = 0; i < sb.len - 1; i++)
		assert_true((unsigned char)sb.text[i] >= ' ' &&
		    sb.text[i] != 0x7f);
	line = parse_printed(&sb);
	assert_int_equal(line.kind, ANSWER_PROGRESS);
	assert_int_equal(line.fields[0].len, sizeof(bytes));
	assert_memory_equal(line.fields[0].value, bytes, sizeof(bytes));
	assert_int_equal(line.fields[1].len, 0);
	strbuf_free(&sb);
}

static void
the_longest_line_of_a_worker_fits(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	char *bytes = calloc(1, 16 * 1024);

	(void)state;
	assert_non_null(bytes);
	answer_begin(&sb, ANSWER_RECORD, "line");
	answer_put(&sb, "app", "a-name-of-all-its-32-characters-");
	answer_put_number(&sb, "instance", 4095);
	answer_put(&sb, "stream", "stdout");
	answer_put_number(&sb, "time_ms", UINT64_MAX);
	answer_put_bytes(&sb, "text", bytes, 16 * 1024);
	answer_end(&sb);
	assert_true(sb.len <= ANSWER_LINE_MAX);
	strbuf_free(&sb);
	free(bytes);
}

static void
greeting_and_ends(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct answer_line line;

	(void)state;
	answer_begin(&sb, ANSWER_GREETING, NULL);
	answer_put_number(&sb, "pid", 1);
	answer_end(&sb);
	assert_string_equal(sb.text, "clusterd 1 pid=1\n");
	line = parse_printed(&sb);
	assert_int_equal(line.kind, ANSWER_GREETING);
	assert_int_equal(line.version, ANSWER_PROTOCOL);
	assert_string_equal(answer_line_get(&line, "pid"), "1");

	sb.len = 0;
	answer_put_ok(&sb, NULL);
	line = parse_printed(&sb);
	assert_int_equal(line.kind, ANSWER_OK);
	assert_string_equal(line.text, "");

	sb.len = 0;
	answer_put_ok(&sb, "4 of 4 ready");
	line = parse_printed(&sb);
	assert_string_equal(line.text, "4 of 4 ready");

	sb.len = 0;
	answer_put_error(&sb, "failed", "web: aborted\nfor 100 %\x1b[m");
	assert_string_equal(sb.text,
	    "error failed web: aborted?for 100 %?[m\n");
	line = parse_printed(&sb);
	assert_int_equal(line.kind, ANSWER_ERROR);
	assert_string_equal(line.word, "failed");
	assert_string_equal(line.text, "web: aborted?for 100 %?[m");

	sb.len = 0;
	answer_put_error(&sb, "slow", NULL);
	line = parse_printed(&sb);
	assert_string_equal(line.word, "slow");
	assert_string_equal(line.text, "");
	strbuf_free(&sb);
}

static void
lines_that_are_none(void **state)
{
	static const char *const lines[] = {
		"", " ", "x", "+", "* ", "error", "error ", "clusterd",
		"clusterd 0", "clusterd x", "clusterd 1000001",
		"clusterd 1 pid", "+ app name", "+ app =web", "* app =",
		"+app name=web",
	};

	(void)state;
	for (size_t i = 0; i < N(lines); i++) {
		char *copy = strdup(lines[i]);
		struct answer_line line;

		assert_non_null(copy);
		assert_int_equal(answer_line_parse(copy, strlen(copy),
		    &line), -EPROTO);
		free(copy);
	}
}

static void
a_nul_is_no_part_of_a_line(void **state)
{
	char text[] = "+ app name=a\0b";
	struct answer_line line;

	(void)state;
	assert_int_equal(answer_line_parse(text, sizeof(text) - 1, &line),
	    -EPROTO);
}

static void
an_escape_that_is_none_stays(void **state)
{
	char text[] = "+ x a=% b=%4 c=%zz d=%41%4a%4A e=%%41";
	struct answer_line line;

	(void)state;
	assert_int_equal(answer_line_parse(text, strlen(text), &line), 0);
	assert_string_equal(answer_line_get(&line, "a"), "%");
	assert_string_equal(answer_line_get(&line, "b"), "%4");
	assert_string_equal(answer_line_get(&line, "c"), "%zz");
	assert_string_equal(answer_line_get(&line, "d"), "AJJ");
	assert_string_equal(answer_line_get(&line, "e"), "%A");
}

static void
fields_beyond_the_limit_are_left_out(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct answer_line line;
	char key[16] = "k";

	(void)state;
	answer_begin(&sb, ANSWER_RECORD, "app");
	for (int i = 0; i < ANSWER_FIELDS_MAX + 2; i++) {
		key[1] = (char)('a' + i / 26);
		key[2] = (char)('a' + i % 26);
		answer_put_number(&sb, key, (uint64_t)i);
	}
	answer_end(&sb);
	line = parse_printed(&sb);
	assert_int_equal(line.n_fields, ANSWER_FIELDS_MAX);
	assert_string_equal(line.fields[ANSWER_FIELDS_MAX - 1].value, "63");
	strbuf_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_back),
		cmocka_unit_test(every_byte_comes_back),
		cmocka_unit_test(the_longest_line_of_a_worker_fits),
		cmocka_unit_test(greeting_and_ends),
		cmocka_unit_test(lines_that_are_none),
		cmocka_unit_test(a_nul_is_no_part_of_a_line),
		cmocka_unit_test(an_escape_that_is_none_stays),
		cmocka_unit_test(fields_beyond_the_limit_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
