/* Who is not looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/executing.h"
#include "linux/process/waiting.h"

bool __wrap_executing_is(pid_t pid);

static bool is_executing;

bool
__wrap_executing_is(pid_t pid)
{
	(void)pid;
	return is_executing;
}

/* Each read of it waits for the execve(2). */
static void
one_in_the_middle_of_an_execve_is_not_looked_at(void **state)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;
	uint64_t ino;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	ino = st.st_ino;
	is_executing = true;
	assert_int_equal(waiting_look(getpid(), &ino, 1), WAITING_LATE);
	assert_int_equal(waiting_find_holder(getpid(), ino, 0, 0),
	    WAITING_LATE);
	is_executing = false;
	assert_int_equal(waiting_look(getpid(), &ino, 1), WAITING_NO);
	assert_int_equal(waiting_find_holder(getpid(), ino, 0, 0), WAITING_YES);
	fd_close(&fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    one_in_the_middle_of_an_execve_is_not_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
