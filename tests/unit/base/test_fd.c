#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"

/* In a child, as ours are needed here. 0 is fine. */
static int
begin_without_any(void)
{
	char c = 'x';

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		(void)close(fd);
	fd_hold_standard();
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) != 0)
			return 1;
	if (read(STDIN_FILENO, &c, 1) != -1 || errno != EBADF)
		return 2;
	for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
		if (write(fd, &c, 1) != -1 || errno != EBADF)
			return 3;
	return open("/dev/null", O_RDONLY) > STDERR_FILENO ? 0 : 4;
}

static int
begin_with_input(void)
{
	int p[2];
	char c = 0;

	if (pipe(p) < 0 || dup2(p[0], STDIN_FILENO) < 0 ||
	    write(p[1], "x", 1) != 1)
		return 1;
	(void)close(STDOUT_FILENO);
	fd_hold_standard();
	if (read(STDIN_FILENO, &c, 1) != 1 || c != 'x')
		return 2;
	return write(STDOUT_FILENO, &c, 1) == -1 && errno == EBADF ? 0 : 3;
}

static int
in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
test_closed_ones_are_nobodys(void **state)
{
	(void)state;
	assert_int_equal(in_child(begin_without_any), 0);
}

static void
test_open_ones_stay(void **state)
{
	(void)state;
	assert_int_equal(in_child(begin_with_input), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_closed_ones_are_nobodys),
		cmocka_unit_test(test_open_ones_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
