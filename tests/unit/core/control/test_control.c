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
#include "core/control/control.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

/* ---- requests ---- */

static void
expect_request(const char *line, enum control_verb verb, const char *app,
    int instance, const char *printed)
{
	struct control_request r;
	struct error err = ERROR_INIT;
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(control_request_parse(line, strlen(line), &r, &err),
	    0);
	assert_int_equal(r.verb, verb);
	assert_string_equal(r.app, app);
	assert_int_equal(r.instance, instance);
	assert_null(err.text);
	control_request_print(&sb, &r);
	assert_string_equal(sb.text, printed);
	strbuf_free(&sb);
}

static void
expect_refused(const char *line, const char *words)
{
	struct control_request r = { .amount = 7 };
	struct error err = ERROR_INIT;

	assert_int_equal(control_request_parse(line, strlen(line), &r, &err),
	    -EINVAL);
	assert_string_equal(error_text(&err), words);
	assert_int_equal(r.amount, 7);
	error_clear(&err);
	assert_int_equal(control_request_parse(line, strlen(line), &r, NULL),
	    -EINVAL);
}

static void
every_verb(void **state)
{
	(void)state;
	expect_request("status", CONTROL_STATUS, "", -1, "status\n");
	expect_request("reload", CONTROL_RELOAD, "", -1, "reload\n");
	expect_request("reload web", CONTROL_RELOAD, "web", -1,
	    "reload web\n");
	expect_request("restart web", CONTROL_RESTART, "web", -1,
	    "restart web\n");
	expect_request("restart web:0", CONTROL_RESTART, "web", 0,
	    "restart web:0\n");
	expect_request("stop", CONTROL_STOP, "", -1, "stop\n");
	expect_request("stop web", CONTROL_STOP, "web", -1, "stop web\n");
	expect_request("start web", CONTROL_START, "web", -1, "start web\n");
	expect_request("logs", CONTROL_LOGS, "", -1, "logs\n");
	expect_request("logs web", CONTROL_LOGS, "web", -1, "logs web\n");
	expect_request("logs web:4095", CONTROL_LOGS, "web", 4095,
	    "logs web:4095\n");
	expect_request("follow", CONTROL_FOLLOW, "", -1, "follow\n");
	expect_request("follow web:12", CONTROL_FOLLOW, "web", 12,
	    "follow web:12\n");
	expect_request("wait", CONTROL_WAIT, "", -1, "wait\n");
	for (int verb = 0; verb < CONTROL_VERBS; verb++)
		assert_non_null(control_verb_name((enum control_verb)verb));
}

static void
how_many_instances(void **state)
{
	static const struct {
		const char *line;
		enum control_scale scale;
		unsigned amount;
	} cases[] = {
		{ "scale web 1\n", CONTROL_SCALE_TO, 1 },
		{ "scale web 4096\n", CONTROL_SCALE_TO, 4096 },
		{ "scale web +2\n", CONTROL_SCALE_UP, 2 },
		{ "scale web -3\n", CONTROL_SCALE_DOWN, 3 },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct control_request r;
		struct strbuf sb = STRBUF_INIT;

		assert_int_equal(control_request_parse(cases[i].line,
		    strlen(cases[i].line) - 1, &r, NULL), 0);
		assert_int_equal(r.verb, CONTROL_SCALE);
		assert_int_equal(r.scale, cases[i].scale);
		assert_int_equal(r.amount, cases[i].amount);
		control_request_print(&sb, &r);
		assert_string_equal(sb.text, cases[i].line);
		strbuf_free(&sb);
	}
}

static void
spaces_do_not_matter(void **state)
{
	(void)state;
	expect_request("  restart   web:1 ", CONTROL_RESTART, "web", 1,
	    "restart web:1\n");
}

static void
bad_requests_are_told_in_words(void **state)
{
	(void)state;
	expect_refused("", "no command");
	expect_refused("   ", "no command");
	expect_refused("frobnicate", "\"frobnicate\" is not a command");
	expect_refused("relaod",
	    "\"relaod\" is not a command, did you mean reload?");
	expect_refused("restart",
	    "an argument is missing, usage: restart APP[:N]");
	expect_refused("start", "an argument is missing, usage: start APP");
	expect_refused("scale web",
	    "an argument is missing, usage: scale APP N|+N|-N");
	expect_refused("status web", "too many arguments, usage: status");
	expect_refused("wait 1", "too many arguments, usage: wait");
	expect_refused("reload a b", "too many arguments, usage: reload [APP]");
	expect_refused("scale a 1 2 3 4 5 6",
	    "too many arguments, usage: scale APP N|+N|-N");
	expect_refused("start ../x", "\"../x\" is not the name of an app");
	expect_refused("reload web:1", "\"web:1\" is not the name of an app");
	expect_refused("logs :1", "\"\" is not the name of an app");
	expect_refused("logs web:", "\"\" is not the number of an instance, "
	    "which is from 0 to 4095");
	expect_refused("logs web:4096", "\"4096\" is not the number of an "
	    "instance, which is from 0 to 4095");
	expect_refused("logs web:1:2", "\"1:2\" is not the number of an "
	    "instance, which is from 0 to 4095");
	expect_refused("scale web 0",
	    "an app has 1 instance at least: \"stop APP\" stops it");
	expect_refused("scale web +0", "\"+0\" is not N, +N or -N with a "
	    "number from 1 to 4096");
	expect_refused("scale web 4097", "\"4097\" is not N, +N or -N with a "
	    "number from 1 to 4096");
	expect_refused("scale web --1", "\"--1\" is not N, +N or -N with a "
	    "number from 1 to 4096");
	expect_refused("st\tatus",
	    "a request is printable ASCII and ends in a newline");
	expect_refused("status \xc3\xa9",
	    "a request is printable ASCII and ends in a newline");
}

static void
a_name_has_its_limit(void **state)
{
	char line[64] = "start ";
	struct control_request r;

	(void)state;
	memset(line + 6, 'a', 32);
	assert_int_equal(control_request_parse(line, 38, &r, NULL), 0);
	assert_int_equal(strlen(r.app), 32);
	memset(line + 6, 'a', 33);
	assert_int_equal(control_request_parse(line, 39, &r, NULL), -EINVAL);
}

static void
a_request_has_its_limit(void **state)
{
	char line[CONTROL_REQUEST_MAX];
	struct control_request r;
	struct error err = ERROR_INIT;

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "wait", 4);
	assert_int_equal(control_request_parse(line, sizeof(line) - 1, &r,
	    &err), 0);
	assert_int_equal(control_request_parse(line, sizeof(line), &r, &err),
	    -EINVAL);
	assert_string_equal(error_text(&err),
	    "a request has 1024 bytes at most");
	error_clear(&err);
	assert_int_equal(control_request_parse("wait\0", 5, &r, NULL),
	    -EINVAL);
}

/* A user's words come without the check of a line's bytes. */
static void
words_of_a_command_line(void **state)
{
	static const char *const good[] = { "scale", "web", "+1" };
	static const char *const split[] = { "restart web" };
	static const char *const empty[] = { "start", "" };
	struct control_request r;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(control_request_from_words(good, 3, &r, &err), 0);
	assert_int_equal(r.verb, CONTROL_SCALE);
	assert_int_equal(control_request_from_words(good, 0, &r, &err),
	    -EINVAL);
	assert_int_equal(control_request_from_words(split, 1, &r, &err),
	    -EINVAL);
	assert_int_equal(control_request_from_words(empty, 2, &r, &err),
	    -EINVAL);
	assert_string_equal(error_text(&err),
	    "\"\" is not the name of an app");
	error_clear(&err);
}

/* ---- answers ---- */

/* What was printed, parsed as one line; the buffer is to be freed. */
static struct control_line
parse_printed(struct strbuf *sb)
{
	struct control_line line;

	assert_false(sb->failed);
	assert_int_equal(sb->text[sb->len - 1], '\n');
	sb->text[sb->len - 1] = '\0';
	assert_null(strchr(sb->text, '\n'));
	assert_int_equal(control_line_parse(sb->text, sb->len - 1, &line), 0);
	return line;
}

static void
records_come_back(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct control_line line;
	uint64_t n = 5;

	(void)state;
	control_begin(&sb, CONTROL_RECORD, "instance");
	control_put(&sb, "app", "web");
	control_put_number(&sb, "pid", 4711);
	control_put_number(&sb, "most", UINT64_MAX);
	control_put(&sb, "death", "killed by 9, 100 %\n\x7f");
	control_put(&sb, "empty", "");
	control_put(&sb, "name", "gr\xc3\xbc\xdf=x");
	control_end(&sb);
	assert_string_equal(sb.text, "+ instance app=web pid=4711 "
	    "most=18446744073709551615 "
	    "death=killed%20by%209,%20100%20%25%0A%7F empty= "
	    "name=gr\xc3\xbc\xdf=x\n");
	line = parse_printed(&sb);
	assert_int_equal(line.kind, CONTROL_RECORD);
	assert_string_equal(line.word, "instance");
	assert_string_equal(line.text, "");
	assert_int_equal(line.n_fields, 6);
	assert_string_equal(control_line_get(&line, "app"), "web");
	assert_string_equal(control_line_get(&line, "death"),
	    "killed by 9, 100 %\n\x7f");
	assert_string_equal(control_line_get(&line, "empty"), "");
	assert_string_equal(control_line_get(&line, "name"),
	    "gr\xc3\xbc\xdf=x");
	assert_null(control_line_get(&line, "none"));
	assert_true(control_line_number(&line, "pid", &n));
	assert_int_equal(n, 4711);
	assert_true(control_line_number(&line, "most", &n));
	assert_true(n == UINT64_MAX);
	assert_false(control_line_number(&line, "app", &n));
	assert_false(control_line_number(&line, "empty", &n));
	assert_false(control_line_number(&line, "none", &n));
	strbuf_free(&sb);
}

static void
every_byte_comes_back(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct control_line line;
	char bytes[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)i;
	control_begin(&sb, CONTROL_PROGRESS, "note");
	control_put_bytes(&sb, "text", bytes, sizeof(bytes));
	control_put_bytes(&sb, "none", "", 0);
	control_end(&sb);
	for (size_t i = 0; i < sb.len - 1; i++)
		assert_true((unsigned char)sb.text[i] >= ' ' &&
		    sb.text[i] != 0x7f);
	line = parse_printed(&sb);
	assert_int_equal(line.kind, CONTROL_PROGRESS);
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
	control_begin(&sb, CONTROL_RECORD, "line");
	control_put(&sb, "app", "a-name-of-all-its-32-characters-");
	control_put_number(&sb, "instance", 4095);
	control_put(&sb, "stream", "stdout");
	control_put_number(&sb, "time_ms", UINT64_MAX);
	control_put_bytes(&sb, "text", bytes, 16 * 1024);
	control_end(&sb);
	assert_true(sb.len <= CONTROL_ANSWER_MAX);
	strbuf_free(&sb);
	free(bytes);
}

static void
greeting_and_ends(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct control_line line;

	(void)state;
	control_begin(&sb, CONTROL_GREETING, NULL);
	control_put_number(&sb, "pid", 1);
	control_end(&sb);
	assert_string_equal(sb.text, "clusterd 1 pid=1\n");
	line = parse_printed(&sb);
	assert_int_equal(line.kind, CONTROL_GREETING);
	assert_int_equal(line.version, CONTROL_VERSION);
	assert_string_equal(control_line_get(&line, "pid"), "1");

	sb.len = 0;
	control_put_ok(&sb, NULL);
	line = parse_printed(&sb);
	assert_int_equal(line.kind, CONTROL_OK);
	assert_string_equal(line.text, "");

	sb.len = 0;
	control_put_ok(&sb, "4 of 4 ready");
	line = parse_printed(&sb);
	assert_string_equal(line.text, "4 of 4 ready");

	sb.len = 0;
	control_put_error(&sb, "failed", "web: aborted\nfor 100 %\x1b[m");
	assert_string_equal(sb.text,
	    "error failed web: aborted?for 100 %?[m\n");
	line = parse_printed(&sb);
	assert_int_equal(line.kind, CONTROL_ERROR);
	assert_string_equal(line.word, "failed");
	assert_string_equal(line.text, "web: aborted?for 100 %?[m");

	sb.len = 0;
	control_put_error(&sb, "slow", NULL);
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
		struct control_line line;

		assert_non_null(copy);
		assert_int_equal(control_line_parse(copy, strlen(copy),
		    &line), -EPROTO);
		free(copy);
	}
}

static void
a_nul_is_no_part_of_a_line(void **state)
{
	char text[] = "+ app name=a\0b";
	struct control_line line;

	(void)state;
	assert_int_equal(control_line_parse(text, sizeof(text) - 1, &line),
	    -EPROTO);
}

static void
an_escape_that_is_none_stays(void **state)
{
	char text[] = "+ x a=% b=%4 c=%zz d=%41%4a%4A e=%%41";
	struct control_line line;

	(void)state;
	assert_int_equal(control_line_parse(text, strlen(text), &line), 0);
	assert_string_equal(control_line_get(&line, "a"), "%");
	assert_string_equal(control_line_get(&line, "b"), "%4");
	assert_string_equal(control_line_get(&line, "c"), "%zz");
	assert_string_equal(control_line_get(&line, "d"), "AJJ");
	assert_string_equal(control_line_get(&line, "e"), "%A");
}

static void
fields_beyond_the_limit_are_left_out(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	struct control_line line;
	char key[16] = "k";

	(void)state;
	control_begin(&sb, CONTROL_RECORD, "app");
	for (int i = 0; i < CONTROL_FIELDS_MAX + 2; i++) {
		key[1] = (char)('a' + i / 26);
		key[2] = (char)('a' + i % 26);
		control_put_number(&sb, key, (uint64_t)i);
	}
	control_end(&sb);
	line = parse_printed(&sb);
	assert_int_equal(line.n_fields, CONTROL_FIELDS_MAX);
	assert_string_equal(line.fields[CONTROL_FIELDS_MAX - 1].value, "63");
	strbuf_free(&sb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb),
		cmocka_unit_test(how_many_instances),
		cmocka_unit_test(spaces_do_not_matter),
		cmocka_unit_test(bad_requests_are_told_in_words),
		cmocka_unit_test(a_name_has_its_limit),
		cmocka_unit_test(a_request_has_its_limit),
		cmocka_unit_test(words_of_a_command_line),
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
