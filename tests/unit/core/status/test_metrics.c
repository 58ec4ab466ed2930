#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/status/metrics_text.h"
#include "core/status/status.h"
#include "lib/alloc_fail.h"
#include "status_lines.h"

static void
expect(const char *lines, enum metrics_format format, const char *text)
{
	struct status s;
	struct strbuf sb = STRBUF_INIT;

	status_read(&s, lines);
	metrics_text(&sb, &s, format);
	assert_false(sb.failed);
	assert_string_equal(sb.text, text);
	strbuf_free(&sb);
	status_free(&s);
}

static const char one_app[] =
    "+ clusterd pid=1 version=0.1.0 uptime_ms=61005 cpu_ns=1500000001 "
    "memory_bytes=5000000 reloads_refused=2 supervisor_restarts=4\n"
    "+ app name=web generation=3 wanted=2 ready=1 reloads_ok=2 "
    "reloads_aborted=1\n"
    "+ listener app=web address=[::]:80 balance=random waiting=3 "
    "backlog=2048 dropped=3 state=open\n"
    "+ instance app=web instance=0 pid=10 state=ready generation=3 "
    "uptime_ms=60000 ready_ms=20 cpu_ns=7 memory_bytes=9000 waiting=1 "
    "connections=12 connections_total=99 restarts_exit=0 "
    "restarts_failure=1 restarts_signal=2 restarts_timeout=3 "
    "restarts_start=4\n"
    "+ instance app=web instance=0 role=retiring pid=11 state=draining "
    "memory_bytes=500 connections=4\n"
    "+ instance app=web instance=1 state=backoff\n";

static void
all_of_them(void **state)
{
	(void)state;
	expect(one_app, METRICS_OPENMETRICS,
	    "# HELP clusterd_info Which clusterd runs; always 1.\n"
	    "# TYPE clusterd_info gauge\n"
	    "clusterd_info{version=\"0.1.0\"} 1\n"
	    "# HELP clusterd_uptime_seconds Since the supervisor started.\n"
	    "# TYPE clusterd_uptime_seconds gauge\n"
	    "clusterd_uptime_seconds 61.005\n"
	    "# HELP clusterd_cpu_seconds_total CPU time of the supervisor "
	    "alone.\n"
	    "clusterd_cpu_seconds_total 1.500000001\n"
	    "# HELP clusterd_memory_bytes Resident memory of the supervisor "
	    "alone.\n"
	    "# TYPE clusterd_memory_bytes gauge\n"
	    "clusterd_memory_bytes 5000000\n"
	    "# HELP clusterd_reloads_refused_total Reloads that changed "
	    "nothing, for an error of the configuration or a socket.\n"
	    "clusterd_reloads_refused_total 2\n"
	    "# HELP clusterd_supervisor_restarts_total Supervisors that died "
	    "and were started again.\n"
	    "clusterd_supervisor_restarts_total 4\n"
	    "# HELP clusterd_app_wanted_instances Instances that there "
	    "should be.\n"
	    "# TYPE clusterd_app_wanted_instances gauge\n"
	    "clusterd_app_wanted_instances{app=\"web\"} 2\n"
	    "# HELP clusterd_app_ready_instances Instances that are ready to "
	    "serve.\n"
	    "# TYPE clusterd_app_ready_instances gauge\n"
	    "clusterd_app_ready_instances{app=\"web\"} 1\n"
	    "# HELP clusterd_app_generation Of the configuration that is in "
	    "force.\n"
	    "# TYPE clusterd_app_generation gauge\n"
	    "clusterd_app_generation{app=\"web\"} 3\n"
	    "# HELP clusterd_app_workers Processes by their role: in a seat, "
	    "about to take one (next), or retiring.\n"
	    "# TYPE clusterd_app_workers gauge\n"
	    "clusterd_app_workers{app=\"web\",role=\"seat\"} 1\n"
	    "clusterd_app_workers{app=\"web\",role=\"next\"} 0\n"
	    "clusterd_app_workers{app=\"web\",role=\"retiring\"} 1\n"
	    "# HELP clusterd_app_retiring_memory_bytes Resident memory of "
	    "the workers that retire.\n"
	    "# TYPE clusterd_app_retiring_memory_bytes gauge\n"
	    "clusterd_app_retiring_memory_bytes{app=\"web\"} 500\n"
	    "# HELP clusterd_app_retiring_connections Connections that the "
	    "workers that retire still have.\n"
	    "# TYPE clusterd_app_retiring_connections gauge\n"
	    "clusterd_app_retiring_connections{app=\"web\"} 4\n"
	    "# HELP clusterd_app_reloads_total Reloads of the app that ended,"
	    " by how.\n"
	    "clusterd_app_reloads_total{app=\"web\",result=\"ok\"} 2\n"
	    "clusterd_app_reloads_total{app=\"web\",result=\"aborted\"} 1\n"
	    "# HELP clusterd_listener_waiting_connections Connections that "
	    "no worker has accepted yet.\n"
	    "# TYPE clusterd_listener_waiting_connections gauge\n"
	    "clusterd_listener_waiting_connections{app=\"web\","
	    "address=\"[::]:80\"} 3\n"
	    "# HELP clusterd_listener_backlog_connections How many may wait, "
	    "in all queues together.\n"
	    "# TYPE clusterd_listener_backlog_connections gauge\n"
	    "clusterd_listener_backlog_connections{app=\"web\","
	    "address=\"[::]:80\"} 2048\n"
	    "# HELP clusterd_listener_dropped_packets_total Packets of new "
	    "connections that no worker's queue would take.\n"
	    "clusterd_listener_dropped_packets_total{app=\"web\","
	    "address=\"[::]:80\"} 3\n"
	    "# HELP clusterd_listener_balance How connections are given to "
	    "workers; always 1.\n"
	    "# TYPE clusterd_listener_balance gauge\n"
	    "clusterd_listener_balance{app=\"web\",address=\"[::]:80\","
	    "balance=\"random\"} 1\n"
	    "# HELP clusterd_instance_up Whether it is ready to serve.\n"
	    "# TYPE clusterd_instance_up gauge\n"
	    "clusterd_instance_up{app=\"web\",worker=\"0\"} 1\n"
	    "clusterd_instance_up{app=\"web\",worker=\"1\"} 0\n"
	    "# HELP clusterd_instance_restarts_total Restarts after: an exit "
	    "with a success code (exit) or another one (failure), a signal, "
	    "not being ready in time (timeout), a start that failed "
	    "(start).\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"exit\"} 0\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"failure\"} 1\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"signal\"} 2\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"timeout\"} 3\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"start\"} 4\n"
	    "# HELP clusterd_instance_generation Of the worker's "
	    "configuration.\n"
	    "# TYPE clusterd_instance_generation gauge\n"
	    "clusterd_instance_generation{app=\"web\",worker=\"0\"} 3\n"
	    "# HELP clusterd_instance_uptime_seconds Since its process "
	    "started.\n"
	    "# TYPE clusterd_instance_uptime_seconds gauge\n"
	    "clusterd_instance_uptime_seconds{app=\"web\",worker=\"0\"} "
	    "60.000\n"
	    "# HELP clusterd_instance_ready_seconds How long its process "
	    "took to become ready.\n"
	    "# TYPE clusterd_instance_ready_seconds gauge\n"
	    "clusterd_instance_ready_seconds{app=\"web\",worker=\"0\"} "
	    "0.020\n"
	    "# HELP clusterd_instance_cpu_seconds_total CPU time of its "
	    "process and that one's descendants.\n"
	    "clusterd_instance_cpu_seconds_total{app=\"web\",worker=\"0\"} "
	    "0.000000007\n"
	    "# HELP clusterd_instance_memory_bytes Resident memory of its "
	    "process and that one's descendants.\n"
	    "# TYPE clusterd_instance_memory_bytes gauge\n"
	    "clusterd_instance_memory_bytes{app=\"web\",worker=\"0\"} 9000\n"
	    "# HELP clusterd_instance_waiting_connections Connections in the "
	    "queue that is its own.\n"
	    "# TYPE clusterd_instance_waiting_connections gauge\n"
	    "clusterd_instance_waiting_connections{app=\"web\",worker=\"0\"} "
	    "1\n"
	    "# HELP clusterd_instance_open_connections Connections that it "
	    "has.\n"
	    "# TYPE clusterd_instance_open_connections gauge\n"
	    "clusterd_instance_open_connections{app=\"web\",worker=\"0\"} "
	    "12\n"
	    "# HELP clusterd_instance_accepted_connections_total Connections "
	    "that it has accepted.\n"
	    "clusterd_instance_accepted_connections_total{app=\"web\","
	    "worker=\"0\"} 99\n"
	    "# EOF\n");
}

/* Counters have their type, and there is no # EOF. */
static void
classic_format(void **state)
{
	(void)state;
	expect("+ clusterd version=1 reloads_refused=2\n",
	    METRICS_CLASSIC,
	    "# HELP clusterd_info Which clusterd runs; always 1.\n"
	    "# TYPE clusterd_info gauge\n"
	    "clusterd_info{version=\"1\"} 1\n"
	    "# HELP clusterd_reloads_refused_total Reloads that changed "
	    "nothing, for an error of the configuration or a socket.\n"
	    "# TYPE clusterd_reloads_refused_total counter\n"
	    "clusterd_reloads_refused_total 2\n");
}

static void
of_nothing(void **state)
{
	(void)state;
	expect("", METRICS_OPENMETRICS, "# EOF\n");
}

/* The lines of one metric. */
static void
expect_samples(const char *lines, const char *metric, const char *text)
{
	struct status s;
	struct strbuf sb = STRBUF_INIT, found = STRBUF_INIT;
	size_t len = strlen(metric);

	status_read(&s, lines);
	metrics_text(&sb, &s, METRICS_OPENMETRICS);
	strbuf_puts(&found, "");
	for (char *rest = sb.text, *line; (line = strsep(&rest, "\n")) != NULL;)
		if (strncmp(line, metric, len) == 0)
			strbuf_printf(&found, "%s\n", line + len);
	assert_false(sb.failed || found.failed);
	assert_string_equal(found.text, text);
	strbuf_free(&found);
	strbuf_free(&sb);
	status_free(&s);
}

static void
labels_are_escaped(void **state)
{
	(void)state;
	expect_samples("+ app name=a\n"
	    "+ listener app=a address=unix:/\"\\%0A%0D%09\xff\xc3\xa9\xc3 "
	    "backlog=1\n",
	    "clusterd_listener_backlog_connections",
	    "{app=\"a\",address=\"unix:/\\\"\\\\\\n"
	    "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\"} 1\n");
}

static void
labels_are_unique(void **state)
{
	static const char lines[] =
	    "+ app name=a wanted=1\n"
	    "+ app name=a wanted=2\n"
	    "+ listener app=a address=x waiting=1 state=closing\n"
	    "+ listener app=a address=x waiting=2 balance=shared\n"
	    "+ listener app=a address=x waiting=3\n"
	    "+ listener app=a address=y waiting=4\n"
	    "+ instance app=a instance=0 state=ready\n"
	    "+ instance app=a instance=0 state=failed\n"
	    "+ instance app=a instance=2 role=next state=ready\n"
	    "+ instance app=a instance=2 state=starting\n"
	    "+ instance app=a instance=1 state=ready\n"
	    "+ instance app=a instance=18446744073709551614 state=ready\n"
	    "+ instance app=a instance=18446744073709551614 state=ready\n";

	(void)state;
	expect_samples(lines, "clusterd_app_wanted_instances",
	    "{app=\"a\"} 2\n");
	expect_samples(lines, "clusterd_listener_waiting_connections",
	    "{app=\"a\",address=\"x\"} 2\n{app=\"a\",address=\"y\"} 4\n");
	expect_samples(lines, "clusterd_listener_balance",
	    "{app=\"a\",address=\"x\",balance=\"shared\"} 1\n");
	expect_samples(lines, "clusterd_instance_up",
	    "{app=\"a\",worker=\"0\"} 1\n"
	    "{app=\"a\",worker=\"2\"} 0\n"
	    "{app=\"a\",worker=\"18446744073709551614\"} 1\n");
}

static void
short_memory_is_told(void **state)
{
	struct status s;
	unsigned n = 0;
	bool failed;

	(void)state;
	status_read(&s, status_sample);
	do {
		struct strbuf sb = STRBUF_INIT;

		alloc_fail(++n, 1);
		metrics_text(&sb, &s, METRICS_OPENMETRICS);
		failed = alloc_failed();
		assert_int_equal(failed, sb.failed);
		strbuf_free(&sb);
	} while (failed);
	assert_true(n > 4);
	alloc_works();
	status_free(&s);
}

/* For promtool and other parsers: `test_metrics dump [classic]`. */
static int
dump(enum metrics_format format)
{
	struct status s;
	struct strbuf sb = STRBUF_INIT;

	status_read(&s, status_sample);
	assert_int_equal(status_try(&s, "+ app name=odd\n"
	    "+ listener app=odd address=unix:/\"\\%0A%0D\xff{}, balance=x "
	    "waiting=18446744073709551615 backlog=0\n"
	    "+ instance app=odd instance=3 cpu_ns=18446744073709551615\n"
	    "+ instance app=odd instance=3 cpu_ns=4\n"), 0);
	metrics_text(&sb, &s, format);
	fputs(sb.text, stdout);
	strbuf_free(&sb);
	status_free(&s);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_them),
		cmocka_unit_test(classic_format),
		cmocka_unit_test(of_nothing),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(labels_are_unique),
		cmocka_unit_test(short_memory_is_told),
	};

	if (argc > 1 && strcmp(argv[1], "dump") == 0)
		return dump(argc > 2 ? METRICS_CLASSIC : METRICS_OPENMETRICS);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
