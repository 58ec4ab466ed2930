/* What is seen of another process. */
#include <sys/prctl.h>
#include <sys/resource.h>
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

static void
end_is_told_of_whoever_had_the_number(void **state)
{
	const pid_t pid = child_called("ends");
	const uint64_t identity = process_identity(pid);
	int status;

	(void)state;
	assert_true(identity != 0);
	assert_false(process_has_ended(pid, identity));
	assert_true(process_has_ended(pid, identity + 1));
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 },
	    WEXITED | WNOWAIT), 0);
	assert_true(process_has_ended(pid, identity));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(process_has_ended(pid, identity));
}

/* Who cannot be looked at is not dead of it. */
static void
without_a_descriptor_nobody_has_ended(void **state)
{
	const pid_t pid = child_called("lives on");
	const uint64_t identity = process_identity(pid);
	struct rlimit before, none;
	bool lives, dead;
	int status;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	lives = !process_has_ended(pid, identity);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
	dead = process_has_ended(pid, identity);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(lives);
	assert_true(dead);
}

static void *fostered_ctx;
static pid_t stranger;

static bool
is_stranger(void *ctx, pid_t pid)
{
	fostered_ctx = ctx;
	return pid == stranger;
}

/* Ours, as it were another's. */
static void
another_ones_children_count_but_for_some(void **state)
{
	const pid_t pid = child_called("counts");
	int status;

	(void)state;
	stranger = child_called("does not");
	assert_false(process_is_fostered(pid));
	process_foster(getpid(), is_stranger, &stranger);
	assert_true(process_is_fostered(pid));
	assert_ptr_equal(fostered_ctx, &stranger);
	assert_false(process_is_fostered(stranger));
	process_foster(0, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		const pid_t child = i == 0 ? pid : stranger;

		assert_int_equal(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(state_parent_and_group_are_told),
		cmocka_unit_test(our_own_is_told),
		cmocka_unit_test(end_is_told_of_whoever_had_the_number),
		cmocka_unit_test(without_a_descriptor_nobody_has_ended),
		cmocka_unit_test(another_ones_children_count_but_for_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
