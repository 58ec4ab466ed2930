/* A socket in an epoll instance, under the number that the other end knows. */
#include <sys/epoll.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/socket/epoll_enter.h"

/* Under `number` of the instance at each of the numbers, which may be its own or
   the socket's. */
static void
enter(int epoll, int at, int fd, int number)
{
	const struct epoll_entry entries[] = {
		{ .epoll = at, .number = number, .events = EPOLLIN, .data = 7 },
		{ .epoll = at, .number = number + 1, .events = EPOLLIN,
		    .data = 8 },
	};
	struct epoll_event got[3];
	uint64_t sum = 0;
	int n;

	assert_int_equal(epoll_enter(entries, 2, fd), 0);
	n = epoll_wait(epoll, got, 3, 10000);
	assert_int_equal(n, 2);
	for (int i = 0; i < n; i++)
		sum += got[i].data.u64;
	assert_int_equal(sum, 15);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
}

static void
numbers(void **state)
{
	(void)state;
	for (int shift = 0; shift < 4; shift++) {
		int epoll = epoll_create1(EPOLL_CLOEXEC);
		int ends[2];

		assert_true(epoll >= 0);
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		assert_int_equal(write(ends[1], "x", 1), 1);
		/* Far off, the instance's own, the pipe's two. */
		enter(epoll, epoll, ends[0], shift == 0 ? 100 :
		    shift == 1 ? epoll : shift == 2 ? ends[0] : ends[1]);
		/* Nothing of it is ours. */
		assert_int_equal(fcntl(100, F_GETFD), -1);
		assert_int_equal(write(ends[1], "x", 1), 1);
		fd_close(&epoll);
		fd_close(&ends[0]);
		fd_close(&ends[1]);
	}
}

static void
refusals(void **state)
{
	const struct epoll_entry entry = { .epoll = STDIN_FILENO, .number = 50 };
	struct epoll_entry many[80];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(epoll_enter(&entry, 1, ends[0]), -ECANCELED);
	/* More than are expected of anybody. */
	for (int i = 0; i < 80; i++)
		many[i] = (struct epoll_entry){
			.epoll = epoll, .number = 200 + i, .events = EPOLLIN,
		};
	assert_int_equal(epoll_enter(many, 80, ends[0]), 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	fd_close(&epoll);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests_name("epoll_enter", tests, NULL, NULL);
}
