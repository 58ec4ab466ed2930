/* Looks by a child of ours, which may be held up. */
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/process/looker.h"
#include "linux/process/looks.h"

/* Longer than any wait of ours, however slow the machine is. */
#define LIMIT_MS 10000

/* Numbers for those who are looked at; nobody looks. */
#define BLOCKS	((pid_t)1000001)
#define OTHER	((pid_t)1000002)
#define THIRD	((pid_t)1000003)

static int
ask(pid_t pid, looker_fn *fn, const char *arg)
{
	const struct looker_whom whom = { .pid = pid };

	return looker_ask(&whom, &(struct looker_question){
	    .fn = fn, .arg = arg, .arg_len = strlen(arg) + 1,
	});
}

static int
do_nothing(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)arg, (void)ret, (void)fds;
	return 0;
}

/* Every child of ours that has ended; how many. */
static int
reap(void)
{
	int n = 0;
	pid_t pid;

	for (; (pid = waitpid(-1, NULL, WNOHANG)) > 0; n++)
		looker_reaped(pid);
	return n;
}

static void
nap(void)
{
	(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

/* ---- answers ---- */

struct pair {
	int a, b;
};

static int
do_swap(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct pair *in = arg;
	struct pair *out = ret;

	(void)fds;
	assert_int_equal(out->a, 0);
	*out = (struct pair){ .a = in->b, .b = in->a };
	return -ENOTTY;
}

static void
answers(void **state)
{
	const struct looker_whom whom = { .pid = OTHER };
	struct pair in = { .a = 3, .b = 4 }, out = { 0 };

	(void)state;
	assert_int_equal(looker_ask(&whom, &(struct looker_question){
	    .fn = do_swap, .arg = &in, .arg_len = sizeof(in),
	    .ret = &out, .ret_len = sizeof(out),
	}), -ENOTTY);
	assert_int_equal(out.a, 4);
	assert_int_equal(out.b, 3);
}

static int
do_pipe(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)arg, (void)ret;
	assert_int_equal(pipe2(fds->v, O_CLOEXEC), 0);
	fds->n = 2;
	return 0;
}

/* And it keeps none. */
static void
sends_descriptors(void **state)
{
	const struct looker_whom whom = { .pid = OTHER };
	struct looker_fds fds = { .n = 0 };
	char c;

	(void)state;
	assert_int_equal(looker_ask(&whom, &(struct looker_question){
	    .fn = do_pipe, .fds = &fds,
	}), 0);
	assert_int_equal(fds.n, 2);
	assert_int_equal(fcntl(fds.v[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(fds.v[1], "x", 1), 1);
	close(fds.v[1]);
	assert_int_equal(read(fds.v[0], &c, 1), 1);
	assert_int_equal(read(fds.v[0], &c, 1), 0);
	close(fds.v[0]);
}

static void
sees_others(void **state)
{
	struct looker_whom whom = { .pid = getpid() };
	struct look_fd fd;
	char value[256];
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(look_fd(&whom, getpid(), fds[0], &fd), 0);
	assert_int_equal(fd.kind, INSPECT_OTHER);
	assert_int_equal(look_fd(&whom, getpid(), 1000000, &fd), 0);
	assert_int_equal(fd.kind, INSPECT_NOTHING);
	assert_int_equal(look_env(&whom, "NO_SUCH_NAME", value, 256),
	    -ENODATA);
	close(fds[0]);
	close(fds[1]);
}

/* ---- held up ---- */

/* As a file system that does not answer, but for what can end it. */
static int
do_open(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)ret, (void)fds;
	return open(arg, O_RDONLY) < 0 ? -errno : 0;
}

static char fifo[] = "/tmp/test_looker.XXXXXX";

static void
costs_only_its_own(void **state)
{
	struct mono begin = mono_now();

	(void)state;
	assert_int_equal(ask(BLOCKS, do_open, fifo), -ETIMEDOUT);
	assert_true(mono_ms_between(begin, mono_now()) < LIMIT_MS);
	/* Another one is there at once; for other looks, too. */
	assert_int_equal(ask(OTHER, do_nothing, ""), 0);
	assert_int_equal(ask(BLOCKS, do_nothing, ""), 0);
	/* As long as the first is, it is asked no more. */
	begin = mono_now();
	while (mono_ms_between(begin, mono_now()) < 150) {
		assert_int_equal(ask(BLOCKS, do_open, fifo), -EBUSY);
		assert_int_equal(ask(OTHER, do_nothing, ""), 0);
		nap();
	}
	/* It was killed, and then it is tried again. */
	while (reap() == 0 && mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	while (ask(BLOCKS, do_open, "/dev/null") == -EBUSY &&
	    mono_ms_between(begin, mono_now()) < LIMIT_MS)
		nap();
	assert_int_equal(ask(BLOCKS, do_open, "/dev/null"), 0);
}

/* Less and less often. */
static void
waits_longer_each_time(void **state)
{
	struct mono begin = mono_now();
	int asked = 0;

	(void)state;
	while (mono_ms_between(begin, mono_now()) < 700) {
		asked += ask(THIRD, do_open, fifo) == -ETIMEDOUT;
		(void)reap();
		nap();
	}
	assert_in_range(asked, 1, 4);
}

static int
do_say_pid(const void *arg, void *ret, struct looker_fds *fds)
{
	(void)arg, (void)fds;
	*(pid_t *)ret = getpid();
	return 0;
}

static pid_t
child_at_hand(void)
{
	const struct looker_whom whom = { .pid = OTHER };
	pid_t pid = 0;

	assert_int_equal(looker_ask(&whom, &(struct looker_question){
	    .fn = do_say_pid, .ret = &pid, .ret_len = sizeof(pid),
	}), 0);
	return pid;
}

/* It was held up by what came before: the next one does not pay for that. */
static void
stopped_one_is_replaced(void **state)
{
	pid_t pid = child_at_hand();

	(void)state;
	assert_true(looker_is(pid));
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	assert_int_equal(ask(BLOCKS, do_nothing, ""), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(looker_is(pid));
	looker_reaped(pid);
	assert_false(looker_is(pid));
	for (struct mono begin = mono_now(); ask(OTHER, do_say_pid, "") ==
	    -EBUSY && mono_ms_between(begin, mono_now()) < LIMIT_MS;)
		nap();
}

static void
dead_one_is_replaced(void **state)
{
	pid_t pid = child_at_hand();

	(void)state;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	/* Nobody has said so yet. */
	assert_true(child_at_hand() != pid);
	looker_reaped(pid);
	assert_int_equal(ask(OTHER, do_nothing, ""), 0);
}

/* Without questions it ends by itself. */
static void
idle_one_ends(void **state)
{
	pid_t pid = child_at_hand();
	int status;

	(void)state;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	looker_reaped(pid);
	assert_true(child_at_hand() != pid);
}

/* Who works, or would if it had the CPU, is waited for a little longer. */
static int
do_work(const void *arg, void *ret, struct looker_fds *fds)
{
	struct mono begin = mono_now();

	(void)arg, (void)ret, (void)fds;
	while (mono_ms_between(begin, mono_now()) < 12)
		continue;
	return 0;
}

static void
works_on(void **state)
{
	(void)state;
	assert_int_equal(ask(OTHER, do_work, ""), 0);
}

/* Longer than anybody is waited for. */
static int
do_stop_who_asks(const void *arg, void *ret, struct looker_fds *fds)
{
	struct mono begin = mono_now();
	pid_t asks = getppid();

	(void)arg, (void)ret, (void)fds;
	(void)kill(asks, SIGSTOP);
	while (mono_ms_between(begin, mono_now()) < 100)
		continue;
	(void)kill(asks, SIGCONT);
	return do_work(NULL, NULL, NULL);
}

/* While we do not get the CPU ourselves, no time passes. */
static void
waits_only_while_we_run(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	looker_end();
	pid = fork();
	if (pid == 0)
		_exit(ask(OTHER, do_stop_who_asks, "") == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Of very many that hold up, the others pay nothing. */
static void
many_hold_up(void **state)
{
	(void)state;
	for (pid_t i = 0; i < 70; i++) {
		assert_int_equal(ask(2000000 + i, do_open, fifo),
		    -ETIMEDOUT);
		assert_int_equal(ask(2000000 + i, do_open, fifo), -EBUSY);
	}
	assert_int_equal(ask(OTHER, do_nothing, ""), 0);
}

/* ---- before Linux 5.9 ---- */

#define CLOSE_RANGE	436

/* A number that none of ours has. */
#define FAR		1000

/* For this process and those it starts; who closes what is far dies. */
static bool
take_close_range_away(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOSE_RANGE, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FAR, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]), .filter = code,
	};

	return sysconf(_SC_OPEN_MAX) > FAR &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* The child has its own descriptors to close first: not by trying each of the
   million numbers that it may have. */
static void
answers_without_close_range(void **state)
{
	int status = -1;
	pid_t pid;

	(void)state;
	looker_end();
	pid = fork();
	if (pid == 0)
		_exit(!take_close_range_away() ? 2 :
		    ask(OTHER, do_nothing, "") == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		skip();
	assert_int_equal(status, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(sends_descriptors),
		cmocka_unit_test(sees_others),
		cmocka_unit_test(costs_only_its_own),
		cmocka_unit_test(waits_longer_each_time),
		cmocka_unit_test(stopped_one_is_replaced),
		cmocka_unit_test(dead_one_is_replaced),
		cmocka_unit_test(idle_one_ends),
		cmocka_unit_test(works_on),
		cmocka_unit_test(waits_only_while_we_run),
		cmocka_unit_test(many_hold_up),
		cmocka_unit_test(answers_without_close_range),
	};
	int fd = mkstemp(fifo), failed;

	if (fd < 0 || unlink(fifo) < 0 || mkfifo(fifo, 0600) < 0)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)unlink(fifo);
	return failed;
}
