/* A socket in an epoll instance of somebody who may keep its lock. */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "linux/socket/epoll_enter.h"
#include "lib/held_page.h"

#define LIMIT_MS 10000

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
	struct epoll_entry many[EPOLL_ENTRIES_MAX + 1];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(epoll_enter(&entry, 1, ends[0]), -ECANCELED);
	for (int i = 0; i <= EPOLL_ENTRIES_MAX; i++)
		many[i] = (struct epoll_entry){
			.epoll = epoll, .number = 200 + i, .events = EPOLLIN,
		};
	assert_int_equal(epoll_enter(many, EPOLL_ENTRIES_MAX, ends[0]), 0);
	assert_int_equal(epoll_enter(many, EPOLL_ENTRIES_MAX + 1, ends[0]),
	    -E2BIG);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	fd_close(&epoll);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
}

/* Until there is none any more. */
static void
await_children(void)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			return;
		assert_true(mono_before(mono_now(), end));
		poll(NULL, 0, 1);
	}
}

/* By the numbers that another one has it by, which may be in use here. */
static void
by_their_numbers(void **state)
{
	int pair[2], n;
	struct epoll_event events[4];
	struct epoll_entry entries[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	for (int i = 0; i < 2; i++)
		entries[i] = (struct epoll_entry){
			.epoll = epoll_create1(EPOLL_CLOEXEC),
			.events = EPOLLIN, .data = (uint64_t)(7 + i),
		};
	entries[0].number = entries[1].epoll;
	entries[1].number = 900;
	assert_int_equal(epoll_enter(entries, 2, pair[0]), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	for (int i = 0; i < 2; i++) {
		n = epoll_wait(entries[i].epoll, events, 4, 0);
		assert_int_equal(n, 1);
		assert_int_equal(events[0].data.u64, 7 + i);
		close(entries[i].epoll);
	}
	close(pair[0]);
	close(pair[1]);
	await_children();
}

/* Waits for an event, and has the instance's lock while it is copied to that page. */
static pid_t
locking(int epoll)
{
	int said[2];
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		void *page = held_page();

		(void)alarm(60);
		(void)!write(said[1], page == NULL ? "n" : "y", 1);
		if (page != NULL)
			(void)epoll_wait(epoll, page, 1, -1);
		_exit(0);
	}
	assert_int_equal(read(said[0], &c, 1), 1);
	close(said[0]);
	close(said[1]);
	if (c == 'y')
		return pid;
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return 0;
}

/* The child stays there, and a pipe of ours is closed when we close it. */
static void
held_up_it_keeps_nothing_of_ours(void **state)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS), begun;
	struct epoll_event event = { .events = EPOLLIN };
	int pair[2], ours[2], number = 900, code = 0;
	struct epoll_entry entry = {
		.epoll = epoll_create1(EPOLL_CLOEXEC), .events = EPOLLIN,
	};
	struct pollfd p = { .events = POLLIN };
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(epoll_ctl(entry.epoll, EPOLL_CTL_ADD, pair[0],
	    &event), 0);
	pid = locking(entry.epoll);
	if (pid == 0) {
		print_message(HELD_PAGE_NEEDS);
		skip();
	}
	assert_int_equal(pipe2(ours, O_CLOEXEC), 0);
	while (code == 0) {
		assert_true(mono_before(mono_now(), end));
		entry.number = number++;
		begun = mono_now();
		code = epoll_enter(&entry, 1, pair[0]);
		assert_true(mono_ms_between(begun, mono_now()) < 5000);
	}
	assert_int_equal(code, -ECANCELED);
	close(ours[1]);
	p.fd = ours[0];
	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	assert_true((p.revents & POLLHUP) != 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	close(ours[0]);
	close(pair[0]);
	close(pair[1]);
	close(entry.epoll);
	await_children();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(refusals),
		cmocka_unit_test(by_their_numbers),
		cmocka_unit_test(held_up_it_keeps_nothing_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
