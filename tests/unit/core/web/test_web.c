#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/control/answer.h"
#include "core/control/request.h"
#include "core/status/status.h"
#include "core/web/web_accept.h"
#include "core/web/web_action.h"
#include "core/web/web_agent.h"
#include "core/web/web_host.h"
#include "core/web/web_ready.h"
#include "core/web/web_rows.h"

static void
read_status(struct status *status, const char *text)
{
	char *copy = strdup(text), *rest = copy, *line;
	struct answer_line parsed;

	*status = (struct status)STATUS_INIT;
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		assert_int_equal(answer_line_parse(line, strlen(line),
		    &parsed), 0);
		assert_int_equal(status_add(status, &parsed), 0);
	}
	free(copy);
}

/* ---- hosts ---- */

static void
hosts(void **state)
{
	char *names[] = { (char *)(uintptr_t)"www.example.org", NULL };
	static const char *const good[] = {
		"127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8080",
		"[fe80::1]", "localhost", "LOCALHOST:1", "localhost.",
		"www.example.org", "WWW.Example.org.:443",
	};
	static const char *const bad[] = {
		"", ":", ":80", ".", "127.1", "1", "0x7f000001",
		"[::1", "[]", "[::1]80", "[::1%1]", "evil", "localhost:",
		"localhost:0", "localhost:65536", "localhost:1:2",
		"xlocalhost", "localhost.evil", "www.example.orgx",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!web_host_allowed(good[i], names))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (web_host_allowed(bad[i], names))
			fail_msg("%s", bad[i]);
	assert_false(web_host_allowed("www.example.org", NULL));
	assert_true(web_host_name_valid("a-b_c.d"));
	assert_false(web_host_name_valid(""));
	assert_false(web_host_name_valid(".a"));
	assert_false(web_host_name_valid("a."));
	assert_false(web_host_name_valid("a b"));
	assert_false(web_host_name_valid("a:1"));
}

static void
origins(void **state)
{
	(void)state;
	assert_true(web_host_same_origin("http://a:1", "A:1"));
	assert_true(web_host_same_origin("https://a", "a"));
	assert_false(web_host_same_origin("http://a:1", "a"));
	assert_false(web_host_same_origin("http://a.b", "a"));
	assert_false(web_host_same_origin("null", "null"));
	assert_false(web_host_same_origin("ftp://a", "a"));
	assert_false(web_host_same_origin("", ""));
}

/* ---- which format ---- */

static void
formats(void **state)
{
	static const struct {
		const char *accept;
		enum metrics_format format;
	} all[] = {
		{ NULL, METRICS_CLASSIC },
		{ "", METRICS_CLASSIC },
		{ "*/*", METRICS_CLASSIC },
		{ "application/*", METRICS_CLASSIC },
		{ "application/openmetrics-text", METRICS_OPENMETRICS },
		{ "Application/OpenMetrics-Text; Version=\"1.0.0\"",
		    METRICS_OPENMETRICS },
		{ "application/openmetrics-text;version=0.0.1",
		    METRICS_CLASSIC },
		{ "application/openmetrics-text;q=0", METRICS_CLASSIC },
		{ "application/openmetrics-text;q=0.5,text/plain;q=0.6",
		    METRICS_CLASSIC },
		{ "application/openmetrics-text;q=0.6,text/plain;q=0.6",
		    METRICS_OPENMETRICS },
		/* The more exact one counts. */
		{ "*/*,application/openmetrics-text;q=0.6,text/plain;q=0.1",
		    METRICS_OPENMETRICS },
		{ "application/openmetrics-text;q=2", METRICS_CLASSIC },
		{ "application/openmetrics-text;q=0.7x,text/plain;q=0.1",
		    METRICS_CLASSIC },
		{ ",,;;,=,q=1", METRICS_CLASSIC },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (web_accept_metrics(all[i].accept) != all[i].format)
			fail_msg("%s", all[i].accept);
}

/* ---- actions ---- */

static void
expect_line(const char *body, const char *line)
{
	struct strbuf sb = STRBUF_INIT;
	struct error err = ERROR_INIT;
	struct request request;

	if (web_action_parse(body, strlen(body), &request, &err) < 0)
		fail_msg("%s: %s", body, error_text(&err));
	request_print(&sb, &request);
	assert_string_equal(sb.text, line);
	strbuf_free(&sb);
}

static void
actions(void **state)
{
	static const char *const bad[] = {
		"", "null", "[]", "{}", "{\"action\":}", "{\"action\":\"\"}",
		"{\"action\":\"stop\"}", "{\"action\":\"upgrade\"}",
		"{\"action\":\"signal\",\"app\":\"a\"}",
		"{\"action\":\"reload\"", "{\"action\":\"reload\",}",
		"{\"action\":\"reload\"}{}", "{\"action\":\"rel\\u006fad\"}",
		"{\"action\":\"restart\",\"app\":\"a b\"}",
		"{\"action\":\"restart\",\"app\":\"a\\nstop\"}",
		"{\"action\":\"restart\",\"instance\":1}",
		"{\"action\":\"scale\",\"app\":\"a\",\"instances\":-1}",
		"{\"action\":\"scale\",\"app\":\"a\",\"instances\":1.5}",
		"{\"action\":\"reload\",\"x\":1}",
		"{action:\"reload\"}",
	};
	struct request request;

	(void)state;
	expect_line("{\"action\":\"reload\"}", "reload\n");
	expect_line(" { \"app\" : \"web\" ,\n\"action\":\"reload\" } ",
	    "reload web\n");
	expect_line("{\"action\":\"restart\",\"app\":\"w\",\"instance\":3}",
	    "restart w:3\n");
	expect_line("{\"action\":\"scale\",\"app\":\"w\",\"instances\":\"-2\"}",
	    "scale w -2\n");
	expect_line("{\"action\":\"scale\",\"app\":\"w\",\"instances\":4}",
	    "scale w 4\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (web_action_parse(bad[i], strlen(bad[i]), &request,
		    NULL) == 0)
			fail_msg("%s", bad[i]);
}

/* ---- readiness ---- */

static enum web_ready
ready(const char *text, const char *app, unsigned min)
{
	struct strbuf words = STRBUF_INIT;
	struct status status;
	enum web_ready found;

	read_status(&status, text);
	found = web_ready(&status, app, min, &words);
	assert_int_equal(found == WEB_READY_NOT, words.len > 0);
	strbuf_free(&words);
	status_free(&status);
	return found;
}

static void
readiness(void **state)
{
	static const char two[] = "+ clusterd pid=1 state=running\n"
	    "+ app name=a state=running wanted=2 ready=1\n"
	    "+ app name=b state=stopped wanted=2 ready=0\n"
	    "+ app name=c state=ended wanted=1 ready=0\n";

	(void)state;
	assert_int_equal(ready(two, NULL, 1), WEB_READY);
	assert_int_equal(ready(two, NULL, 2), WEB_READY_NOT);
	assert_int_equal(ready(two, NULL, 9), WEB_READY_NOT);
	assert_int_equal(ready(two, "a", 1), WEB_READY);
	assert_int_equal(ready(two, "b", 1), WEB_READY_NOT);
	assert_int_equal(ready(two, "c", 1), WEB_READY);
	assert_int_equal(ready(two, "d", 1), WEB_READY_UNKNOWN_APP);
	assert_int_equal(ready("+ clusterd pid=1 state=going%20down\n"
	    "+ app name=a wanted=1 ready=1\n", NULL, 1), WEB_READY_NOT);
	assert_int_equal(ready("+ app name=a state=running wanted=2 ready=2\n",
	    "a", 9), WEB_READY);
}

/* ---- HAProxy's agent-check ---- */

static void
expect_agent(const char *text, const char *app, const char *line)
{
	struct strbuf sb = STRBUF_INIT;
	struct status status;

	read_status(&status, text);
	web_agent(&status, app, &sb);
	assert_string_equal(sb.text, line);
	strbuf_free(&sb);
	status_free(&status);
}

#define RUNS "+ clusterd pid=1 state=running\n"

static void
agent(void **state)
{
	static const char apps[] = RUNS
	    "+ app name=a state=running wanted=3 ready=2\n"
	    "+ app name=b state=stopped wanted=2 ready=0\n"
	    "+ app name=c state=ended wanted=1 ready=0\n"
	    "+ app name=d state=running wanted=1000 ready=1\n"
	    "+ app name=e state=running wanted=1000 ready=999\n"
	    "+ app name=f state=running wanted=2 ready=3\n"
	    "+ app name=g state=starting wanted=2 ready=0\n"
	    "+ app name=h state=stopping wanted=2 ready=2\n"
	    "+ app name=i state=running ready=1\n"
	    "+ app name=j state=running\n";

	(void)state;
	expect_agent(apps, "a", "up ready 66%\n");
	expect_agent(apps, "b", "maint\n");
	expect_agent(apps, "c", "maint\n");
	/* Never 0, which is for those that take nobody new. */
	expect_agent(apps, "d", "up ready 1%\n");
	expect_agent(apps, "e", "up ready 99%\n");
	expect_agent(apps, "f", "up ready 100%\n");
	expect_agent(apps, "g", "down #no instance of g is ready\n");
	expect_agent(apps, "h", "maint\n");
	expect_agent(apps, "i", "up ready 100%\n");
	expect_agent(apps, "j", "down #no instance of j is ready\n");
	expect_agent(apps, "x", "down #there is no app x\n");
	expect_agent("+ clusterd pid=1 state=going%20down\n"
	    "+ app name=a state=running wanted=1 ready=1\n", "a", "drain\n");
	expect_agent("+ clusterd pid=1 state=stopping\n"
	    "+ app name=a state=running wanted=1 ready=1\n", "a", "maint\n");
}

/* ---- rows ---- */

static char *
change(const char *before, const char *after)
{
	struct strbuf sb = STRBUF_INIT;
	struct web_rows a, b;
	struct status status;

	read_status(&status, before);
	assert_int_equal(web_rows_build(&status, 1000000, &a), 0);
	status_free(&status);
	read_status(&status, after);
	assert_int_equal(web_rows_build(&status, 1001000, &b), 0);
	status_free(&status);
	web_rows_put(&sb, &b, &a);
	web_rows_free(&a);
	web_rows_free(&b);
	return strbuf_take(&sb);
}

#define APP "+ app name=a state=running\n"
#define SEAT(n, rest) "+ instance app=a instance=" n " role=seat " rest "\n"

static void
rows(void **state)
{
	static const char *const all[][3] = {
		/* Nothing happens but time. */
		{ APP SEAT("0", "uptime_ms=5000"),
		    APP SEAT("0", "uptime_ms=6000"),
		    "\"set\":[],\"gone\":[]" },
		{ APP SEAT("0", "state=ready") SEAT("1", "state=ready"),
		    APP SEAT("0", "state=ready") SEAT("1", "state=backoff"),
		    "\"set\":[{\"id\":\"a:1\",\"of\":\"a\",\"instance\":1,"
		    "\"role\":\"seat\",\"state\":\"backoff\"}],\"gone\":[]" },
		{ APP SEAT("0", "") SEAT("10", "") SEAT("2", ""),
		    APP SEAT("10", ""),
		    "\"set\":[],\"gone\":[\"a:0\",\"a:2\"]" },
		{ APP "+ instance app=a instance=0 role=retiring pid=7\n",
		    "", "\"set\":[],\"gone\":[\"a\",\"a:0 retiring 7\"]" },
	};
	char *whole;

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char *text = change(all[i][0], all[i][1]);

		assert_string_equal(text, all[i][2]);
		free(text);
	}
	/* What a worker's death is in words may hold anything. */
	whole = change("", APP SEAT("0", "death=%3C/script%3E%22%01"));
	assert_non_null(strstr(whole, "\"death\":\"</script>\\\"\\u0001\""));
	free(whole);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts),
		cmocka_unit_test(origins),
		cmocka_unit_test(formats),
		cmocka_unit_test(actions),
		cmocka_unit_test(readiness),
		cmocka_unit_test(agent),
		cmocka_unit_test(rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
