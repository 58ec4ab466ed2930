/* To act as a worker's user, and what the kernel forgets by it. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "core/conf/conf.h"
#include "linux/file/fsids.h"

#define OTHER		65534
#define LIMIT_MS	20000

static const struct conf_creds creds = {
	.set = true, .uid = OTHER, .gid = OTHER, .name = (char *)"other",
};

static int
death_signal(void)
{
	int signo = -1;

	(void)prctl(PR_GET_PDEATHSIG, &signo, 0, 0, 0);
	return signo;
}

static void
whoever_has_one_keeps_the_death_signal(void **state)
{
	struct fsids ids;

	(void)state;
	assert_int_equal(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0), 0);
	ids = fsids_begin(&creds);
	assert_true(fsids_are(&creds));
	assert_int_equal(death_signal(), SIGKILL);
	fsids_end(&ids);
	assert_int_equal(death_signal(), SIGKILL);
	assert_int_equal(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0), 0);
	ids = fsids_begin(&creds);
	assert_int_equal(death_signal(), 0);
	fsids_end(&ids);
	assert_int_equal(death_signal(), 0);
}

/* It is told when it acts as the other user, and has the pipe open until it ends. */
static void
act_for_ever(int told)
{
	const pid_t parent = getppid();
	struct fsids ids;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	ids = fsids_begin(&creds);
	(void)!write(told, "", 1);
	(void)poll(NULL, 0, 2 * LIMIT_MS);
	fsids_end(&ids);
	_exit(0);
}

static void
who_acts_for_another_ends_with_the_parent(void **state)
{
	struct pollfd p = { .events = POLLIN };
	int told[2];
	pid_t parent;
	char byte;

	(void)state;
	assert_int_equal(pipe(told), 0);
	parent = fork();
	if (parent == 0) {
		if (fork() == 0)
			act_for_ever(told[1]);
		(void)close(told[1]);
		for (;;)
			(void)pause();
	}
	assert_true(parent > 0);
	(void)close(told[1]);
	p.fd = told[0];
	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	assert_int_equal(read(told[0], &byte, 1), 1);
	assert_int_equal(kill(parent, SIGKILL), 0);
	assert_int_equal(waitpid(parent, NULL, 0), parent);
	assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
	assert_int_equal(read(told[0], &byte, 1), 0);
	(void)close(told[0]);
}

static int
needs_root(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
		    who_acts_for_another_ends_with_the_parent, needs_root),
		cmocka_unit_test_setup(whoever_has_one_keeps_the_death_signal,
		    needs_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
