/* Searches for sockets in steps, by a child that may be another one each time. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/look_sockets.h"

/* Longer than any search, however slow the machine is. */
#define LIMIT_MS	60000

/* More than a step has time for; and two of them more than two steps. */
#define SOCKETS		900

#define TREES		(LOOK_SEARCHES_MAX)

static pid_t trees[TREES];

static void
reap(void)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		(void)looker_reaped(pid);
}

/* A process with many sockets. */
static pid_t
start_tree(void)
{
	int said[2];
	char byte;
	pid_t pid;

	if (pipe(said) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (int i = 0; i < SOCKETS; i++)
			if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
				_exit(1);
		if (write(said[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(said[1]);
	if (read(said[0], &byte, 1) != 1)
		pid = -1;
	close(said[0]);
	return pid;
}

static int
start_trees(void **state)
{
	struct rlimit limit;

	(void)state;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	for (size_t i = 0; i < TREES; i++)
		if ((trees[i] = start_tree()) < 0)
			return -1;
	return 0;
}

static int
end_trees(void **state)
{
	(void)state;
	for (size_t i = 0; i < TREES; i++) {
		(void)kill(trees[i], SIGKILL);
		(void)waitpid(trees[i], NULL, 0);
	}
	looker_end();
	return 0;
}

static void
count(void *ctx, const struct tree_socket *socket)
{
	(void)socket;
	++*(size_t *)ctx;
}

/* Of several in turn, a step each: all end, and with few more steps than if there
   were no other. */
static void
several_end(size_t n)
{
	struct look_sockets searches[TREES];
	struct mono begin = mono_now();
	size_t told[TREES] = { 0 }, left = n;
	bool done[TREES] = { false };

	for (size_t i = 0; i < n; i++)
		assert_int_equal(look_sockets_begin(&searches[i], &trees[i],
		    1), 0);
	while (left > 0 && mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		for (size_t i = 0; i < n; i++) {
			int code = done[i] ? 1 : look_sockets_step(
			    &searches[i], NULL, count, &told[i]);

			assert_true(code >= 0 || looker_is_held_up(code));
			done[i] |= code == 0;
			left -= code == 0;
		}
		reap();
	}
	assert_int_equal(left, 0);
	for (size_t i = 0; i < n; i++) {
		assert_true(told[i] >= SOCKETS);
		look_sockets_end(&searches[i]);
	}
}

static void
two_in_turn_end(void **state)
{
	(void)state;
	several_end(1);
	several_end(2);
}

static void
as_many_as_there_is_room_for_end(void **state)
{
	(void)state;
	several_end(TREES);
}

/* Nobody waits for ever for one that is lost each time. */
static void
lost_ones_are_told(void **state)
{
	struct look_sockets s;
	struct mono begin = mono_now();
	size_t told = 0;
	bool busy = false;

	(void)state;
	assert_int_equal(look_sockets_begin(&s, &trees[0], 1), 0);
	while (!busy && mono_ms_between(begin, mono_now()) < LIMIT_MS) {
		int code = look_sockets_step(&s, NULL, count, &told);

		assert_true(code != 0);
		busy = code == -EBUSY && s.stale == 0 && s.number != 0 &&
		    looker_held_up_ms(trees[0]) == 0;
		if (code == 1 && s.begun)
			looker_end();
		reap();
	}
	assert_true(busy);
	look_sockets_end(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_in_turn_end),
		cmocka_unit_test(as_many_as_there_is_room_for_end),
		cmocka_unit_test(lost_ones_are_told),
	};

	return cmocka_run_group_tests(tests, start_trees, end_trees);
}
