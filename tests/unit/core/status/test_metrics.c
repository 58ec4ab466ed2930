#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/status/metrics_label.h"
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
	metrics_text(&sb, &s, format, NULL);
	assert_false(sb.failed);
	assert_string_equal(sb.text, text);
	strbuf_free(&sb);
	status_free(&s);
}

static const char one_app[] =
    "+ clusterd pid=1 version=0.1.0 uptime_ms=61005 cpu_ns=1500000001 "
    "memory_bytes=5000000 reloads_refused=2 supervisor_restarts=4\n"
    "+ app name=web generation=3 wanted=2 ready=1 reloads_ok=2 "
    "reloads_aborted=1 least=1 most=8 scalings_waiting=5 scalings_busy=6 "
    "scalings_idle=7\n"
    "+ listener app=web address=[::]:80 balance=random waiting=3 "
    "backlog=2048 dropped=3 state=open\n"
    "+ instance app=web instance=0 pid=10 state=ready generation=3 "
    "uptime_ms=60000 ready_ms=20 cpu_ns=7 memory_bytes=9000 waiting=1 "
    "connections=12 connections_total=99 restarts_exit=0 "
    "restarts_failure=1 restarts_signal=2 restarts_oom=5 "
    "restarts_timeout=3 restarts_start=4\n"
    "+ instance app=web instance=0 role=retiring pid=11 state=draining "
    "memory_bytes=500 connections=4\n"
    "+ instance app=web instance=1 state=backoff\n";

static void
all_of_them(void **state)
{
	(void)state;
	expect(one_app, METRICS_OPENMETRICS,
	    "# HELP clusterd Which clusterd runs; always 1.\n"
	    "# TYPE clusterd info\n"
	    "clusterd_info{version=\"0.1.0\"} 1\n"
	    "# HELP clusterd_uptime_seconds Since the supervisor started.\n"
	    "# TYPE clusterd_uptime_seconds gauge\n"
	    "clusterd_uptime_seconds 61.005\n"
	    "# HELP clusterd_cpu_seconds CPU time of the supervisor "
	    "alone.\n"
	    "# TYPE clusterd_cpu_seconds counter\n"
	    "clusterd_cpu_seconds_total 1.500000001\n"
	    "# HELP clusterd_memory_bytes Resident memory of the supervisor "
	    "alone.\n"
	    "# TYPE clusterd_memory_bytes gauge\n"
	    "clusterd_memory_bytes 5000000\n"
	    "# HELP clusterd_reloads_refused Reloads that changed "
	    "nothing, for an error of the configuration or a socket.\n"
	    "# TYPE clusterd_reloads_refused counter\n"
	    "clusterd_reloads_refused_total 2\n"
	    "# HELP clusterd_supervisor_restarts Supervisors that died "
	    "and were started again.\n"
	    "# TYPE clusterd_supervisor_restarts counter\n"
	    "clusterd_supervisor_restarts_total 4\n"
	    "# HELP clusterd_app_wanted_instances Instances that there "
	    "should be.\n"
	    "# TYPE clusterd_app_wanted_instances gauge\n"
	    "clusterd_app_wanted_instances{app=\"web\"} 2\n"
	    "# HELP clusterd_app_min_instances Least instances that it may "
	    "scale to by itself.\n"
	    "# TYPE clusterd_app_min_instances gauge\n"
	    "clusterd_app_min_instances{app=\"web\"} 1\n"
	    "# HELP clusterd_app_max_instances Most instances that it may "
	    "scale to by itself.\n"
	    "# TYPE clusterd_app_max_instances gauge\n"
	    "clusterd_app_max_instances{app=\"web\"} 8\n"
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
	    "# HELP clusterd_app_reloads Reloads of the app that ended,"
	    " by how.\n"
	    "# TYPE clusterd_app_reloads counter\n"
	    "clusterd_app_reloads_total{app=\"web\",result=\"ok\"} 2\n"
	    "clusterd_app_reloads_total{app=\"web\",result=\"aborted\"} 1\n"
	    "# HELP clusterd_app_autoscale Instances that the app has added "
	    "or given up by itself, by why.\n"
	    "# TYPE clusterd_app_autoscale counter\n"
	    "clusterd_app_autoscale_total{app=\"web\",reason=\"waiting\"} 5\n"
	    "clusterd_app_autoscale_total{app=\"web\",reason=\"busy\"} 6\n"
	    "clusterd_app_autoscale_total{app=\"web\",reason=\"idle\"} 7\n"
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
	    "# HELP clusterd_listener_dropped_packets Packets of new "
	    "connections that no worker's queue would take.\n"
	    "# TYPE clusterd_listener_dropped_packets counter\n"
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
	    "# HELP clusterd_instance_restarts Restarts after: an exit "
	    "with a success code (exit) or another one (failure), a signal, "
	    "the OOM killer (oom), not being ready in time (timeout), a start "
	    "that failed (start).\n"
	    "# TYPE clusterd_instance_restarts counter\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"exit\"} 0\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"failure\"} 1\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"signal\"} 2\n"
	    "clusterd_instance_restarts_total{app=\"web\",worker=\"0\","
	    "reason=\"oom\"} 5\n"
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
	    "# HELP clusterd_instance_cpu_seconds CPU time of its "
	    "process and that one's descendants.\n"
	    "# TYPE clusterd_instance_cpu_seconds counter\n"
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
	    "# HELP clusterd_instance_accepted_connections Connections "
	    "that it has accepted.\n"
	    "# TYPE clusterd_instance_accepted_connections counter\n"
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
	metrics_text(&sb, &s, METRICS_OPENMETRICS, NULL);
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

/* ---- labels of the user ---- */

static const struct metrics_labels added = {
	.text = { "clusterd=a\"b\\c\nd", "rack=\xc3\xa9" }, .n = 2,
};

#define ADDED "clusterd=\"a\\\"b\\\\c\\nd\",rack=\"\xc3\xa9\""

static void
labels_of_the_user_come_last(void **state)
{
	struct status s;
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	status_read(&s, "+ clusterd version=1 uptime_ms=2000\n"
	    "+ app name=web wanted=2\n");
	metrics_text(&sb, &s, METRICS_CLASSIC, &added);
	assert_non_null(strstr(sb.text,
	    "\nclusterd_info{version=\"1\"," ADDED "} 1\n"));
	assert_non_null(strstr(sb.text,
	    "\nclusterd_uptime_seconds{" ADDED "} 2.000\n"));
	assert_non_null(strstr(sb.text,
	    "\nclusterd_app_wanted_instances{app=\"web\"," ADDED "} 2\n"));
	assert_non_null(strstr(sb.text, "\nclusterd_app_workers{app=\"web\","
	    "role=\"next\"," ADDED "} 0\n"));
	strbuf_free(&sb);
	status_free(&s);
}

/* A metric with one of everything, so that all labels are there. */
static void
read_all(struct status *s)
{
	status_read(s, status_sample);
	assert_int_equal(status_try(s, one_app), 0);
}

/* The series, of each sample: name and labels. */
static void
read_series(struct strlist *series, const struct metrics_labels *labels)
{
	struct status s;
	struct strbuf sb = STRBUF_INIT;

	read_all(&s);
	metrics_text(&sb, &s, METRICS_OPENMETRICS, labels);
	assert_false(sb.failed);
	for (char *rest = sb.text, *line; (line = strsep(&rest, "\n")) != NULL;)
		if (*line != '\0' && *line != '#') {
			*strrchr(line, ' ') = '\0';
			strlist_add(series, line);
		}
	assert_false(series->failed);
	assert_true(series->n > 40);
	strbuf_free(&sb);
	status_free(&s);
}

static size_t
count_common(const struct metrics_labels *a, const struct metrics_labels *b)
{
	struct strlist x = STRLIST_INIT, y = STRLIST_INIT;
	size_t common = 0;

	read_series(&x, a);
	read_series(&y, b);
	assert_int_equal(x.n, y.n);
	for (size_t i = 0; i < x.n; i++)
		for (size_t k = 0; k < y.n; k++)
			common += strcmp(x.v[i], y.v[k]) == 0;
	strlist_free(&x);
	strlist_free(&y);
	return common;
}

/* Of two clusterds that are the same in everything else. */
static void
labels_tell_clusterds_apart(void **state)
{
	static const struct metrics_labels one = {
		.text = { "clusterd=one" }, .n = 1,
	}, two = {
		.text = { "clusterd=two" }, .n = 1,
	};

	(void)state;
	assert_int_equal(count_common(&one, &two), 0);
	assert_int_equal(count_common(&one, NULL), 0);
	assert_true(count_common(NULL, NULL) > 40);
}

/* False: `at` is no label, but the midst of a value. */
static bool
name_is_refused(const char *at)
{
	struct metrics_labels labels = { .n = 0 };
	size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
	char label[80];

	if (len == 0 || at[len] != '=')
		return false;
	snprintf(label, sizeof(label), "%.*s=x", (int)len, at);
	assert_int_equal(metrics_label_add(&labels, label, NULL), -EINVAL);
	return true;
}

/* So none can be there twice. */
static void
names_that_are_there_are_refused(void **state)
{
	struct strlist series = STRLIST_INIT;
	size_t n = 0;

	(void)state;
	read_series(&series, NULL);
	for (size_t i = 0; i < series.n; i++)
		for (const char *at = series.v[i];
		    (at = strpbrk(at, "{,")) != NULL;)
			n += name_is_refused(++at);
	assert_true(n > 80);
	strlist_free(&series);
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
		metrics_text(&sb, &s, METRICS_OPENMETRICS, &added);
		failed = alloc_failed();
		assert_int_equal(failed, sb.failed);
		strbuf_free(&sb);
	} while (failed);
	assert_true(n > 4);
	alloc_works();
	status_free(&s);
}

/* For promtool and other parsers: `test_metrics dump [classic] [label]`. */
static int
dump(enum metrics_format format, const struct metrics_labels *labels)
{
	struct status s;
	struct strbuf sb = STRBUF_INIT;

	status_read(&s, status_sample);
	assert_int_equal(status_try(&s, "+ app name=odd\n"
	    "+ listener app=odd address=unix:/\"\\%0A%0D\xff{}, balance=x "
	    "waiting=18446744073709551615 backlog=0\n"
	    "+ instance app=odd instance=3 cpu_ns=18446744073709551615\n"
	    "+ instance app=odd instance=3 cpu_ns=4\n"), 0);
	metrics_text(&sb, &s, format, labels);
	fputs(sb.text, stdout);
	strbuf_free(&sb);
	status_free(&s);
	return 0;
}

static bool
has(char **argv, const char *word)
{
	while (*argv != NULL && strcmp(*argv, word) != 0)
		argv++;
	return *argv != NULL;
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
		cmocka_unit_test(labels_of_the_user_come_last),
		cmocka_unit_test(labels_tell_clusterds_apart),
		cmocka_unit_test(names_that_are_there_are_refused),
		cmocka_unit_test(short_memory_is_told),
	};

	if (argc > 1 && strcmp(argv[1], "dump") == 0)
		return dump(has(argv, "classic") ? METRICS_CLASSIC :
		    METRICS_OPENMETRICS, has(argv, "label") ? &added : NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
