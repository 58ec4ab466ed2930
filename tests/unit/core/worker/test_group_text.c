#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"

static void
value_is(const struct conf_app *app, enum group_controller which,
    const char *value)
{
	struct strbuf sb = STRBUF_INIT;

	group_limit_value(&sb, app, which);
	assert_string_equal(sb.text, value);
	strbuf_free(&sb);
}

static void
limits(void **state)
{
	const struct conf_app none = {
		.memory_limit = -1, .cpu_limit = -1, .tasks_limit = -1,
	};
	const struct conf_app all = {
		.memory_limit = 1 << 20, .cpu_limit = 1500, .tasks_limit = 7,
	};
	const struct conf_app least = {
		.memory_limit = -1, .cpu_limit = 10, .tasks_limit = -1,
	};

	(void)state;
	assert_int_equal(group_controllers(&none), 0);
	assert_int_equal(group_controllers(&all), 7);
	assert_int_equal(group_controllers(&least), 1 << GROUP_CPU);
	value_is(&all, GROUP_MEMORY, "1048576");
	value_is(&all, GROUP_CPU, "150000 100000");
	value_is(&all, GROUP_TASKS, "7");
	value_is(&least, GROUP_CPU, "1000 100000");
}

static void
controllers(void **state)
{
	(void)state;
	assert_true(group_list_has("cpuset cpu io memory pids\n", GROUP_CPU));
	assert_true(group_list_has("cpuset cpu io memory pids\n", GROUP_TASKS));
	assert_true(group_list_has("memory", GROUP_MEMORY));
	assert_false(group_list_has("cpuset io\n", GROUP_CPU));
	assert_false(group_list_has("", GROUP_CPU));
	assert_false(group_list_has("\n", GROUP_MEMORY));
}

static void
names(void **state)
{
	char name[GROUP_NAME_MAX];

	(void)state;
	group_name(name, "web-1.x", 12, UINT64_C(0xf1e2d3c4b5a697), 345);
	assert_string_equal(name, "web-1.x.12.00f1e2d3c4b5a697.345");
	assert_true(group_is_name(name));
	group_name(name, "abcdefghijabcdefghijabcdefghij12", UINT32_MAX,
	    UINT64_MAX, UINT64_MAX);
	assert_string_equal(name, "abcdefghijabcdefghijabcdefghij12."
	    "4294967295.ffffffffffffffff.18446744073709551615");
	assert_true(group_is_name(name));
	assert_true(group_is_name("a.0.0123456789abcdef.1"));
	assert_false(group_is_name("_clusterd.4711.90125"));
	assert_false(group_is_name("web.0.1"));
	assert_false(group_is_name("web.0.0123456789abcde.1"));
	assert_false(group_is_name("web.0.0123456789abcdef0.1"));
	assert_false(group_is_name("web.0.0123456789abcdeF.1"));
	assert_false(group_is_name("web.0.0123456789abcdef."));
	assert_false(group_is_name("web..0123456789abcdef.1"));
	assert_false(group_is_name(".0.0123456789abcdef.1"));
	assert_false(group_is_name("0.0123456789abcdef.1"));
	assert_false(group_is_name("0123456789abcdef.1"));
	assert_false(group_is_name("clusterd.service"));
	assert_false(group_is_name(""));
}

/* Another run's are others. */
static void
no_name_twice(void **state)
{
	char a[GROUP_NAME_MAX], b[GROUP_NAME_MAX];

	(void)state;
	group_name(a, "web", 0, 1, 17);
	group_name(b, "web", 0, 2, 17);
	assert_string_not_equal(a, b);
	group_own_name(a, 47, 1);
	group_own_name(b, 47, 2);
	assert_string_not_equal(a, b);
}

static void
our_own(void **state)
{
	static const char *const others[] = {
		"_clusterd.", "_clusterd.47", "_clusterd.47.", "_clusterd..9",
		"_clusterd.47x.9", "_clusterd.47.9x", "_clusterd.0.9",
		"_clusterd.2147483648.9", "_clusterd.47.9.9", "_clusterd",
		"_clusterd.-47.9", "_clusterd.12345678901234567.9", "",
		"web.0.0123456789abcdef.1",
	};
	char own[GROUP_NAME_MAX];
	uint64_t started = 7;
	pid_t keeper = 7;

	(void)state;
	group_own_name(own, 47, 9);
	assert_string_equal(own, "_clusterd.47.9");
	assert_int_equal(group_above_own("/a/b/_clusterd.47.9", own), 4);
	assert_int_equal(group_above_own("/_clusterd.47.9", own), 1);
	assert_int_equal(group_above_own("/a/b/_clusterd.47.91", own), 0);
	assert_int_equal(group_above_own("/a/b/_clusterd.47", own), 0);
	assert_int_equal(group_above_own("/a/b", own), 0);
	assert_int_equal(group_above_own("/a/x_clusterd.47.9", own), 0);
	assert_int_equal(group_above_own("/a/_clusterd.47.9/b", own), 0);
	assert_int_equal(group_above_own("", own), 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		assert_false(group_own_parse(others[i], &keeper, &started));
	assert_int_equal(keeper, 7);
	assert_int_equal(started, 7);
	assert_true(group_own_parse("_clusterd.2147483647."
	    "18446744073709551615", &keeper, &started));
	assert_int_equal(keeper, INT32_MAX);
	assert_true(started == UINT64_MAX);
}

static void
events(void **state)
{
	static const char text[] = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n"
		"oom_group_kill 1\n";
	uint64_t n = 99;

	(void)state;
	assert_true(group_event(text, "oom_kill", &n));
	assert_int_equal(n, 2);
	assert_true(group_event(text, "oom", &n));
	assert_int_equal(n, 3);
	assert_true(group_event("oom_kill 18446744073709551615", "oom_kill",
	    &n));
	assert_true(n == UINT64_MAX);
	n = 99;
	assert_false(group_event("oom_kill\n", "oom_kill", &n));
	assert_false(group_event("oom_kill \n", "oom_kill", &n));
	assert_false(group_event("oom_kill -1\n", "oom_kill", &n));
	assert_false(group_event("oom_kill 123456789012345678901234567890\n",
	    "oom_kill", &n));
	assert_false(group_event("my_oom_kill 1\n", "oom_kill", &n));
	assert_false(group_event("", "oom_kill", &n));
	assert_int_equal(n, 99);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits),
		cmocka_unit_test(controllers),
		cmocka_unit_test(names),
		cmocka_unit_test(no_name_twice),
		cmocka_unit_test(our_own),
		cmocka_unit_test(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
