/* What a tree uses, a few files at a time. */
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/process/usage.h"

#define THREADS		40
#define CHILDREN	30
#define ROOM		((size_t)4 << 20)	/* that each child fills */

static void *
stay(void *arg)
{
	pause();
	return arg;
}

/* As a thread of a server that forks. */
static void *
fork_one(void *arg)
{
	volatile char *room;

	if (fork() == 0) {
		room = malloc(ROOM);
		for (size_t i = 0; room != NULL && i < ROOM; i += 4096)
			room[i] = 1;
		(void)!write(*(int *)arg, "x", 1);
		pause();
		_exit(1);
	}
	return stay(arg);
}

/* Of many threads, some with a child; ready when all have said so. */
static pid_t
start_tree(unsigned threads, unsigned children)
{
	int fds[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)setpgid(0, 0);
		for (unsigned i = 0; i < threads; i++) {
			pthread_t t;

			if (pthread_create(&t, NULL, i < children ?
			    fork_one : stay, &fds[1]) != 0)
				_exit(1);
		}
		(void)!write(fds[1], "x", 1);
		pause();
		_exit(1);
	}
	(void)setpgid(pid, pid);
	close(fds[1]);
	for (unsigned i = 0; i < children + 1; i++)
		assert_int_equal(read(fds[0], &byte, 1), 1);
	close(fds[0]);
	return pid;
}

static void
end_tree(pid_t pid)
{
	assert_int_equal(kill(-pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static unsigned
n_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static bool
lists_children(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children",
	    (int)getpid());
	return access(path, R_OK) == 0;
}

static void
large_tree_takes_many_parts(void **state)
{
	unsigned before = n_descriptors(), parts = 1;
	struct usage_walk *walk;
	struct usage usage;
	pid_t pid;

	(void)state;
	if (!lists_children())
		skip();		/* no CONFIG_PROC_CHILDREN */
	pid = start_tree(THREADS, CHILDREN);
	assert_int_equal(usage_walk_new(pid, &walk), 0);
	while (!usage_walk_go_on(walk, 8, &usage))
		parts++;
	usage_walk_free(walk);
	/* Each thread is one, and each child two at least. */
	assert_true(parts >= (THREADS + 2 * CHILDREN) / 8);
	assert_true(usage.memory_bytes >= CHILDREN * ROOM);
	assert_true(usage.cpu_ns > 0);
	assert_int_equal(n_descriptors(), before);
	end_tree(pid);
}

static void
given_up_or_gone_in_between(void **state)
{
	unsigned before = n_descriptors();
	struct usage_walk *walk, *given_up;
	struct usage usage;
	pid_t pid = start_tree(THREADS, 0);

	(void)state;
	assert_int_equal(usage_walk_new(pid, &walk), 0);
	assert_int_equal(usage_walk_new(pid, &given_up), 0);
	assert_false(usage_walk_go_on(walk, 4, &usage));
	assert_false(usage_walk_go_on(given_up, 4, &usage));
	usage_walk_free(given_up);
	end_tree(pid);
	while (!usage_walk_go_on(walk, 4, &usage))
		continue;
	assert_true(usage.memory_bytes > 0);
	usage_walk_free(walk);
	usage_walk_free(NULL);
	assert_int_equal(n_descriptors(), before);
	assert_int_equal(usage_walk_new(pid, &walk), -ESRCH);
}

static void
single_process_takes_one_part(void **state)
{
	struct usage_walk *walk;
	struct usage usage;

	(void)state;
	assert_int_equal(usage_walk_new(getpid(), &walk), 0);
	assert_true(usage_walk_go_on(walk, 4, &usage));
	assert_true(usage.memory_bytes > 0);
	usage_walk_free(walk);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(large_tree_takes_many_parts),
		cmocka_unit_test(given_up_or_gone_in_between),
		cmocka_unit_test(single_process_takes_one_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
