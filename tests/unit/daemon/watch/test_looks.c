/* Who is told what of a look, whatever becomes of the child that is asked. */
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/orphans.h"
#include "lib/alloc_fail.h"

#define CLONE3		435
#define PASSRIGHTS	83
#define DIES		"TEST_LOOKS_DIES"
#define NEVER		"TEST_LOOKS_NEVER_BEGINS"
#define LIMIT_MS	60000
#define ONE_APP		1
#define OTHER_APP	2
#define TRIES		50
#define MANY		100000

struct asker {
	unsigned told;
	int code;
};

static struct loop *loop;
static struct looks looks;
static struct orphans orphans;

/* In the child. */
static size_t
die(const void *question, size_t len, void *answer)
{
	(void)question;
	(void)len;
	(void)answer;
	_exit(3);
}

static void
told(void *ctx, int code, enum waiting seen, int64_t took_ns)
{
	struct asker *a = ctx;

	(void)seen;
	(void)took_ns;
	a->told++;
	a->code = code;
}

static int
ask(struct asker *a, uint64_t whose)
{
	static const struct conf_creds creds = { .set = false };
	static const uint64_t inos[1];

	return looks_waiting(&looks, &(struct looks_whom){
		.whose = whose, .pid = getpid(), .creds = &creds,
		.answered = told, .ctx = a,
	    }, inos, 1);
}

static void
turn_until_told(const struct asker *a)
{
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);

	while (a->told == 0) {
		assert_true(mono_before(mono_now(), end));
		loop_turn(loop);
	}
}

/* What comes of one more question. */
static int
code_for(uint64_t whose)
{
	struct asker a = { .told = 0 };

	assert_int_equal(ask(&a, whose), 0);
	turn_until_told(&a);
	assert_int_equal(a.told, 1);
	return a.code;
}

/* How many children there have been, all of which end. */
static unsigned
reap_all(void)
{
	unsigned n = 0;
	pid_t pid;

	while ((pid = waitpid(-1, NULL, 0)) > 0) {
		(void)looks_reaped(&looks, pid);
		n++;
	}
	return n;
}

/* False: it has ended, as nobody had asked for too long. */
static bool
stop_child(void)
{
	const pid_t pid = looks.child.pid;
	int status = 0;

	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	if (!WIFSTOPPED(status))
		assert_true(looks_reaped(&looks, pid));
	return WIFSTOPPED(status);
}

/* One that has answered. */
static void
hold_child(void)
{
	int tries = 0;

	do {
		assert_true(tries++ < TRIES);
		assert_int_equal(code_for(ONE_APP), 0);
	} while (!stop_child());
}

/* The number that the next descriptor will have. */
static int
next_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	(void)close(fd);
	return fd;
}

/* Can there be a child? */
static bool
is_answered(void)
{
	looks.not_before = mono_now();
	return code_for(ONE_APP) == 0;
}

static int
set_up(void **state)
{
	(void)state;
	unsetenv(DIES);
	unsetenv(NEVER);
	return loop_new(&loop, NULL) == 0 ?
	    looks_init(&looks, loop, &orphans) : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	looks_fini(&looks);
	(void)reap_all();
	loop_free(loop);
	free(orphans.strangers);
	orphans = (struct orphans){ .strangers = NULL };
	return 0;
}

static void
who_asks_is_told_once(void **state)
{
	struct asker a = { .told = 0 }, b = { .told = 0 };

	(void)state;
	assert_int_equal(ask(&a, ONE_APP), 0);
	assert_int_equal(ask(&b, ONE_APP), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, 0);
	assert_int_equal(b.told, 1);
	assert_int_equal(b.code, 0);
}

/* The asker is gone when the answer comes. */
static void
who_is_forgotten_is_not_told(void **state)
{
	struct asker a = { .told = 0 }, b = { .told = 0 };

	(void)state;
	assert_int_equal(ask(&a, ONE_APP), 0);
	looks_forget(&looks, &a);
	assert_int_equal(ask(&b, ONE_APP), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 0);
	assert_int_equal(looks.n_asked, 0);
}

/* Each question is for two of them at most, and then there is none for a while. */
static void
children_that_die_of_questions_are_few(void **state)
{
	struct asker a = { .told = 0 }, b = { .told = 0 };

	(void)state;
	assert_int_equal(setenv(DIES, "1", 1), 0);
	assert_int_equal(ask(&a, ONE_APP), 0);
	assert_int_equal(ask(&b, OTHER_APP), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, -ECANCELED);
	assert_int_equal(b.code, -ECANCELED);
	assert_int_equal(ask(&a, ONE_APP), -EAGAIN);
	assert_int_equal(reap_all(), 2);
	looks.not_before = mono_now();
	unsetenv(DIES);
	assert_int_equal(code_for(ONE_APP), 0);
}

/* Both questions about that app are over, and the next child has the other's. */
static void
who_holds_one_up_is_asked_no_more(void **state)
{
	struct asker a = { .told = 0 }, b = a, other = a;
	pid_t held;

	(void)state;
	hold_child();
	held = looks.child.pid;
	assert_int_equal(ask(&a, ONE_APP), 0);
	assert_int_equal(ask(&b, ONE_APP), 0);
	assert_int_equal(ask(&other, OTHER_APP), 0);
	assert_int_equal(looks_await(&looks, &b, 1), -ETIMEDOUT);
	turn_until_told(&other);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, -ETIMEDOUT);
	assert_int_equal(b.told, 1);
	/* At which nobody was. */
	assert_int_equal(b.code, -EBUSY);
	assert_int_equal(other.code, 0);
	/* As long as it is there. */
	assert_int_equal(ask(&a, ONE_APP), -EBUSY);
	assert_int_equal(waitpid(held, NULL, 0), held);
	assert_true(looks_reaped(&looks, held));
	assert_int_equal(code_for(ONE_APP), 0);
}

/* And we do not look in its stead, though it takes no more: it would hold us up. */
static void
who_is_held_up_is_asked_no_more_than_it_has_room_for(void **state)
{
	struct asker a = { .told = 0 };
	uint64_t n = 0;
	int code;

	(void)state;
	hold_child();
	do {
		assert_true(n++ < MANY);
		code = ask(&a, n);
	} while (code == 0);
	assert_int_equal(code, -EBUSY);
	assert_true(n > LOOKS_MAX);
	looks_forget(&looks, &a);
}

/* Of one it may be chance: it was killed. */
static void
those_that_end_before_they_begin_are_few(void **state)
{
	struct asker a;

	(void)state;
	assert_int_equal(setenv(NEVER, "1", 1), 0);
	for (int i = 0; i < 2; i++) {
		looks.not_before = mono_now();
		assert_int_equal(code_for(ONE_APP), -ECANCELED);
		assert_true(mono_before(looks.not_before,
		    mono_add_ms(mono_now(), 2000)) == (i == 0));
	}
	unsetenv(NEVER);
	assert_int_equal(ask(&a, ONE_APP), -EAGAIN);
	assert_true(is_answered());
	assert_int_equal(looks.unbegun, 0);
}

static bool
has_said_something(void)
{
	struct pollfd p = { .fd = looks.child.fd, .events = POLLIN };

	return poll(&p, 1, 0) != 0;
}

/* No other one is started while it is there, which might be for ever. */
static void
of_those_that_do_not_begin_there_is_one(void **state)
{
	struct asker a = { .told = 0 };
	int tries = 0;
	pid_t held;

	(void)state;
	do {
		assert_true(tries++ < TRIES);
		looks_fini(&looks);
		(void)reap_all();
		assert_int_equal(looks_init(&looks, loop, &orphans), 0);
		assert_int_equal(ask(&a, ONE_APP), 0);
	} while (!stop_child() || has_said_something());
	held = looks.child.pid;
	turn_until_told(&a);
	assert_int_equal(a.code, -ECANCELED);
	looks.not_before = mono_now();
	assert_int_equal(ask(&a, ONE_APP), -EAGAIN);
	assert_int_equal(ask(&a, OTHER_APP), -EAGAIN);
	assert_int_equal(waitpid(held, NULL, 0), held);
	assert_true(looks_reaped(&looks, held));
	assert_int_equal(code_for(ONE_APP), 0);
}

/* Where the kernel can (Linux 6.16). */
static void
no_descriptor_can_be_sent_to_us(void **state)
{
	struct asker a = { .told = 0 };
	int value = -1;
	socklen_t len = sizeof(value);

	(void)state;
	assert_int_equal(ask(&a, ONE_APP), 0);
	if (getsockopt(looks.child.fd, SOL_SOCKET, PASSRIGHTS, &value,
	    &len) < 0)
		skip();
	assert_int_equal(value, 0);
}

/* What it was asked is for the next one. */
static void
one_that_is_killed_is_followed(void **state)
{
	struct asker a = { .told = 0 }, b = a;
	pid_t killed;

	(void)state;
	hold_child();
	killed = looks.child.pid;
	assert_int_equal(ask(&a, ONE_APP), 0);
	assert_int_equal(ask(&b, OTHER_APP), 0);
	assert_int_equal(kill(killed, SIGKILL), 0);
	turn_until_told(&b);
	assert_int_equal(a.told, 1);
	assert_int_equal(a.code, 0);
	assert_int_equal(b.code, 0);
	assert_int_not_equal(looks.child.pid, killed);
	/* And its end is no orphan's. */
	assert_int_equal(waitpid(killed, NULL, 0), killed);
	assert_true(looks_reaped(&looks, killed));
	assert_false(looks_reaped(&looks, killed));
}

/* Its end of the socket is open in whoever was born while it had a number of ours, and
   has not executed as yet: as a worker whose program's file system does not answer. */
static void
one_that_ends_is_followed_though_its_socket_is_open(void **state)
{
	int blank[2], low;
	pid_t pid, holder;

	(void)state;
	assert_int_equal(pipe2(blank, O_CLOEXEC), 0);
	low = fcntl(blank[0], F_DUPFD_CLOEXEC, 0);
	assert_true(low >= 0);
	looker_lend(low, blank[0]);
	looks_prepare(&looks);
	holder = fork();
	if (holder == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	assert_true(holder > 0);
	pid = looks.child.pid;
	assert_int_equal(code_for(ONE_APP), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	(void)looks_reaped(&looks, pid);
	assert_int_equal(code_for(ONE_APP), 0);
	assert_int_equal(kill(holder, SIGKILL), 0);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	looker_lend(-1, -1);
	(void)close(low);
	(void)close(blank[0]);
	(void)close(blank[1]);
}

/* But for what nobody wants to know any more: two die of the other question. */
static void
what_is_forgotten_is_not_asked_again(void **state)
{
	struct asker a = { .told = 0 }, b = a;

	(void)state;
	hold_child();
	assert_int_equal(setenv(DIES, "1", 1), 0);
	assert_int_equal(ask(&a, ONE_APP), 0);
	assert_int_equal(ask(&b, OTHER_APP), 0);
	looks_forget(&looks, &a);
	assert_int_equal(kill(looks.child.pid, SIGKILL), 0);
	turn_until_told(&b);
	assert_int_equal(b.code, -ECANCELED);
	assert_int_equal(reap_all(), 3);
}

static void
at_our_end_nobody_is_left(void **state)
{
	pid_t pid;

	(void)state;
	hold_child();
	pid = looks.child.pid;
	looks_fini(&looks);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(looks_init(&looks, loop, &orphans), 0);
}

/* With none left, and with one of two. */
static void
without_descriptors_nobody_is_asked(void **state)
{
	struct asker a = { .told = 0 };
	struct rlimit before, less;
	int next = next_fd();

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	for (rlim_t left = 0; left < 2; left++) {
		less = before;
		less.rlim_cur = (rlim_t)next + left;
		looks.not_before = mono_now();
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
		assert_int_equal(ask(&a, ONE_APP), -EMFILE);
		/* That is not tried again at once. */
		assert_int_equal(ask(&a, ONE_APP), -EAGAIN);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		assert_int_equal(next_fd(), next);
	}
	assert_true(is_answered());
	assert_int_equal(a.told, 0);
}

static void
without_memory_nobody_is_asked(void **state)
{
	struct asker a = { .told = 0 };
	int next = next_fd();

	(void)state;
	for (unsigned long i = 1; i < 10; i++) {
		looks.not_before = mono_now();
		alloc_fail(i, ALLOC_ALL);
		if (ask(&a, ONE_APP) == 0)
			looks_forget(&looks, &a);
		else
			assert_int_equal(looks.n_asked, 0);
		alloc_works();
		looks_fini(&looks);
		(void)reap_all();
		assert_int_equal(next_fd(), next);
		assert_int_equal(looks_init(&looks, loop, &orphans), 0);
	}
	assert_true(is_answered());
	alloc_fail(1, ALLOC_ALL);
	assert_int_equal(ask(&a, ONE_APP), -ENOMEM);
	alloc_works();
	assert_true(is_answered());
	assert_int_equal(a.told, 0);
}

/* There can be no child any more. */
static bool
take_away_forks(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLONE3, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
	};
	const struct sock_fprog program = {
		.len = sizeof(code) / sizeof(code[0]), .filter = code,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* In a process of its own, as the filter stays. */
static void
without_processes_nobody_is_asked(void **state)
{
	int status = -1, next = next_fd();
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		struct asker a = { .told = 0 };

		_exit(take_away_forks() && ask(&a, ONE_APP) == -EAGAIN &&
		    !mono_before(looks.not_before, mono_now()) &&
		    looks.n_asked == 0 && a.told == 0 && next_fd() == next ?
		    0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_asks_is_told_once, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(who_is_forgotten_is_not_told,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    children_that_die_of_questions_are_few, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    who_holds_one_up_is_asked_no_more, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    who_is_held_up_is_asked_no_more_than_it_has_room_for,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    those_that_end_before_they_begin_are_few, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    of_those_that_do_not_begin_there_is_one, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    no_descriptor_can_be_sent_to_us, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_killed_is_followed,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    one_that_ends_is_followed_though_its_socket_is_open,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_forgotten_is_not_asked_again, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(at_our_end_nobody_is_left,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    without_descriptors_nobody_is_asked, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_memory_nobody_is_asked,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    without_processes_nobody_is_asked, set_up, tear_down),
	};
	int fd = looker_fd(argc, argv);

	if (fd >= 0 && getenv(NEVER) != NULL)
		_exit(127);
	if (fd >= 0)
		_exit(getenv(DIES) != NULL ? looker_serve(fd, die) :
		    looks_serve(fd));
	looker_can_be();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
