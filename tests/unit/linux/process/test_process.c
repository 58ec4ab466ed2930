/* What is seen of another process. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <unistd.h>

#include "linux/process/process.h"

/* A child that sleeps, and is called so, in a group of its own. */
static pid_t
child_called(const char *name)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		(void)prctl(PR_SET_NAME, name, 0, 0, 0);
		(void)setpgid(0, 0);
		(void)close(ready[0]);
		(void)close(ready[1]);
		for (;;)
			pause();
	}
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 0);
	(void)close(ready[0]);
	return pid;
}

/* Whatever it is called. */
static void
state_parent_and_group_are_told(void **state)
{
	static const char *const names[] = {
		"plain", "a) R 1 1", "x\nPPid:\t1", "\nState:\tR", "",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		pid_t pid = child_called(names[i]);
		struct process_stat st = { .state = '?' };
		int status = 0;

		assert_int_equal(kill(pid, SIGSTOP), 0);
		assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
		assert_true(process_stat(pid, &st));
		assert_int_equal(st.state, 'T');
		assert_int_equal(st.parent, getpid());
		assert_int_equal(st.group, pid);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 },
		    WEXITED | WNOWAIT), 0);
		assert_true(process_stat(pid, &st));
		assert_int_equal(st.state, 'Z');
		assert_int_equal(st.parent, getpid());
		assert_int_equal(st.group, pid);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		st.state = '?';
		assert_false(process_stat(pid, &st));
		assert_int_equal(st.state, '?');
	}
}

static void
our_own_is_told(void **state)
{
	struct process_stat st;

	(void)state;
	assert_true(process_stat(getpid(), &st));
	assert_int_equal(st.state, 'R');
	assert_int_equal(st.parent, getppid());
	assert_int_equal(st.group, getpgrp());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_parent_and_group_are_told),
		cmocka_unit_test(our_own_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
