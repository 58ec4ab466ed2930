/* The children of a process, a few at a time. */
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "core/worker/obituary.h"
#include "linux/process/child_scan.h"
#include "linux/process/process.h"

#define CHILDREN	700	/* their list takes several portions */

static void
finds_all(void **state)
{
	struct child_scan scan = CHILD_SCAN_INIT;
	static pid_t pids[CHILDREN];
	static bool seen[CHILDREN];
	struct exit_status status;
	size_t found = 0, steps = 0;
	pid_t pid;

	(void)state;
	for (size_t i = 0; i < CHILDREN; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			if (i % 2 == 0)
				pause();
			_exit(7);
		}
		assert_true(pids[i] > 0);
	}
	if (child_scan_begin(&scan) < 0)
		skip();		/* no CONFIG_PROC_CHILDREN */
	for (; child_scan_next(&scan, &pid); steps++) {
		for (size_t i = 0; i < CHILDREN && pid != 0; i++) {
			if (pids[i] != pid)
				continue;
			assert_false(seen[i]);
			seen[i] = true;
			found++;
		}
		/* Whoever reaps what it is told of moves nothing. */
		if (pid != 0)
			kill(pid, SIGKILL);
		if (pid != 0)
			assert_int_equal(waitpid(pid, NULL, 0), pid);
	}
	assert_int_equal(found, CHILDREN);
	assert_true(steps > CHILDREN + 1);
	child_scan_end(&scan);
	assert_int_equal(child_scan_begin(&scan), 0);
	while (child_scan_next(&scan, &pid))
		assert_int_equal(pid, 0);
	child_scan_end(&scan);
	child_scan_end(&scan);
	assert_false(process_is_dead(getpid(), &status));
}

static void
one_child(void **state)
{
	struct exit_status status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		_exit(7);
	assert_true(process_is_child(pid));
	while (!process_is_dead(pid, &status))
		continue;
	assert_false(status.signalled);
	assert_int_equal(status.code, 7);
	process_reap(pid);
	assert_false(process_is_child(pid));
	assert_false(process_is_dead(pid, &status));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_all),
		cmocka_unit_test(one_child),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
