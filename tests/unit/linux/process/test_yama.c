/* Where only ancestors may attach. */
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/capability.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/process/yama.h"

static char sysctls[] = "/tmp/test_yama.XXXXXX";

/* A file of it; NULL: there is none. */
static void
put(const char *name, const char *text)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", sysctls, name);
	(void)unlink(path);
	if (text == NULL)
		return;
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static enum yama
with_scope(const char *text)
{
	put("yama/ptrace_scope", text);
	return yama_for_children(sysctls);
}

static bool
drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { { .effective = 0 } };

	return syscall(SYS_capset, &header, data) == 0;
}

/* Of a process without capabilities: its exit status. */
static int
without_capabilities(bool (*fn)(void))
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(!drop_capabilities() ? 2 : fn() ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static bool
tells_scopes(void)
{
	return with_scope("1\n") == YAMA_ANCESTORS &&
	    with_scope("1") == YAMA_ANCESTORS &&
	    with_scope("0\n") == YAMA_NONE && with_scope("2\n") == YAMA_NONE &&
	    with_scope("3\n") == YAMA_NONE && with_scope("10\n") == YAMA_NONE;
}

static void
scope_1_is_for_ancestors(void **state)
{
	(void)state;
	assert_int_equal(without_capabilities(tells_scopes), 0);
	if (geteuid() == 0)
		assert_int_equal(with_scope("1\n"), YAMA_NONE);
}

/* A kernel without Yama is another thing than a sandbox that hides it. */
static bool
tells_hidden(void)
{
	put("ostype", "Linux\n");
	if (with_scope(NULL) != YAMA_NONE || with_scope("") != YAMA_HIDDEN)
		return false;
	put("ostype", NULL);
	return with_scope(NULL) == YAMA_HIDDEN &&
	    yama_for_children("/no/where") == YAMA_HIDDEN;
}

static void
what_is_hidden_is_told(void **state)
{
	(void)state;
	assert_int_equal(without_capabilities(tells_hidden), 0);
}

static void
a_look_is_tried_out(void **state)
{
	(void)state;
	assert_true(yama_lets_look(getpid()));
	assert_false(yama_lets_look(0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scope_1_is_for_ancestors),
		cmocka_unit_test(what_is_hidden_is_told),
		cmocka_unit_test(a_look_is_tried_out),
	};
	char yama[64];
	int failed;

	if (mkdtemp(sysctls) == NULL)
		return 1;
	snprintf(yama, sizeof(yama), "%s/yama", sysctls);
	if (mkdir(yama, 0755) < 0)
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	put("yama/ptrace_scope", NULL);
	put("ostype", NULL);
	(void)rmdir(yama);
	(void)rmdir(sysctls);
	return failed;
}
