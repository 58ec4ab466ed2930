/* A child that looks, and may never come back. */
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/process/birth.h"
#include "linux/process/looker.h"

#define LIMIT_MS	20000

/* In the child: what it was asked, and how many descriptors it has. */
static size_t
echo(const void *question, size_t len, void *answer)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *e;
	char *at = answer;
	int n = 0;

	while (dir != NULL && (e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir);
	if (dir != NULL)
		closedir(dir);
	at[0] = (char)n;
	memcpy(at + 1, question, len);
	return len + 1;
}

static ssize_t
hear(struct looker *k, char *answer)
{
	struct pollfd p = { .fd = k->fd, .events = POLLIN };
	ssize_t n;

	while ((n = looker_receive(k, answer)) == 0)
		assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	return n;
}

static void
reap(pid_t pid)
{
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void
answers_and_has_nothing_of_ours(void **state)
{
	struct looker k = LOOKER_INIT;
	char answer[LOOKER_BYTES_MAX];
	pid_t pid;

	(void)state;
	assert_int_equal(looker_start(&k), 0);
	assert_int_equal(looker_ask(&k, "one", 4), 0);
	assert_int_equal(looker_ask(&k, "two", 4), 0);
	assert_int_equal(hear(&k, answer), 5);
	assert_int_equal(answer[0], 1);
	assert_string_equal(answer + 1, "one");
	assert_int_equal(hear(&k, answer), 5);
	assert_string_equal(answer + 1, "two");
	pid = k.pid;
	looker_leave(&k);
	assert_int_equal(k.fd, -1);
	reap(pid);
}

static void
ends_when_nobody_asks(void **state)
{
	struct looker k = LOOKER_INIT;
	char answer[LOOKER_BYTES_MAX];

	(void)state;
	assert_int_equal(looker_start(&k), 0);
	assert_true(hear(&k, answer) < 0);
	assert_true(k.begun);
	reap(k.pid);
	looker_leave(&k);
}

/* A second one can be had while the first one is where it does not come back. */
static void
one_that_does_not_answer_is_left(void **state)
{
	struct looker k = LOOKER_INIT, next = LOOKER_INIT;
	char answer[LOOKER_BYTES_MAX];
	int status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(looker_start(&k), 0);
	pid = k.pid;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(looker_ask(&k, "one", 4), 0);
	assert_int_equal(looker_start(&next), 0);
	assert_int_equal(looker_ask(&next, "two", 4), 0);
	assert_int_equal(hear(&next, answer), 5);
	assert_string_equal(answer + 1, "two");
	looker_kill(&k);
	reap(pid);
	pid = next.pid;
	looker_leave(&next);
	reap(pid);
}

/* Whatever whoever started it had blocked then. */
static void
is_ended_by_a_signal(void **state)
{
	struct looker k = LOOKER_INIT;
	char answer[LOOKER_BYTES_MAX];
	sigset_t term, before;
	int status = 0;

	(void)state;
	assert_int_equal(sigemptyset(&term), 0);
	assert_int_equal(sigaddset(&term, SIGTERM), 0);
	assert_int_equal(sigprocmask(SIG_BLOCK, &term, &before), 0);
	assert_int_equal(looker_start(&k), 0);
	assert_int_equal(sigprocmask(SIG_SETMASK, &before, NULL), 0);
	assert_int_equal(looker_ask(&k, "one", 4), 0);
	assert_int_equal(hear(&k, answer), 5);
	assert_int_equal(kill(k.pid, SIGTERM), 0);
	assert_int_equal(waitpid(k.pid, &status, 0), k.pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	looker_leave(&k);
}

/* They are for who asks, where a terminal sends them to the whole group. */
static void
a_terminals_signals_do_not_end_it(void **state)
{
	static const int signals[] = { SIGINT, SIGQUIT };
	struct looker k = LOOKER_INIT;
	char answer[LOOKER_BYTES_MAX];
	pid_t pid;

	(void)state;
	assert_int_equal(looker_start(&k), 0);
	assert_int_equal(looker_ask(&k, "one", 4), 0);
	assert_int_equal(hear(&k, answer), 5);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(kill(k.pid, signals[i]), 0);
		assert_int_equal(looker_ask(&k, "two", 4), 0);
		assert_int_equal(hear(&k, answer), 5);
	}
	pid = k.pid;
	looker_leave(&k);
	reap(pid);
}

/* ---- what it has until it has executed ---- */

static int
nothing(void *ctx)
{
	(void)ctx;
	return 0;
}

static bool
can_be_without_copies(void)
{
	static _Alignas(16) char stack[4096];
	pid_t pid = birth_without_copies(nothing, NULL, stack + sizeof(stack));

	if (pid > 0)
		reap(pid);
	return pid > 0 && syscall(SYS_close_range, 1, 0, 1U << 1) < 0 &&
	    errno == EINVAL;
}

/* Whoever executes something waits until that is answered. -1: there is no such
   filter. */
static int
filter_execve(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]), .filter = code,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
	    SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

/* The highest descriptor that it has, which is about to execute. */
static int
highest_of_executing(int filter, pid_t pid, uint64_t *ret_id)
{
	struct seccomp_notif n = { .id = 0 };
	struct pollfd p = { .fd = filter, .events = POLLIN };
	struct dirent *e;
	char path[32];
	int highest = -1;
	DIR *dir;

	if (poll(&p, 1, LIMIT_MS) != 1 ||
	    ioctl(filter, SECCOMP_IOCTL_NOTIF_RECV, &n) < 0)
		return INT_MAX;
	*ret_id = n.id;
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	while (dir != NULL && (e = readdir(dir)) != NULL)
		if (atoi(e->d_name) > highest)
			highest = atoi(e->d_name);
	if (dir != NULL)
		closedir(dir);
	return highest;
}

static bool
let(int filter, uint64_t id, bool goes_on)
{
	struct seccomp_notif_resp r = {
		.id = id, .error = goes_on ? 0 : -EPERM,
		.flags = goes_on ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0,
	};

	return ioctl(filter, SECCOMP_IOCTL_NOTIF_SEND, &r) == 0;
}

static bool
is_same(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 &&
	    x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

#define EXPECT(condition)	do {					\
	if (!(condition))						\
		return __LINE__ % 250 + 1;				\
} while (0)

/* Two of them, one after the other: the second one cannot be executed. 0: as it should
   be, else where not. */
static int
start_two(int filter)
{
	struct looker k = LOOKER_INIT;
	char answer[LOOKER_BYTES_MAX];
	struct pollfd p = { .events = POLLIN };
	int blank[2], more[2], fd, status;
	uint64_t id;
	pid_t pid;

	EXPECT(pipe2(blank, O_CLOEXEC) == 0);
	fd = fcntl(blank[0], F_DUPFD_CLOEXEC, 0);
	EXPECT(fd >= 0 && pipe2(more, O_CLOEXEC) == 0 && more[0] > fd);
	looker_lend(fd, blank[0]);
	EXPECT(looker_start(&k) == 0);
	EXPECT(highest_of_executing(filter, k.pid, &id) == fd);
	EXPECT(!is_same(fd, blank[0]));
	EXPECT(let(filter, id, true) && looker_ask(&k, "one", 4) == 0);
	EXPECT(hear(&k, answer) == 5 && answer[0] == 1);
	EXPECT(is_same(fd, blank[0]));
	pid = k.pid;
	looker_leave(&k);
	EXPECT(waitpid(pid, NULL, 0) == pid);

	EXPECT(looker_start(&k) == 0);
	EXPECT(highest_of_executing(filter, k.pid, &id) == fd);
	EXPECT(let(filter, id, false));
	EXPECT(waitpid(k.pid, &status, 0) == k.pid && WIFEXITED(status));
	p.fd = k.fd;
	EXPECT(poll(&p, 1, 0) == 0 && !is_same(fd, blank[0]));
	looker_reaped(k.pid);
	k.pid = 0;
	EXPECT(poll(&p, 1, 0) == 1 && is_same(fd, blank[0]));
	EXPECT(looker_receive(&k, answer) < 0 && !k.begun);
	looker_leave(&k);
	return 0;
}

/* In a process of its own, as the filter stays. */
static void
has_nothing_of_ours_before_it_executes(void **state)
{
	int status = -1, filter;
	pid_t pid;

	(void)state;
	if (!can_be_without_copies())
		skip();
	pid = fork();
	if (pid == 0) {
		filter = filter_execve();
		_exit(filter < 0 ? 255 : start_two(filter));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 255)
		skip();
	assert_int_equal(status, 0);
}

static void
none_without_a_main_that_serves(void **state)
{
	struct looker k = LOOKER_INIT;

	(void)state;
	assert_int_equal(looker_start(&k), -ENOTSUP);
	looker_can_be();
}

static void
only_what_is_executed_so_is_one(void **state)
{
	char look[] = "clusterd-look", own[] = "clusterd";
	char seven[] = "7", less[] = "-1";
	char *one[] = { look, seven, NULL };
	char *other[] = { own, seven, NULL };
	char *bad[] = { look, less, NULL };

	(void)state;
	assert_int_equal(looker_fd(2, one), 7);
	assert_int_equal(looker_fd(1, one), -1);
	assert_int_equal(looker_fd(2, other), -1);
	assert_int_equal(looker_fd(2, bad), -1);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_executed_so_is_one),
		cmocka_unit_test(none_without_a_main_that_serves),
		cmocka_unit_test(answers_and_has_nothing_of_ours),
		cmocka_unit_test(ends_when_nobody_asks),
		cmocka_unit_test(one_that_does_not_answer_is_left),
		cmocka_unit_test(is_ended_by_a_signal),
		cmocka_unit_test(a_terminals_signals_do_not_end_it),
		cmocka_unit_test(has_nothing_of_ours_before_it_executes),
	};
	int fd = looker_fd(argc, argv);

	if (fd >= 0)
		_exit(looker_serve(fd, echo));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
