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
	group_name(name, "web-1.x", 12, 345);
	assert_string_equal(name, "web-1.x.12.345");
	assert_true(group_is_name(name));
	group_name(name, "abcdefghijabcdefghijabcdefghij12", 4095, UINT64_MAX);
	assert_true(group_is_name(name));
	assert_true(group_is_name("a.0.1"));
	assert_false(group_is_name("_clusterd.4711"));
	assert_false(group_is_name("web.0"));
	assert_false(group_is_name("web.0."));
	assert_false(group_is_name(".0.1"));
	assert_false(group_is_name("web..1"));
	assert_false(group_is_name("1.2"));
	assert_false(group_is_name("clusterd.service"));
	assert_false(group_is_name(""));
}

static void
our_own(void **state)
{
	(void)state;
	assert_int_equal(group_above_own("/a/b/_clusterd.47", 47), 4);
	assert_int_equal(group_above_own("/_clusterd.47", 47), 1);
	assert_int_equal(group_above_own("/a/b/_clusterd.471", 47), 0);
	assert_int_equal(group_above_own("/a/b/_clusterd.4", 47), 0);
	assert_int_equal(group_above_own("/a/b", 47), 0);
	assert_int_equal(group_above_own("/a/x_clusterd.47", 47), 0);
	assert_int_equal(group_above_own("/a/_clusterd.47/b", 47), 0);
	assert_int_equal(group_above_own("", 47), 0);
	assert_true(group_is_own_name("_clusterd.47"));
	assert_false(group_is_own_name("_clusterd."));
	assert_false(group_is_own_name("_clusterd.47x"));
	assert_false(group_is_own_name("_clusterd"));
	assert_false(group_is_own_name("web.0.1"));
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
		cmocka_unit_test(our_own),
		cmocka_unit_test(events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
