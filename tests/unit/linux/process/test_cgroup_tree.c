/* Of a directory that only looks like a control group. */
#include <sys/stat.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"
#include "linux/process/cgroup_files.h"
#include "linux/process/cgroup_move.h"
#include "linux/process/cgroup_tree.h"

static char top[] = "/tmp/clusterd-cgroup-XXXXXX";
static char path[256];

static const char *
in(const char *group, const char *file)
{
	snprintf(path, sizeof(path), "%s%s%s%s%s", top, group[0] != '\0' ?
	    "/" : "", group, file[0] != '\0' ? "/" : "", file);
	return path;
}

static void
put(const char *group, const char *file, const char *text)
{
	int fd = open(in(group, file), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
holds(const char *group, const char *file, const char *text)
{
	char got[64];
	int fd = open(in(group, file), O_RDONLY);
	ssize_t n = fd >= 0 ? read(fd, got, sizeof(got) - 1) : -1;

	assert_true(n >= 0);
	got[n] = '\0';
	close(fd);
	assert_string_equal(got, text);
}

static bool
is_there(const char *group)
{
	return access(in(group, ""), F_OK) == 0;
}

static void
make(const char *group)
{
	assert_int_equal(mkdir(in(group, ""), 0700), 0);
}

static void
empty(const char *group, const char *file)
{
	assert_int_equal(unlink(in(group, file)), 0);
}

static const struct conf_app limited = {
	.memory_limit = 1 << 20, .cpu_limit = 500, .tasks_limit = -1,
};

static struct cgroup_tree
begun(unsigned controllers)
{
	return (struct cgroup_tree){
		.dir = strdup(top), .own = strdup("_clusterd.47"),
		.controllers = controllers,
	};
}

/* Only the limits whose controllers are there. */
static void
limits_in_force(void **state)
{
	struct cgroup_tree tree = begun(1U << GROUP_MEMORY);
	int procs = -1;

	(void)state;
	make("web.0.1");
	put("web.0.1", "memory.max", "");
	put("web.0.1", "cgroup.procs", "");
	assert_int_equal(cgroup_tree_make(&tree, "web.0.1", &limited, &procs,
	    NULL), 0);
	assert_true(procs >= 0);
	close(procs);
	holds("web.0.1", "memory.max", "1048576");
	empty("web.0.1", "memory.max");
	empty("web.0.1", "cgroup.procs");
	cgroup_tree_end(&tree, 47);
	assert_false(is_there("web.0.1"));
}

/* A limit that the kernel does not take: no group of it stays. */
static void
limit_that_fails(void **state)
{
	struct cgroup_tree tree = begun(1U << GROUP_CPU);
	struct error err = ERROR_INIT;
	char words[512];
	int procs = -1;

	(void)state;
	assert_int_equal(cgroup_tree_make(&tree, "web.0.2", &limited, &procs,
	    &err), -ENOENT);
	snprintf(words, sizeof(words), "cannot set cpu_limit: %s/web.0.2/"
	    "cpu.max: No such file or directory", top);
	assert_string_equal(error_text(&err), words);
	error_clear(&err);
	assert_int_equal(procs, -1);
	assert_false(is_there("web.0.2"));
	cgroup_tree_end(&tree, 47);
}

/* Somebody is in it still: it is removed later, and a few at a time. */
static void
left_groups(void **state)
{
	struct cgroup_tree tree = begun(0);
	char name[32];

	(void)state;
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "web.%d.1", i);
		make(name);
		put(name, "busy", "");
		cgroup_tree_remove(&tree, name);
		assert_true(is_there(name));
	}
	assert_int_equal(tree.left.n, 40);
	cgroup_tree_sweep(&tree);
	assert_int_equal(tree.left.n, 40);
	/* One that a worker is found in is none of them. */
	assert_true(cgroup_tree_has(&tree, "web.7.1"));
	assert_false(cgroup_tree_has(&tree, "web.7.2"));
	assert_int_equal(tree.left.n, 39);
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "web.%d.1", i);
		empty(name, "busy");
	}
	for (int i = 0; i < 3; i++)
		cgroup_tree_sweep(&tree);
	assert_int_equal(tree.left.n, 0);
	assert_true(is_there("web.7.1"));
	assert_false(is_there("web.8.1"));
	/* The end finds it, and leaves what is none of ours. */
	make("other");
	cgroup_tree_end(&tree, 47);
	assert_false(is_there("web.7.1"));
	assert_true(is_there("other"));
	assert_int_equal(rmdir(in("other", "")), 0);
}

static void
moving_in(void **state)
{
	struct error err = ERROR_INIT;
	char text[64], words[512];
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		pause();
		_exit(1);
	}
	make("_clusterd.47");
	put("_clusterd.47", "cgroup.procs", "");
	put("", "cgroup.type", "domain\n");
	/* A child of ours is ours. */
	snprintf(text, sizeof(text), "%d\n", (int)child);
	put("", "cgroup.procs", text);
	assert_int_equal(cgroup_move_in(top, "_clusterd.47", getpid(), &err),
	    0);
	snprintf(text, sizeof(text), "%d", (int)child);
	holds("_clusterd.47", "cgroup.procs", text);
	/* The parent is not. */
	snprintf(text, sizeof(text), "%d\n", (int)getppid());
	put("", "cgroup.procs", text);
	assert_int_equal(cgroup_move_in(top, "_clusterd.47", getpid(), &err),
	    -EBUSY);
	snprintf(words, sizeof(words), "process %d, which is not clusterd's, "
	    "is in the same control group, %s: ", (int)getppid(), top);
	assert_int_equal(strncmp(error_text(&err), words, strlen(words)), 0);
	error_clear(&err);
	/* In the root group others may be. */
	empty("", "cgroup.type");
	assert_int_equal(cgroup_move_in(top, "_clusterd.47", getpid(), &err),
	    0);
	empty("", "cgroup.procs");
	empty("_clusterd.47", "cgroup.procs");
	assert_int_equal(cgroup_remove(top, "_clusterd.47"), 0);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static void
events(void **state)
{
	struct cgroup_tree tree = begun(1U << GROUP_MEMORY);
	uint64_t kills, own;
	int fd;

	(void)state;
	assert_int_equal(cgroup_tree_events(&tree, "web.0.1"), -ENOENT);
	/* Ours, and not those of everybody below it. */
	make("_clusterd.47");
	put("_clusterd.47", "memory.events", "max 7\noom 2\noom_kill 3\n");
	fd = cgroup_tree_events(&tree, NULL);
	assert_true(fd >= 0);
	assert_true(cgroup_tree_oom_kills(fd, &kills, &own));
	assert_int_equal(kills, 3);
	assert_int_equal(own, 2);
	put("_clusterd.47", "memory.events", "oom 5\noom_kill 4\n");
	assert_true(cgroup_tree_oom_kills(fd, &kills, &own));
	assert_int_equal(kills, 4);
	assert_int_equal(own, 5);
	put("_clusterd.47", "memory.events", "oom 5\n");
	assert_false(cgroup_tree_oom_kills(fd, &kills, &own));
	close(fd);
	empty("_clusterd.47", "memory.events");
	assert_int_equal(cgroup_remove(top, "_clusterd.47"), 0);
	cgroup_tree_end(&tree, 47);
}

static int
begin(void **state)
{
	(void)state;
	return mkdtemp(top) != NULL ? 0 : -1;
}

static int
end(void **state)
{
	(void)state;
	return rmdir(top);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(limits_in_force),
		cmocka_unit_test(limit_that_fails),
		cmocka_unit_test(left_groups),
		cmocka_unit_test(moving_in),
		cmocka_unit_test(events),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
