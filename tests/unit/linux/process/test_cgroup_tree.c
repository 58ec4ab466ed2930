/*
 * Of a directory that stands in for a control group: what the kernel does there at
 * mkdir, rmdir and write is done by the functions before those below. It may kill who
 * asks for it in the middle.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/worker/group_text.h"
#include "linux/process/cgroup.h"
#include "linux/process/cgroup_files.h"
#include "linux/process/cgroup_move.h"
#include "linux/process/cgroup_tree.h"
#include "linux/process/process.h"

int __wrap_mkdir(const char *path, mode_t mode);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_rmdir(const char *path);
int __real_rmdir(const char *path);
ssize_t __wrap_write(int fd, const void *bytes, size_t len);
ssize_t __real_write(int fd, const void *bytes, size_t len);
int __wrap_cgroup_own(struct cgroup *ret_cgroup, struct error *err);
bool __wrap_cgroup_may_be_delegated(const char *dir);

#define FEW		(1U << GROUP_MEMORY | 1U << GROUP_TASKS)
#define WEB_0_1		"web.0.00000000000000a1.1"
#define WEB_0_2		"web.0.00000000000000a1.2"
#define SPAWNED_MAX	100

static char top[] = "/tmp/clusterd-cgroup-XXXXXX";
static char own[GROUP_NAME_MAX];	/* of us, as a keeper */

/* ---- files ---- */

static const char *
in(const char *group, const char *file)
{
	static char path[4][512];
	static unsigned turn;
	char *at = path[turn++ % 4];

	(void)snprintf(at, sizeof(path[0]), "%s%s%s%s%s", top,
	    group[0] != '\0' ? "/" : "", group, file[0] != '\0' ? "/" : "",
	    file);
	return at;
}

static void
put_path(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(__real_write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
put(const char *group, const char *file, const char *text)
{
	put_path(in(group, file), text);
}

static char *
text_of(const char *path)
{
	static char got[4][2048];
	static unsigned turn;
	char *at = got[turn++ % 4];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, at, sizeof(got[0]) - 1) : -1;

	at[n > 0 ? n : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return at;
}

static void
holds(const char *group, const char *file, const char *text)
{
	assert_string_equal(text_of(in(group, file)), text);
}

static bool
is_there(const char *group)
{
	return access(in(group, ""), F_OK) == 0;
}

static bool
has(const char *group, pid_t pid)
{
	char *s = text_of(in(group, "cgroup.procs")), *end;

	for (;; s = end) {
		long one = strtol(s, &end, 10);

		if (end == s)
			return false;
		if (one == pid)
			return true;
	}
}

static bool
is_empty(const char *group)
{
	return text_of(in(group, "cgroup.procs"))[0] == '\0';
}

static void
add(const char *group, pid_t pid)
{
	char text[2048];

	snprintf(text, sizeof(text), "%s%d\n",
	    text_of(in(group, "cgroup.procs")), (int)pid);
	put(group, "cgroup.procs", text);
}

static void
take_out(const char *path, pid_t pid)
{
	char text[2048] = "", *s = text_of(path), *end;
	size_t len = 0;

	for (;; s = end) {
		long one = strtol(s, &end, 10);

		if (end == s)
			break;
		if (one != pid)
			len += (size_t)snprintf(text + len,
			    sizeof(text) - len, "%ld\n", one);
	}
	put_path(path, text);
}

/* ---- the kernel ---- */

static const char *const files[] = {
	"cgroup.procs", "cgroup.type", "cgroup.subtree_control",
	"cgroup.controllers", "memory.max", "cpu.max", "pids.max",
	"memory.events",
};
#define N_FILES (sizeof(files) / sizeof(*files))

static struct {
	int steps;		/* that have been taken … */
	int last;		/* … of which whoever takes this one is killed */
	pid_t stuck;		/* cannot be moved away from here */
	int refused;		/* every mkdir, with that; 0: none */
	pid_t joins;		/* somebody who comes while one is moved */
	pid_t gone;		/* somebody who dies then */
	int rmdirs;
} kernel;

static void
step(void)
{
	if (++kernel.steps == kernel.last)
		_exit(9);
}

static bool
is_stand_in(const char *path)
{
	return strncmp(path, top, strlen(top)) == 0;
}

int
__wrap_mkdir(const char *path, mode_t mode)
{
	char file[600];

	if (!is_stand_in(path))
		return __real_mkdir(path, mode);
	step();
	if (kernel.refused != 0) {
		errno = kernel.refused;
		return -1;
	}
	if (__real_mkdir(path, mode) < 0)
		return -1;
	for (size_t i = 0; i < N_FILES; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, files[i]);
		put_path(file, "");
	}
	return 0;
}

int
__wrap_rmdir(const char *path)
{
	char file[600];

	if (!is_stand_in(path))
		return __real_rmdir(path);
	kernel.rmdirs++;
	step();
	snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	if (text_of(file)[0] != '\0') {
		errno = EBUSY;
		return -1;
	}
	for (size_t i = 0; i < N_FILES; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, files[i]);
		(void)unlink(file);
	}
	return __real_rmdir(path);
}

static bool
is_root(void)
{
	return access(in("", "cgroup.type"), F_OK) < 0;
}

static int
move(const char *path, pid_t pid)
{
	char from[600];
	bool to_top = strcmp(path, in("", "cgroup.procs")) == 0;

	if (pid == kernel.stuck && !to_top)
		return EINVAL;
	if (to_top && !is_root() &&
	    text_of(in("", "cgroup.subtree_control"))[0] != '\0')
		return EBUSY;
	take_out(in("", "cgroup.procs"), pid);
	if (kernel.gone != 0)
		take_out(in("", "cgroup.procs"), kernel.gone);
	snprintf(from, sizeof(from), "%s", in(own, "cgroup.procs"));
	if (access(from, F_OK) == 0)
		take_out(from, pid);
	if (to_top)
		add("", pid);
	else
		add(own, pid);
	if (kernel.joins != 0 && !to_top) {
		add("", kernel.joins);
		kernel.joins = 0;
	}
	return 0;
}

/* "+memory" and so on: in one list, each once. */
static int
control(const char *path, const char *word)
{
	char text[256] = "", one[32];
	const char *s = text_of(path);
	size_t len = 0;
	int n;

	if (word[0] == '+' && !is_root() && !is_empty(""))
		return EBUSY;
	for (; sscanf(s, "%31s%n", one, &n) == 1; s += n)
		if (strcmp(one, word + 1) != 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
			    "%s ", one);
	if (word[0] == '+')
		(void)snprintf(text + len, sizeof(text) - len, "%s ",
		    word + 1);
	put_path(path, text);
	return 0;
}

ssize_t
__wrap_write(int fd, const void *bytes, size_t len)
{
	char link[64], path[600], word[64];
	const char *name;
	ssize_t n;
	int code;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	name = strrchr(path, '/');
	if (!is_stand_in(path) || (strcmp(name, "/cgroup.procs") != 0 &&
	    strcmp(name, "/cgroup.subtree_control") != 0))
		return __real_write(fd, bytes, len);
	step();
	assert_true(len < sizeof(word));
	memcpy(word, bytes, len);
	word[len] = '\0';
	code = strcmp(name, "/cgroup.procs") == 0 ?
	    move(path, (pid_t)strtol(word, NULL, 10)) : control(path, word);
	if (code == 0)
		return (ssize_t)len;
	errno = code;
	return -1;
}

int
__wrap_cgroup_own(struct cgroup *ret_cgroup, struct error *err)
{
	const char *dir = in(has("", getpid()) ? "" : own, "");

	(void)err;
	*ret_cgroup = (struct cgroup){
		.path = strdup(dir + strlen(top)), .dir = strdup(dir),
	};
	return 0;
}

bool
__wrap_cgroup_may_be_delegated(const char *dir)
{
	return is_stand_in(dir);
}

/* ---- processes ---- */

static pid_t spawned[SPAWNED_MAX];
static int n_spawned;

static pid_t
spawn_one(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0 && n_spawned < SPAWNED_MAX);
	if (pid == 0) {
		pause();
		_exit(1);
	}
	spawned[n_spawned++] = pid;
	return pid;
}

static int
begin(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	group_own_name(own, getpid(), process_start(getpid()));
	put("", "cgroup.procs", "");
	put("", "cgroup.type", "domain\n");
	put("", "cgroup.controllers", "cpuset memory pids\n");
	put("", "cgroup.subtree_control", "");
	add("", getpid());
	return 0;
}

static int
end(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	for (; n_spawned > 0; n_spawned--) {
		kill(spawned[n_spawned - 1], SIGKILL);
		waitpid(spawned[n_spawned - 1], NULL, 0);
	}
	for (size_t i = 0; i < N_FILES; i++)
		(void)unlink(in("", files[i]));
	return 0;
}

/* As it was before. */
static void
nothing_has_changed(void)
{
	assert_true(has("", getpid()));
	for (int i = 0; i < n_spawned; i++)
		assert_true(has("", spawned[i]));
	assert_false(is_there(own));
	holds("", "cgroup.subtree_control", "");
}

static void
all_are_in(void)
{
	assert_true(is_empty(""));
	assert_true(has(own, getpid()));
	for (int i = 0; i < n_spawned; i++)
		assert_true(has(own, spawned[i]));
	holds("", "cgroup.subtree_control", "memory pids ");
}

static int
begin_tree(struct cgroup_tree *tree, unsigned controllers, struct error *err)
{
	return cgroup_tree_begin(tree, controllers, getpid(), err);
}

static const struct conf_app limited = {
	.memory_limit = 1 << 20, .cpu_limit = 500, .tasks_limit = -1,
};

/* ---- groups of workers ---- */

/* Only the limits whose controllers are there. */
static void
limits_in_force(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	struct error err = ERROR_INIT;
	int procs = -1;

	(void)state;
	assert_int_equal(begin_tree(&tree, FEW | 1U << GROUP_CPU, &err),
	    -ENOENT);
	assert_non_null(strstr(error_text(&err), "the controller cpu is not "
	    "in "));
	error_clear(&err);
	assert_int_equal(tree.controllers, FEW);
	all_are_in();
	assert_int_equal(cgroup_tree_make(&tree, WEB_0_1, &limited, &procs,
	    NULL), 0);
	assert_true(procs >= 0);
	close(procs);
	holds(WEB_0_1, "memory.max", "1048576");
	holds(WEB_0_1, "cpu.max", "");
	cgroup_tree_end(&tree);
	assert_false(is_there(WEB_0_1));
	nothing_has_changed();
}

/* One of that name is somebody's, who keeps his limits. */
static void
group_that_is_there(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	struct error err = ERROR_INIT;
	int procs = -1;

	(void)state;
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	assert_int_equal(mkdir(in(WEB_0_1, ""), 0700), 0);
	put(WEB_0_1, "memory.max", "4711");
	add(WEB_0_1, 1);
	assert_int_equal(cgroup_tree_make(&tree, WEB_0_1, &limited, &procs,
	    &err), -EEXIST);
	assert_non_null(strstr(error_text(&err), "cannot make the control "
	    "group "));
	error_clear(&err);
	assert_int_equal(procs, -1);
	holds(WEB_0_1, "memory.max", "4711");
	put(WEB_0_1, "cgroup.procs", "");
	cgroup_tree_end(&tree);
	nothing_has_changed();
}

/* A limit that the kernel does not take: no group of it stays. */
static void
limit_that_fails(void **state)
{
	struct cgroup_tree tree = {
		.dir = strdup("/proc/self"), .own = strdup("none"),
		.controllers = 1U << GROUP_CPU,
	};
	struct error err = ERROR_INIT;
	int procs = -1;

	(void)state;
	assert_true(cgroup_tree_make(&tree, WEB_0_2, &limited, &procs, &err) <
	    0);
	assert_non_null(strstr(error_text(&err), "cannot make the control "
	    "group /proc/self/" WEB_0_2));
	error_clear(&err);
	free(tree.dir);
	tree.dir = strdup(top);
	put("", "cgroup.procs", "");
	kernel.refused = EAGAIN;
	assert_int_equal(cgroup_tree_make(&tree, WEB_0_2, &limited, &procs,
	    NULL), -EAGAIN);
	assert_int_equal(procs, -1);
	assert_false(is_there(WEB_0_2));
	cgroup_tree_end(&tree);
}

/* Somebody is in it still: it is removed later, a few at a time, none twice. */
static void
left_groups(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	char name[GROUP_NAME_MAX], seventh[GROUP_NAME_MAX];

	(void)state;
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	for (unsigned i = 0; i < 40; i++) {
		group_name(name, "web", i, 0xa1, 1);
		assert_int_equal(mkdir(in(name, ""), 0700), 0);
		add(name, 1);
		cgroup_tree_remove(&tree, name);
		assert_true(is_there(name));
		kernel.rmdirs = 0;
		cgroup_tree_sweep(&tree);
		assert_int_equal(kernel.rmdirs, i < 16 ? i + 1 : 16);
	}
	assert_int_equal(tree.left.n, 40);
	/* One that a worker is found in is none of them. */
	group_name(seventh, "web", 7, 0xa1, 1);
	assert_true(cgroup_tree_has(&tree, seventh));
	assert_false(cgroup_tree_has(&tree, WEB_0_2));
	assert_int_equal(tree.left.n, 39);
	for (unsigned i = 0; i < 40; i++) {
		group_name(name, "web", i, 0xa1, 1);
		put(name, "cgroup.procs", "");
	}
	for (int i = 0; i < 3; i++)
		cgroup_tree_sweep(&tree);
	assert_int_equal(tree.left.n, 0);
	assert_true(is_there(seventh));
	/* The end finds it, and leaves what is none of ours. */
	assert_int_equal(mkdir(in("other", ""), 0700), 0);
	cgroup_tree_end(&tree);
	assert_false(is_there(seventh));
	assert_true(is_there("other"));
	assert_int_equal(rmdir(in("other", "")), 0);
	nothing_has_changed();
}

/* Whoever is left holds up nothing: our group goes back to those who have given it
   to us as it was, with all that are in it. */
static void
end_with_somebody_left(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;

	(void)state;
	add("", spawn_one());
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	(void)spawn_one();
	add(own, spawned[1]);
	assert_int_equal(mkdir(in(WEB_0_1, ""), 0700), 0);
	add(WEB_0_1, 1);
	cgroup_tree_end(&tree);
	nothing_has_changed();
	assert_true(is_there(WEB_0_1));
	assert_null(tree.dir);
	/* Another one that begins collects it. */
	put(WEB_0_1, "cgroup.procs", "");
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	assert_false(is_there(WEB_0_1));
	cgroup_tree_end(&tree);
	nothing_has_changed();
}

/* ---- moving ---- */

static void
moving_in(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;

	(void)state;
	for (int i = 0; i < 5; i++)
		add("", spawn_one());
	/* Dead when it is looked at, it is no stranger. */
	add("", INT_MAX);
	kernel.gone = INT_MAX;
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	all_are_in();
	cgroup_tree_end(&tree);
	nothing_has_changed();
}

/* Nobody is moved then. */
static void
strangers(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	struct error err = ERROR_INIT;
	char words[512];

	(void)state;
	add("", spawn_one());
	add("", getppid());
	assert_int_equal(begin_tree(&tree, FEW, &err), -EBUSY);
	snprintf(words, sizeof(words), "process %d, which is not clusterd's, "
	    "is in the same control group, %s: ", (int)getppid(), top);
	assert_int_equal(strncmp(error_text(&err), words, strlen(words)), 0);
	error_clear(&err);
	assert_null(tree.dir);
	assert_int_equal(kernel.steps, 0);
	nothing_has_changed();
	/* Of another pid namespace: it has no number here. */
	take_out(in("", "cgroup.procs"), getppid());
	add("", 0);
	assert_int_equal(begin_tree(&tree, FEW, &err), -EBUSY);
	assert_int_equal(strncmp(error_text(&err), "a process of another pid "
	    "namespace is in", 40), 0);
	error_clear(&err);
	assert_int_equal(kernel.steps, 0);
	nothing_has_changed();
	/* In the root group others may be. */
	assert_int_equal(unlink(in("", "cgroup.type")), 0);
	add("", getppid());
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	assert_true(has("", getppid()));
	assert_true(has(own, getpid()));
	assert_true(has(own, spawned[0]));
	cgroup_tree_end(&tree);
	assert_true(has("", getpid()));
	assert_true(has("", spawned[0]));
	assert_false(is_there(own));
}

static void
too_many(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 63; i++)
		add("", spawn_one());
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	all_are_in();
	cgroup_tree_end(&tree);
	nothing_has_changed();
	add("", spawn_one());
	kernel.steps = 0;
	assert_int_equal(begin_tree(&tree, FEW, &err), -EBUSY);
	assert_int_equal(strncmp(error_text(&err), "more than 64 processes of "
	    "clusterd's are in ", 44), 0);
	error_clear(&err);
	assert_int_equal(kernel.steps, 0);
	nothing_has_changed();
}

/* Those that were moved already go back. */
static void
one_that_cannot_be_moved(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	struct error err = ERROR_INIT;

	(void)state;
	for (int i = 0; i < 3; i++)
		add("", spawn_one());
	kernel.stuck = spawned[1];
	assert_int_equal(begin_tree(&tree, FEW, &err), -EINVAL);
	assert_int_equal(strncmp(error_text(&err), "cannot move clusterd into "
	    "a control group of its own, ", 50), 0);
	error_clear(&err);
	assert_null(tree.dir);
	nothing_has_changed();
	/* And when somebody else comes meanwhile. */
	kernel.stuck = 0;
	kernel.joins = getppid();
	assert_int_equal(begin_tree(&tree, FEW, NULL), -EBUSY);
	nothing_has_changed();
	/* Or no group can be made. */
	take_out(in("", "cgroup.procs"), getppid());
	kernel.refused = EAGAIN;
	assert_int_equal(begin_tree(&tree, FEW, NULL), -EAGAIN);
	nothing_has_changed();
}

/* ---- other clusterds ---- */

static void
another_one(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	struct error err = ERROR_INIT;
	char name[GROUP_NAME_MAX];
	pid_t pid = spawn_one();

	(void)state;
	add("", pid);
	group_own_name(name, pid, process_start(pid));
	assert_int_equal(mkdir(in(name, ""), 0700), 0);
	assert_int_equal(begin_tree(&tree, FEW, &err), -EBUSY);
	assert_int_equal(strncmp(error_text(&err), "another clusterd is in ",
	    23), 0);
	error_clear(&err);
	nothing_has_changed();
	/* It is not there any more, but somebody of it is. */
	add(name, 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	take_out(in("", "cgroup.procs"), pid);
	n_spawned = 0;
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	all_are_in();
	assert_true(is_there(name));
	put(name, "cgroup.procs", "");
	cgroup_tree_sweep(&tree);
	assert_false(is_there(name));
	cgroup_tree_end(&tree);
	nothing_has_changed();
}

/* Its pid is another one's by now. */
static void
another_ones_pid(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	char name[GROUP_NAME_MAX];

	(void)state;
	group_own_name(name, getpid(), process_start(getpid()) + 1);
	assert_int_equal(mkdir(in(name, ""), 0700), 0);
	add(name, 1);
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	all_are_in();
	put(name, "cgroup.procs", "");
	cgroup_tree_end(&tree);
	assert_false(is_there(name));
	nothing_has_changed();
}

/* ---- killed in the middle ---- */

/* A supervisor, whose keeper we are, that begins, and ends if that is so; true: it
   was killed at that step. */
static bool
die_at(int last, bool ends)
{
	pid_t keeper = getpid(), pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		struct cgroup_tree tree = CGROUP_TREE_INIT;

		add("", getpid());
		kernel.steps = 0;
		kernel.last = ends ? 0 : last;
		if (cgroup_tree_begin(&tree, FEW, keeper, NULL) < 0)
			_exit(1);
		kernel.steps = 0;
		kernel.last = last;
		if (ends)
			cgroup_tree_end(&tree);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 9 || WEXITSTATUS(status) == 0);
	take_out(in("", "cgroup.procs"), pid);
	if (is_there(own))
		take_out(in(own, "cgroup.procs"), pid);
	return WEXITSTATUS(status) == 9;
}

/* The kernel tells of them in the order in which they have come. */
static void
come_last(void)
{
	take_out(in("", "cgroup.procs"), getpid());
	add("", getpid());
}

/* The next one finishes it, or undoes it where it wants no limits any more. */
static void
killed_at_every_step(bool ends, bool keeper_last)
{
	bool died = true;
	int step;

	for (int i = 0; i < 3; i++)
		add("", spawn_one());
	for (step = 1; died; step++) {
		struct cgroup_tree tree = CGROUP_TREE_INIT;

		if (keeper_last)
			come_last();
		died = die_at(step, ends);
		assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
		all_are_in();
		cgroup_tree_end(&tree);
		nothing_has_changed();

		if (keeper_last)
			come_last();
		(void)die_at(step, ends);
		assert_int_equal(begin_tree(&tree, 0, NULL), 0);
		/* If all was done, there may be workers with limits. */
		if (tree.dir != NULL)
			assert_true(is_empty(""));
		else
			nothing_has_changed();
		cgroup_tree_end(&tree);
		nothing_has_changed();
	}
	/* A group, five who are moved, two controllers; at the end these and one
	   that there is not, five who are moved, and the group. */
	assert_true(step > 8);
}

static void
killed_while_it_moves(void **state)
{
	(void)state;
	killed_at_every_step(false, false);
}

static void
killed_at_the_end(void **state)
{
	(void)state;
	killed_at_every_step(true, false);
}

static void
killed_before_the_keeper_moves(void **state)
{
	(void)state;
	killed_at_every_step(false, true);
}

/* Somebody else has come there since: it is undone. */
static void
killed_and_not_to_be_finished(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;

	(void)state;
	for (int i = 0; i < 3; i++)
		add("", spawn_one());
	for (int step = 1; step < 8; step++) {
		assert_true(die_at(step, false));
		add("", getppid());
		assert_int_equal(begin_tree(&tree, FEW, NULL), -EBUSY);
		take_out(in("", "cgroup.procs"), getppid());
		nothing_has_changed();
	}
}

/* ---- the OOM killer ---- */

static void
events(void **state)
{
	struct cgroup_tree tree = CGROUP_TREE_INIT;
	uint64_t kills, at_own;
	bool ours;
	int fd;

	(void)state;
	assert_int_equal(cgroup_tree_events(&tree, WEB_0_1), -ENOENT);
	/* Before we have one, it is others' affair. */
	put("", "memory.events", "oom 1\noom_kill 1\n");
	fd = cgroup_tree_events_of_us(&tree, &ours);
	assert_true(fd >= 0);
	assert_false(ours);
	close(fd);
	assert_int_equal(begin_tree(&tree, 1U << GROUP_TASKS, NULL), 0);
	fd = cgroup_tree_events_of_us(&tree, &ours);
	assert_true(fd >= 0);
	assert_false(ours);
	close(fd);
	assert_int_equal(begin_tree(&tree, FEW, NULL), 0);
	assert_int_equal(cgroup_tree_events(&tree, WEB_0_1), -ENOENT);
	/* Ours, and not those of everybody below it. */
	put(own, "memory.events", "max 7\noom 2\noom_kill 3\n");
	fd = cgroup_tree_events_of_us(&tree, &ours);
	assert_true(fd >= 0);
	assert_true(ours);
	assert_true(cgroup_tree_oom_kills(fd, &kills, &at_own));
	assert_int_equal(kills, 3);
	assert_int_equal(at_own, 2);
	put(own, "memory.events", "oom 5\noom_kill 4\n");
	assert_true(cgroup_tree_oom_kills(fd, &kills, &at_own));
	assert_int_equal(kills, 4);
	assert_int_equal(at_own, 5);
	put(own, "memory.events", "oom 5\n");
	assert_false(cgroup_tree_oom_kills(fd, &kills, &at_own));
	close(fd);
	cgroup_tree_end(&tree);
	nothing_has_changed();
}

static int
begin_all(void **state)
{
	(void)state;
	return mkdtemp(top) != NULL ? 0 : -1;
}

static int
end_all(void **state)
{
	(void)state;
	return __real_rmdir(top);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(limits_in_force),
		TEST(group_that_is_there),
		TEST(limit_that_fails),
		TEST(left_groups),
		TEST(end_with_somebody_left),
		TEST(moving_in),
		TEST(strangers),
		TEST(too_many),
		TEST(one_that_cannot_be_moved),
		TEST(another_one),
		TEST(another_ones_pid),
		TEST(killed_while_it_moves),
		TEST(killed_before_the_keeper_moves),
		TEST(killed_at_the_end),
		TEST(killed_and_not_to_be_finished),
		TEST(events),
	};

	return cmocka_run_group_tests(tests, begin_all, end_all);
}
