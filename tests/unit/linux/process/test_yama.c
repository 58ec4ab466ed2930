/* Where only ancestors may attach. */
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

static char path[] = "/tmp/test_yama.XXXXXX";

static bool
keeps_out(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	return yama_keeps_children_out(path);
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

static void
scope_1_keeps_out(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	if (geteuid() == 0)
		assert_false(keeps_out("1\n"));
	pid = fork();
	if (pid == 0)
		_exit(drop_capabilities() && keeps_out("1\n") &&
		    keeps_out("1") && !keeps_out("0\n") && !keeps_out("2\n") &&
		    !keeps_out("3\n") && !keeps_out("10\n") &&
		    !keeps_out("") && !yama_keeps_children_out("/no/where") ?
		    0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scope_1_keeps_out),
	};
	int fd = mkstemp(path), failed;

	if (fd < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(path);
	return failed;
}
