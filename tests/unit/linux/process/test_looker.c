/* A child that looks, and may never come back. */
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
	};
	int fd = looker_fd(argc, argv);

	if (fd >= 0)
		_exit(looker_serve(fd, echo));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
