/*
 * Whom a signal goes to that is sent to a process which stands still: seen in
 * /proc, where it waits.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "linux/process/signal_stopped.h"

enum kind {
	HANDLES,
	IGNORES_NOT,		/* the default */
	BLOCKS,
	HAS_CHILD,
	HAS_ORPHAN,
};

static void
handle(int signo)
{
	_exit(100 + signo);
}

static void *
sleep_on(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static _Noreturn void
be_child(enum kind kind, int ready)
{
	sigset_t set;
	pthread_t thread;
	pid_t pid;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpgid(0, 0);
	if (kind != IGNORES_NOT)
		signal(SIGTERM, handle);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	if (kind == BLOCKS)
		pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&thread, NULL, sleep_on, NULL) != 0)
		_exit(1);
	if (kind == HAS_CHILD || kind == HAS_ORPHAN) {
		pid = fork();
		if (pid == 0) {
			if (kind == HAS_ORPHAN && fork() != 0)
				_exit(0);
			sleep_on(NULL);
		}
		if (kind == HAS_ORPHAN)
			(void)waitpid(pid, NULL, 0);
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	sleep_on(NULL);
	_exit(1);
}

static pid_t
start(enum kind kind)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_child(kind, ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void
stop(pid_t pid)
{
	int status;

	assert_int_equal(kill(-pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* Does SIGTERM wait for the main thread alone (SigPnd), or for any (ShdPnd)? */
static bool
waits(pid_t pid, const char *name)
{
	unsigned long long mask = 0;
	char path[64], line[256];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			assert_int_equal(sscanf(line + strlen(name), ":%llx",
			    &mask), 1);
	fclose(f);
	return (mask >> (SIGTERM - 1) & 1) != 0;
}

static void
end(pid_t pid)
{
	kill(-pid, SIGKILL);
	while (waitpid(-pid, NULL, 0) > 0)
		;
}

static void
main_thread_handles_it_first(void **state)
{
	pid_t pid = start(HANDLES);
	int status;

	(void)state;
	stop(pid);
	assert_true(signal_stopped(pid, SIGTERM));
	assert_true(waits(pid, "SigPnd"));
	assert_false(waits(pid, "ShdPnd"));
	assert_int_equal(kill(-pid, SIGCONT), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 100 + SIGTERM);
}

static void
expect_not(enum kind kind, bool stopped)
{
	pid_t pid = start(kind);

	if (stopped)
		stop(pid);
	assert_false(signal_stopped(pid, SIGTERM));
	if (stopped) {
		assert_false(waits(pid, "SigPnd"));
		assert_false(waits(pid, "ShdPnd"));
	}
	end(pid);
}

static void
others_get_it_as_usual(void **state)
{
	(void)state;
	/* Whoever goes on. */
	expect_not(HANDLES, false);
	/* It takes effect at once, whoever it is for. */
	expect_not(IGNORES_NOT, true);
	/* Another thread waits for it. */
	expect_not(BLOCKS, true);
	/* There are others in the group, who are to have it too. */
	expect_not(HAS_CHILD, true);
	expect_not(HAS_ORPHAN, true);
	assert_false(signal_stopped(0, SIGTERM));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(main_thread_handles_it_first),
		cmocka_unit_test(others_get_it_as_usual),
	};

	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
