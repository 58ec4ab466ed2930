/*
 * A helper keeps what it is to keep, and ends when it is to, also where the
 * kernel has no close_range(2).
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

#include "linux/process/helper.h"

#define CLOSE_RANGE	436
#define LIMIT_MS	20000

/* For this process and those it starts. */
static bool
take_close_range_away(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOSE_RANGE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]), .filter = code,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Has everybody closed the pipe, within the limit? */
static bool
ends(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&p, 1, LIMIT_MS) == 1 && read(fd, &byte, 1) == 0;
}

/* A process of its own, as the filter stays: 0, it is as it should be. */
static int
close_in_child(bool without)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		int closed[2], other[2];

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pipe(closed) < 0 || pipe(other) < 0 ||
		    (without && !take_close_range_away()))
			_exit(2);
		helper_close(&closed[1]);
		(void)close(other[1]);
		_exit(closed[1] == -1 && ends(closed[0]) && ends(other[0]) ?
		    0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
one_that_closes_ends(void **state)
{
	(void)state;
	assert_int_equal(close_in_child(false), 0);
}

static void
one_that_closes_ends_without_close_range(void **state)
{
	int status = close_in_child(true);

	(void)state;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_closes_ends),
		cmocka_unit_test(one_that_closes_ends_without_close_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
