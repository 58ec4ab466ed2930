#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/control/request.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

static void
expect_request(const char *line, enum request_verb verb, const char *app,
    int instance, const char *printed)
{
	struct request r;
	struct error err = ERROR_INIT;
	struct strbuf sb = STRBUF_INIT;

	assert_int_equal(request_parse(line, strlen(line), &r, &err), 0);
	assert_int_equal(r.verb, verb);
	assert_string_equal(r.app, app);
	assert_int_equal(r.instance, instance);
	assert_null(err.text);
	request_print(&sb, &r);
	assert_string_equal(sb.text, printed);
	strbuf_free(&sb);
}

static void
expect_refused(const char *line, const char *words)
{
	struct request r = { .amount = 7 };
	struct error err = ERROR_INIT;

	assert_int_equal(request_parse(line, strlen(line), &r, &err), -EINVAL);
	assert_string_equal(error_text(&err), words);
	assert_int_equal(r.amount, 7);
	error_clear(&err);
	assert_int_equal(request_parse(line, strlen(line), &r, NULL), -EINVAL);
}

static void
every_verb(void **state)
{
	(void)state;
	expect_request("status", REQUEST_STATUS, "", -1, "status\n");
	expect_request("status web", REQUEST_STATUS, "web", -1,
	    "status web\n");
	expect_request("status web:2", REQUEST_STATUS, "web", 2,
	    "status web:2\n");
	expect_request("update", REQUEST_UPDATE, "", -1, "update\n");
	expect_request("reload", REQUEST_RELOAD, "", -1, "reload\n");
	expect_request("reload web", REQUEST_RELOAD, "web", -1, "reload web\n");
	expect_request("restart web", REQUEST_RESTART, "web", -1,
	    "restart web\n");
	expect_request("restart web:0", REQUEST_RESTART, "web", 0,
	    "restart web:0\n");
	expect_request("stop", REQUEST_STOP, "", -1, "stop\n");
	expect_request("stop web", REQUEST_STOP, "web", -1, "stop web\n");
	expect_request("start web", REQUEST_START, "web", -1, "start web\n");
	expect_request("logs", REQUEST_LOGS, "", -1, "logs\n");
	expect_request("logs web", REQUEST_LOGS, "web", -1, "logs web\n");
	expect_request("logs web:4095", REQUEST_LOGS, "web", 4095,
	    "logs web:4095\n");
	expect_request("follow", REQUEST_FOLLOW, "", -1, "follow\n");
	expect_request("follow web:12", REQUEST_FOLLOW, "web", 12,
	    "follow web:12\n");
	expect_request("wait", REQUEST_WAIT, "", -1, "wait\n");
	expect_request("wait web", REQUEST_WAIT, "web", -1, "wait web\n");
	expect_request("events", REQUEST_EVENTS, "", -1, "events\n");
	expect_request("watch web:1", REQUEST_WATCH, "web", 1, "watch web:1\n");
	expect_request("check web", REQUEST_CHECK, "web", -1, "check web\n");
	expect_request("check web[2] /a?b", REQUEST_CHECK, "web", 2,
	    "check web:2 /a?b\n");
	expect_request("signal web USR1", REQUEST_SIGNAL, "web", -1,
	    "signal web USR1\n");
	for (int verb = 0; verb < REQUEST_VERBS; verb++)
		assert_non_null(request_verb_name((enum request_verb)verb));
}

/* As the log, the prefix of lines, and others write it. */
static void
an_instance_has_several_spellings(void **state)
{
	(void)state;
	expect_request("restart web.1", REQUEST_RESTART, "web", 1,
	    "restart web:1\n");
	expect_request("restart web[1]", REQUEST_RESTART, "web", 1,
	    "restart web:1\n");
	expect_request("logs web-2_x[4095]", REQUEST_LOGS, "web-2_x", 4095,
	    "logs web-2_x:4095\n");
	expect_request("status web.0", REQUEST_STATUS, "web", 0,
	    "status web:0\n");
	expect_refused("restart web[1", "\"[1\" is not the number of an "
	    "instance, which is from 0 to 4095");
	expect_refused("restart web[]", "\"[]\" is not the number of an "
	    "instance, which is from 0 to 4095");
	expect_refused("restart web.1]", "\"1]\" is not the number of an "
	    "instance, which is from 0 to 4095");
	expect_refused("restart web.", "\"\" is not the number of an "
	    "instance, which is from 0 to 4095");
	expect_refused("restart web[4096]", "\"[4096]\" is not the number of "
	    "an instance, which is from 0 to 4095");
	expect_refused("restart web.000000000000000001",
	    "\"000000000000000001\" is not the number of an instance, which "
	    "is from 0 to 4095");
	expect_refused("restart [1]", "\"\" is not the name of an app");
}

static void
how_many_instances(void **state)
{
	static const struct {
		const char *line;
		enum request_scale scale;
		unsigned amount;
	} cases[] = {
		{ "scale web 1\n", REQUEST_SCALE_TO, 1 },
		{ "scale web 4096\n", REQUEST_SCALE_TO, 4096 },
		{ "scale web +2\n", REQUEST_SCALE_UP, 2 },
		{ "scale web -3\n", REQUEST_SCALE_DOWN, 3 },
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct request r;
		struct strbuf sb = STRBUF_INIT;

		assert_int_equal(request_parse(cases[i].line,
		    strlen(cases[i].line) - 1, &r, NULL), 0);
		assert_int_equal(r.verb, REQUEST_SCALE);
		assert_int_equal(r.scale, cases[i].scale);
		assert_int_equal(r.amount, cases[i].amount);
		request_print(&sb, &r);
		assert_string_equal(sb.text, cases[i].line);
		strbuf_free(&sb);
	}
}

static void
so_many_of_an_app_are_enough(void **state)
{
	static const char *const lines[] = {
		"wait web min=4096", "wait min=4096 web",
	};
	struct request r;

	(void)state;
	expect_request("wait min=1", REQUEST_WAIT, "", -1, "wait min=1\n");
	for (size_t i = 0; i < N(lines); i++) {
		expect_request(lines[i], REQUEST_WAIT, "web", -1,
		    "wait web min=4096\n");
		assert_int_equal(request_parse(lines[i], strlen(lines[i]), &r,
		    NULL), 0);
		assert_int_equal(r.min, 4096);
	}
}

static void
names_of_signals(void **state)
{
	struct request r;

	(void)state;
	expect_request("signal web[1] SIGHUP", REQUEST_SIGNAL, "web", 1,
	    "signal web:1 HUP\n");
	expect_request("signal web.1 15", REQUEST_SIGNAL, "web", 1,
	    "signal web:1 TERM\n");
	expect_request("signal web 40", REQUEST_SIGNAL, "web", -1,
	    "signal web 40\n");
	assert_int_equal(request_parse("signal web 40", 13, &r, NULL), 0);
	assert_int_equal(r.signo, 40);
}

static void
spaces_do_not_matter(void **state)
{
	(void)state;
	expect_request("  restart   web:1 ", REQUEST_RESTART, "web", 1,
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
	expect_refused("status a b",
	    "too many arguments, usage: status [APP[:N]]");
	expect_refused("update a", "too many arguments, usage: update");
	expect_refused("wait a b",
	    "too many arguments, usage: wait [APP] [min=N]");
	expect_refused("wait min=1 min=1",
	    "too many arguments, usage: wait [APP] [min=N]");
	expect_refused("wait a min=1 b",
	    "too many arguments, usage: wait [APP] [min=N]");
	expect_refused("wait min=0", "\"0\" is not a number of instances, "
	    "from 1 to 4096");
	expect_refused("wait min=", "\"\" is not a number of instances, from "
	    "1 to 4096");
	expect_refused("wait max=1", "\"max=1\" is not the name of an app");
	expect_refused("wait web:1", "\"web:1\" is an instance, and wait takes "
	    "a whole app: wait web");
	expect_refused("check", "an argument is missing, usage: check "
	    "APP[:N] [/PATH]");
	expect_refused("check web healthz", "\"healthz\" is not a path: it "
	    "begins with /, and is printable ASCII without spaces, 512 bytes "
	    "at most");
	expect_refused("signal web",
	    "an argument is missing, usage: signal APP[:N] SIGNAL");
	expect_refused("signal web FOO", "\"FOO\" is not a signal, such as "
	    "USR1, SIGUSR1 or a number from 1 to 64");
	expect_refused("signal web 0", "\"0\" is not a signal, such as "
	    "USR1, SIGUSR1 or a number from 1 to 64");
	expect_refused("reload a b", "too many arguments, usage: reload [APP]");
	expect_refused("scale a 1 2 3 4 5 6",
	    "too many arguments, usage: scale APP N|+N|-N");
	expect_refused("start ../x", "\"../x\" is not the name of an app");
	expect_refused("reload web:1", "\"web:1\" is an instance, and reload "
	    "takes a whole app: reload web");
	expect_refused("stop web.1", "\"web.1\" is an instance, and stop takes "
	    "a whole app: stop web");
	expect_refused("scale web[1] 2", "\"web[1]\" is an instance, and scale "
	    "takes a whole app: scale web");
	expect_refused("start web.x", "\"web.x\" is not the name of an app");
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
	struct request r;

	(void)state;
	memset(line + 6, 'a', 32);
	assert_int_equal(request_parse(line, 38, &r, NULL), 0);
	assert_int_equal(strlen(r.app), 32);
	memset(line + 6, 'a', 33);
	assert_int_equal(request_parse(line, 39, &r, NULL), -EINVAL);
}

static void
a_request_has_its_limit(void **state)
{
	char line[REQUEST_MAX];
	struct request r;
	struct error err = ERROR_INIT;

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "wait", 4);
	assert_int_equal(request_parse(line, sizeof(line) - 1, &r, &err), 0);
	assert_int_equal(request_parse(line, sizeof(line), &r, &err), -EINVAL);
	assert_string_equal(error_text(&err),
	    "a request has 1024 bytes at most");
	error_clear(&err);
	assert_int_equal(request_parse("wait\0", 5, &r, NULL), -EINVAL);
}

/* A user's words come without the check of a line's bytes. */
static void
words_of_a_command_line(void **state)
{
	static const char *const good[] = { "scale", "web", "+1" };
	static const char *const split[] = { "restart web" };
	static const char *const empty[] = { "start", "" };
	struct request r;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(request_from_words(good, 3, &r, &err), 0);
	assert_int_equal(r.verb, REQUEST_SCALE);
	assert_int_equal(request_from_words(good, 0, &r, &err), -EINVAL);
	assert_int_equal(request_from_words(split, 1, &r, &err), -EINVAL);
	assert_int_equal(request_from_words(empty, 2, &r, &err), -EINVAL);
	assert_string_equal(error_text(&err),
	    "\"\" is not the name of an app");
	error_clear(&err);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_verb),
		cmocka_unit_test(an_instance_has_several_spellings),
		cmocka_unit_test(how_many_instances),
		cmocka_unit_test(so_many_of_an_app_are_enough),
		cmocka_unit_test(names_of_signals),
		cmocka_unit_test(spaces_do_not_matter),
		cmocka_unit_test(bad_requests_are_told_in_words),
		cmocka_unit_test(a_name_has_its_limit),
		cmocka_unit_test(a_request_has_its_limit),
		cmocka_unit_test(words_of_a_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
