#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/status/status.h"
#include "lib/alloc_fail.h"
#include "status_lines.h"

static void
a_tree_of_records(void **state)
{
	struct status s;
	const struct status_app *web;
	const struct status_instance *i;

	(void)state;
	status_read(&s, status_sample);
	assert_true(s.told);
	assert_int_equal(s.clusterd.pid, 4711);
	assert_string_equal(s.clusterd.config, "/etc/clusterd/app.ini");
	assert_true(s.clusterd.cpu_permille == STATUS_UNKNOWN);
	assert_int_equal(s.n_apps, 2);
	web = &s.apps[0];
	assert_string_equal(web->name, "web");
	assert_string_equal(web->stdout_to, "prefix");
	assert_int_equal(web->target, 4);
	assert_true(s.apps[1].target == STATUS_UNKNOWN);
	assert_int_equal(web->n_listeners, 3);
	assert_string_equal(web->listeners[1].address, "unix:/run/web.sock");
	assert_int_equal(web->listeners[1].backlog, 511);
	assert_int_equal(web->n_instances, 5);
	i = &web->instances[2];
	assert_int_equal(i->role, STATUS_SEAT);
	assert_int_equal(i->instance, 1);
	assert_string_equal(i->death, "killed by signal 9 (SIGKILL)");
	assert_int_equal(i->restarts[STATUS_RESTART_SIGNAL], 1);
	assert_int_equal(status_restarts(i), 1);
	assert_int_equal(web->instances[1].role, STATUS_RETIRING);
	assert_true(status_restarts(&web->instances[1]) == STATUS_UNKNOWN);
	assert_int_equal(web->instances[3].role, STATUS_NEXT);
	assert_true(web->instances[4].pid == STATUS_UNKNOWN);
	assert_int_equal(s.left_out, 0);
	status_free(&s);
	assert_int_equal(s.n_apps, 0);
	status_free(&s);
}

static void
what_is_unknown_is_ignored(void **state)
{
	struct status s;

	(void)state;
	status_read(&s,
	    "+ planet name=mars\n"
	    "* app name=progress\n"
	    "error failed no\n"
	    "+ app wanted=4\n"
	    "+ listener app=web address=:80\n"
	    "+ instance app=web instance=0\n"
	    "+ app name=web colour=red wanted=x ready=-1 generation=\n"
	    "+ listener app=web\n"
	    "+ listener address=:80\n"
	    "+ instance app=web\n"
	    "+ instance app=web instance=one\n"
	    "+ instance app=web instance=18446744073709551615\n"
	    "+ instance app=web instance=0 role=king\n"
	    "+ instance app=web instance=0 shoe=44\n");
	assert_false(s.told);
	assert_int_equal(s.n_apps, 1);
	assert_true(s.apps[0].wanted == STATUS_UNKNOWN);
	assert_true(s.apps[0].ready == STATUS_UNKNOWN);
	assert_true(s.apps[0].generation == STATUS_UNKNOWN);
	assert_int_equal(s.apps[0].n_listeners, 0);
	assert_int_equal(s.apps[0].n_instances, 1);
	assert_int_equal(s.apps[0].instances[0].role, STATUS_SEAT);
	status_free(&s);
}

static void
numbers_saturate(void **state)
{
	struct status s;
	struct status_sums sums;

	(void)state;
	status_read(&s,
	    "+ clusterd pid=99999999999999999999999 "
	    "cpu_ns=18446744073709551615 uptime_ms=1\n"
	    "+ app name=a\n"
	    "+ listener app=a address=x waiting=18446744073709551614\n"
	    "+ listener app=a address=y waiting=1\n"
	    "+ instance app=a instance=0 memory_bytes=18446744073709551614 "
	    "restarts_exit=18446744073709551614 restarts_signal=3\n"
	    "+ instance app=a instance=1 memory_bytes=18446744073709551614\n");
	assert_true(s.clusterd.pid == STATUS_MOST);
	assert_true(s.clusterd.cpu_ns == STATUS_MOST);
	sums = status_app_sums(&s.apps[0]);
	assert_true(sums.memory_bytes == STATUS_MOST);
	assert_true(sums.waiting == STATUS_MOST);
	assert_true(sums.connections == STATUS_UNKNOWN);
	assert_true(status_restarts(&s.apps[0].instances[0]) == STATUS_MOST);
	status_measure(&s, &s);
	status_free(&s);
}

/* Between two portions of an answer an app may come and go. */
static void
told_again_the_later_word_holds(void **state)
{
	struct status s;

	(void)state;
	status_read(&s,
	    "+ clusterd pid=1 state=starting\n"
	    "+ app name=a wanted=1 state=running\n"
	    "+ app name=b wanted=2\n"
	    "+ instance app=a instance=0\n"
	    "+ listener app=a address=x\n"
	    "+ app name=a wanted=3\n"
	    "+ clusterd pid=1 state=running\n");
	assert_string_equal(s.clusterd.state, "running");
	assert_int_equal(s.n_apps, 2);
	assert_int_equal(s.apps[0].wanted, 3);
	assert_null(s.apps[0].state);
	assert_int_equal(s.apps[0].n_instances, 1);
	assert_int_equal(s.apps[0].n_listeners, 1);
	status_free(&s);
}

static void
records_have_a_limit(void **state)
{
	struct status s = STATUS_INIT;

	(void)state;
	status_read(&s, "+ app name=a\n");
	for (int i = 0; i < STATUS_LISTENERS_MAX + 2; i++)
		assert_int_equal(status_try(&s,
		    "+ listener app=a address=x"), 0);
	for (int i = 0; i < STATUS_INSTANCES_MAX + 3; i++)
		assert_int_equal(status_try(&s,
		    "+ instance app=a instance=1"), 0);
	assert_int_equal(s.apps[0].n_listeners, STATUS_LISTENERS_MAX);
	assert_int_equal(s.apps[0].n_instances, STATUS_INSTANCES_MAX);
	assert_int_equal(s.left_out, 5);
	status_free(&s);
}

static void
cpu_over_a_lifetime(void **state)
{
	struct status s;

	(void)state;
	status_read(&s, status_sample);
	status_measure(&s, NULL);
	assert_int_equal(s.clusterd.cpu_permille, 0);
	assert_int_equal(s.apps[0].instances[0].cpu_permille, 120);
	assert_int_equal(s.apps[0].instances[2].cpu_permille, 1302);
	assert_true(s.apps[0].instances[4].cpu_permille == STATUS_UNKNOWN);
	assert_int_equal(status_app_sums(&s.apps[0]).cpu_permille, 1985);
	status_free(&s);
}

static void
cpu_between_two_samples(void **state)
{
	struct status before, now;

	(void)state;
	status_read(&before,
	    "+ clusterd pid=1 uptime_ms=10000 cpu_ns=1000000000\n"
	    "+ app name=gone\n"
	    "+ instance app=gone instance=0 pid=10 uptime_ms=1 cpu_ns=1\n"
	    "+ app name=a\n"
	    "+ instance app=a instance=0 pid=10 uptime_ms=5000 cpu_ns=0\n"
	    "+ instance app=a instance=1 pid=11 uptime_ms=5000 cpu_ns=9\n"
	    "+ instance app=a instance=2 pid=12 uptime_ms=9000 cpu_ns=9\n"
	    "+ instance app=a instance=3 pid=13 uptime_ms=9000 "
	    "cpu_ns=900000000\n");
	status_read(&now,
	    "+ clusterd pid=1 uptime_ms=12000 cpu_ns=1500000000\n"
	    "+ app name=a\n"
	    /* Another instance's, in another place. */
	    "+ instance app=a instance=0 role=next pid=20 uptime_ms=100 "
	    "cpu_ns=25000000\n"
	    "+ instance app=a instance=0 role=retiring pid=10 "
	    "uptime_ms=7000 cpu_ns=1000000000\n"
	    "+ instance app=a instance=1 pid=21 uptime_ms=1000 "
	    "cpu_ns=250000000\n"
	    /* Its pid, given again. */
	    "+ instance app=a instance=2 pid=12 uptime_ms=1000 "
	    "cpu_ns=100000000\n"
	    /* A descendant took its time with it. */
	    "+ instance app=a instance=3 pid=13 uptime_ms=10000 "
	    "cpu_ns=100000000\n"
	    "+ instance app=a instance=4 pid=14 uptime_ms=0 cpu_ns=5\n");
	status_measure(&now, &before);
	assert_int_equal(now.clusterd.cpu_permille, 250);
	assert_int_equal(now.apps[0].instances[0].cpu_permille, 250);
	assert_int_equal(now.apps[0].instances[1].cpu_permille, 500);
	assert_int_equal(now.apps[0].instances[2].cpu_permille, 250);
	assert_int_equal(now.apps[0].instances[3].cpu_permille, 100);
	assert_int_equal(now.apps[0].instances[4].cpu_permille, 10);
	assert_true(now.apps[0].instances[5].cpu_permille == STATUS_UNKNOWN);
	/* The same sample twice: no time has passed. */
	status_measure(&now, &now);
	assert_int_equal(now.clusterd.cpu_permille, 125);
	status_free(&before);
	status_free(&now);
}

static void
short_memory_loses_one_record(void **state)
{
	unsigned n = 0;

	(void)state;
	do {
		struct status s = STATUS_INIT;
		int code;

		alloc_fail(++n, 1);
		code = status_try(&s, status_sample);
		assert_int_equal(code, alloc_failed() ? -ENOMEM : 0);
		status_free(&s);
	} while (alloc_failed());
	assert_true(n > 20);
	alloc_works();
}

static void
every_field_has_its_place(void **state)
{
	const struct status_key *(*const keys[])(size_t *) = {
		status_clusterd_keys, status_app_keys, status_listener_keys,
		status_instance_keys,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		size_t n;
		const struct status_key *k = keys[i](&n);

		for (size_t a = 0; a < n; a++)
			for (size_t b = 0; b < a; b++) {
				assert_string_not_equal(k[a].name, k[b].name);
				assert_true(k[a].offset != k[b].offset);
			}
	}
	for (int i = 0; i < STATUS_RESTARTS; i++) {
		char name[32];
		size_t n, found = 0;
		const struct status_key *k = status_instance_keys(&n);

		snprintf(name, sizeof(name), "restarts_%s",
		    status_restart_name((enum status_restart)i));
		for (size_t a = 0; a < n; a++)
			found += strcmp(k[a].name, name) == 0;
		assert_int_equal(found, 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tree_of_records),
		cmocka_unit_test(what_is_unknown_is_ignored),
		cmocka_unit_test(numbers_saturate),
		cmocka_unit_test(told_again_the_later_word_holds),
		cmocka_unit_test(records_have_a_limit),
		cmocka_unit_test(cpu_over_a_lifetime),
		cmocka_unit_test(cpu_between_two_samples),
		cmocka_unit_test(short_memory_loses_one_record),
		cmocka_unit_test(every_field_has_its_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
