/*
 * A helper keeps what it is to keep, and ends when it is to, which is seen; also
 * where the kernel has no close_range(2) or pidfd_open(2).
 */
#include <sys/prctl.h>
#include <sys/resource.h>
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
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/process/birth.h"
#include "linux/process/helper.h"
#include "linux/process/raw_call.h"

#define PIDFD_OPEN	434
#define CLOSE_RANGE	436
#define LIMIT_MS	20000

/* A system call, for this process and those it starts. */
static bool
take_away(unsigned number)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
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
		    (without && !take_away(CLOSE_RANGE)))
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

static void
take_byte(int fd)
{
	char byte;

	(void)RAW(read, fd, &byte, 1);
}

/* Of a process of its own: 0, the end of a helper was seen, and not before it. */
static int
see_end_in_child(bool without)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		struct pollfd p = { .events = POLLIN };
		pid_t helper;
		int go[2];

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pipe(go) < 0 || (without && !take_away(PIDFD_OPEN)))
			_exit(2);
		p.fd = helper_start(take_byte, go[0], &go[0], 1, &helper);
		if (without ? p.fd >= 0 : p.fd < 0 || poll(&p, 1, 0) != 0)
			_exit(3);
		if (helper <= 0 || helper_has_ended(helper))
			_exit(1);
		(void)!write(go[1], "", 1);
		if (!without && poll(&p, 1, LIMIT_MS) != 1)
			_exit(4);
		for (int i = 0; i < LIMIT_MS && !helper_has_ended(helper); i++)
			(void)usleep(1000);
		if (!helper_has_ended(helper) || waitpid(helper, NULL, 0) != helper)
			_exit(5);
		/* Reaped by somebody else. */
		_exit(helper_has_ended(helper) ? 0 : 6);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void
end_is_seen(void **state)
{
	(void)state;
	assert_int_equal(see_end_in_child(false), 0);
}

/* Nobody is to start a second one beside it, which would do more than it is to. */
static void
end_is_seen_without_pidfd(void **state)
{
	int status = see_end_in_child(true);

	(void)state;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_int_equal(status, 0);
}

/* It is no copy of us, for which we would wait behind whoever uses the files that we
   have mapped; with more of them than there is room for, the last ones are. */
static atomic_int marks;

static void
mark(int fd)
{
	char byte;

	atomic_fetch_add(&marks, 1);
	(void)RAW(read, fd, &byte, 1);
	atomic_fetch_add(&marks, 1);
}

#if BIRTH_WATCHED || !RAW_CALLS
#define SHARING	0
#else
#define SHARING	HELPER_ROOMS
#endif

static void
memory_is_shared(void **state)
{
	enum { N = HELPER_ROOMS + 3 };
	pid_t helpers[N];
	int go[2];

	(void)state;
	/* valgrind's way. */
	if (getenv("CLUSTERD_FORK") != NULL)
		skip();
	for (int round = 1; round <= 2; round++) {
		assert_int_equal(pipe(go), 0);
		for (int i = 0; i < N; i++) {
			int end = helper_start(mark, go[0], &go[0], 1,
			    &helpers[i]);

			assert_true(helpers[i] > 0);
			(void)close(end);
		}
		for (int i = 0; i < N; i++)
			assert_false(helper_has_ended(helpers[i]));
		(void)close(go[0]);
		(void)close(go[1]);
		for (int i = 0; i < N; i++)
			assert_int_equal(waitpid(helpers[i], NULL, 0),
			    helpers[i]);
		assert_int_equal(marks, 2 * SHARING * round);
	}
}

/* But those that are forgotten; one that stands still is killed like the others, and a
   worker is not touched, nor waited for: it has a group of its own. */
static void
at_the_end_nobody_is_left(void **state)
{
	pid_t pid = fork();
	int status = -1;

	(void)state;
	if (pid == 0) {
		const struct mono begin = mono_now();
		pid_t helpers[HELPERS_KNOWN + 1], worker;
		siginfo_t info;
		int go[2];

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pipe(go) < 0 || (worker = fork()) < 0)
			_exit(2);
		if (worker == 0) {
			(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
			(void)setpgid(0, 0);
			(void)pause();
		}
		(void)setpgid(worker, worker);
		for (int i = 0; i < HELPERS_KNOWN + 1; i++) {
			(void)helper_start(take_byte, go[0], &go[0], 1,
			    &helpers[i]);
			if (helpers[i] == 0)
				_exit(2);
		}
		(void)kill(helpers[2], SIGSTOP);
		helper_note(worker);
		helpers_await_end(mono_add_ms(begin, LIMIT_MS));
		if (mono_ms_between(begin, mono_now()) >= LIMIT_MS)
			_exit(3);
		/* The first ones are those that nobody knows any more. */
		for (int i = 2; i < HELPERS_KNOWN + 1; i++)
			if (waitpid(helpers[i], NULL, WNOHANG) >= 0)
				_exit(4);
		if (helper_has_ended(worker) || waitid(P_PID, (id_t)helpers[1],
		    &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			_exit(5);
		helpers_await_end(mono_now());
		_exit(helper_has_ended(worker) ? 6 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Beyond what the limit is by now, too. */
static void
high_numbers_are_closed_without_close_range(void **state)
{
	pid_t pid = fork();
	int status = -1;

	(void)state;
	if (pid == 0) {
		const struct rlimit low = { .rlim_cur = 32, .rlim_max = 32 };
		int high[2], go[2];
		pid_t helper;

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pipe(go) < 0 || pipe(high) < 0 || dup2(high[1], 200) < 0 ||
		    close(high[1]) < 0 || setrlimit(RLIMIT_NOFILE, &low) < 0 ||
		    !take_away(CLOSE_RANGE))
			_exit(2);
		(void)helper_start(take_byte, go[0], &go[0], 1, &helper);
		(void)close(200);
		_exit(helper > 0 && ends(high[0]) && !helper_has_ended(helper) ?
		    0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
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
		cmocka_unit_test(high_numbers_are_closed_without_close_range),
		cmocka_unit_test(end_is_seen),
		cmocka_unit_test(memory_is_shared),
		cmocka_unit_test(at_the_end_nobody_is_left),
		cmocka_unit_test(end_is_seen_without_pidfd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
