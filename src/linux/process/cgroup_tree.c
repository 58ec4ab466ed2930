#include <sys/stat.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "core/worker/group_text.h"
#include "linux/file/file.h"
#include "linux/process/cgroup.h"
#include "linux/process/cgroup_tree.h"

#define FILE_MAX (1024 * 1024)

/* At a reload that brings the first limits: each takes the kernel some milliseconds,
   and everybody waits. */
#define MOVED_MAX 64

/* A process of ours may start another one meanwhile. */
#define MOVE_TIMES 3

/* ---- files ---- */

static char *
path_of(const char *dir, const char *group, const char *file)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "%s%s%s%s%s", dir, group != NULL ? "/" : "",
	    group != NULL ? group : "", file != NULL ? "/" : "",
	    file != NULL ? file : "");
	return strbuf_take(&sb);
}

static int
open_file(const char *dir, const char *group, const char *file, int flags)
{
	char *path = path_of(dir, group, file);
	int fd = path != NULL ? open(path, flags | O_CLOEXEC) : -1;
	int code = path == NULL ? -ENOMEM : fd < 0 ? -errno : fd;

	free(path);
	return code;
}

static int
write_file(const char *dir, const char *group, const char *file,
    const char *text)
{
	int fd = open_file(dir, group, file, O_WRONLY);
	int code = 0;

	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		code = -errno;
	fd_close(&fd);
	return code;
}

static int
read_text(const char *dir, const char *file, char **ret_text)
{
	char *path = path_of(dir, NULL, file);
	size_t len;
	int code = path == NULL ? -ENOMEM :
	    file_read(path, FILE_MAX, ret_text, &len, NULL);

	free(path);
	return code;
}

/* ---- where we are ---- */

/* The group that is to have the others in it; the caller frees. */
static int
find_dir(char **ret_dir, bool *ret_is_own, struct error *err)
{
	struct cgroup own;
	size_t above;
	int code = cgroup_own(&own, err);

	if (code < 0)
		return code;
	above = group_above_own(own.dir);
	*ret_is_own = above > 0;
	*ret_dir = strndup(own.dir, above > 0 ? above : strlen(own.dir));
	cgroup_free(&own);
	return *ret_dir != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

static int
check_controllers(const char *dir, unsigned controllers, struct error *err)
{
	char *list;
	int code = read_text(dir, "cgroup.controllers", &list);

	if (code < 0)
		return error_set(err, code, "cannot read %s/"
		    "cgroup.controllers: %s", dir, strerror(-code));
	for (unsigned i = 0; code == 0 && i < GROUP_CONTROLLERS; i++)
		if ((controllers & 1U << i) != 0 &&
		    !group_list_has(list, (enum group_controller)i))
			code = error_set(err, -ENOENT, "the controller %s is "
			    "not in %s/cgroup.controllers",
			    group_controller_name((enum group_controller)i),
			    dir);
	free(list);
	return code;
}

static int
check_delegated(const char *dir, struct error *err)
{
	static const char *const files[] = {
		"cgroup.procs", "cgroup.subtree_control", NULL,
	};
	char *path;

	if (access(dir, W_OK) < 0)
		return error_set(err, -errno, "the control group %s is not "
		    "delegated to clusterd (systemd: Delegate=yes): %s", dir,
		    strerror(errno));
	for (size_t i = 0; files[i] != NULL; i++) {
		path = path_of(dir, NULL, files[i]);
		if (path == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		if (access(path, W_OK) < 0) {
			int code = error_set(err, -errno, "%s is not delegated "
			    "to clusterd (systemd: Delegate=yes): %s", path,
			    strerror(errno));

			free(path);
			return code;
		}
		free(path);
	}
	return 0;
}

int
cgroup_tree_check(unsigned controllers, struct error *err)
{
	bool is_own;
	char *dir;
	int code = find_dir(&dir, &is_own, err);

	if (code < 0)
		return code;
	code = check_controllers(dir, controllers, err);
	if (code == 0)
		code = check_delegated(dir, err);
	free(dir);
	return code;
}

/* ---- into a group of our own ---- */

static pid_t
parent_of(pid_t pid)
{
	char path[64], *text;
	const char *s;
	size_t len;
	long parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, FILE_MAX, &text, &len, NULL) < 0)
		return 0;
	/* PID (NAME) STATE PARENT, where the name may be anything. */
	s = strrchr(text, ')');
	if (s != NULL && strlen(s) > 4)
		parent = strtol(s + 4, NULL, 10);
	free(text);
	return (pid_t)parent;
}

/* A process that dies meanwhile is nobody's. */
static bool
is_ours(pid_t pid, pid_t keeper)
{
	for (int depth = 0; pid > 1 && depth < 64; depth++) {
		if (pid == keeper || pid == getpid())
			return true;
		pid = parent_of(pid);
	}
	return false;
}

static int
move_one(const char *dir, const char *group, pid_t pid)
{
	char digits[16];
	int code;

	snprintf(digits, sizeof(digits), "%d", (int)pid);
	code = write_file(dir, group, "cgroup.procs", digits);
	return code == -ESRCH ? 0 : code;
}

/* All of ours. *ret_others: somebody else is there. */
static int
move_ours(const char *dir, pid_t keeper, size_t *ret_moved, pid_t *ret_other)
{
	char *list, *s, *end;
	int code = read_text(dir, "cgroup.procs", &list);

	if (code < 0)
		return code;
	*ret_moved = 0;
	*ret_other = 0;
	for (s = list; code == 0; s = end) {
		pid_t pid = (pid_t)strtol(s, &end, 10);

		if (end == s)
			break;
		if (!is_ours(pid, keeper)) {
			*ret_other = pid;
			continue;
		}
		if (++*ret_moved > MOVED_MAX)
			code = -E2BIG;
		else
			code = move_one(dir, GROUP_OWN_NAME, pid);
	}
	free(list);
	return code;
}

/* The root may have processes beside groups; it alone has no type. */
static bool
is_root(const char *dir)
{
	char *path = path_of(dir, NULL, "cgroup.type");
	bool is = path != NULL && access(path, F_OK) < 0;

	free(path);
	return is;
}

static int
make_dir(const char *dir, const char *group)
{
	char *path = path_of(dir, group, NULL);
	int code = path == NULL ? -ENOMEM :
	    mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;

	free(path);
	return code;
}

static int
remove_dir(const char *dir, const char *group)
{
	char *path = path_of(dir, group, NULL);
	int code = path == NULL ? -ENOMEM :
	    rmdir(path) < 0 && errno != ENOENT ? -errno : 0;

	free(path);
	return code;
}

static int
move_in(const char *dir, pid_t keeper, struct error *err)
{
	size_t moved = 1;
	pid_t other = 0;
	int code = make_dir(dir, GROUP_OWN_NAME);

	for (int i = 0; code == 0 && moved > 0 && i < MOVE_TIMES; i++)
		code = move_ours(dir, keeper, &moved, &other);
	if (code == -E2BIG)
		return error_set(err, -EBUSY, "more than %d processes of "
		    "clusterd's are in %s: limits take a new start of clusterd",
		    MOVED_MAX, dir);
	if (code < 0)
		return error_set(err, code, "cannot move clusterd into a "
		    "control group of its own, %s/%s: %s", dir, GROUP_OWN_NAME,
		    strerror(-code));
	if (other != 0 && !is_root(dir))
		return error_set(err, -EBUSY, "process %d, which is not "
		    "clusterd's, is in the same control group, %s: limits take "
		    "one for clusterd alone (systemd: a service with "
		    "Delegate=yes, or systemd-run --scope -p Delegate=yes)",
		    (int)other, dir);
	return 0;
}

static int
enable(const char *dir, unsigned controllers, struct error *err)
{
	for (unsigned i = 0; i < GROUP_CONTROLLERS; i++) {
		const char *name = group_controller_name(
		    (enum group_controller)i);
		char word[32];
		int code;

		if ((controllers & 1U << i) == 0)
			continue;
		snprintf(word, sizeof(word), "+%s", name);
		code = write_file(dir, NULL, "cgroup.subtree_control", word);
		if (code < 0)
			return error_set(err, code, "cannot have the "
			    "controller %s for control groups in %s: %s", name,
			    dir, strerror(-code));
	}
	return 0;
}

static int
move_back(const char *dir, pid_t keeper)
{
	int code = 0;

	if (keeper != getpid())
		code = move_one(dir, NULL, keeper);
	if (code == 0)
		code = move_one(dir, NULL, getpid());
	return code;
}

static void
leave(const char *dir, pid_t keeper)
{
	/* Where there are processes, nothing was enabled before. */
	for (unsigned i = 0; !is_root(dir) && i < GROUP_CONTROLLERS; i++) {
		char word[32];

		snprintf(word, sizeof(word), "-%s", group_controller_name(
		    (enum group_controller)i));
		(void)write_file(dir, NULL, "cgroup.subtree_control", word);
	}
	if (move_back(dir, keeper) == 0)
		(void)remove_dir(dir, GROUP_OWN_NAME);
}

static int
begin_tree(struct cgroup_tree *tree, unsigned controllers, pid_t keeper,
    struct error *err)
{
	bool is_own;
	char *dir;
	int code = find_dir(&dir, &is_own, err);

	if (code < 0)
		return code;
	if (controllers == 0 && !is_own) {
		free(dir);
		return 0;
	}
	code = check_controllers(dir, controllers, err);
	if (code == 0)
		code = check_delegated(dir, err);
	if (code == 0 && !is_own)
		code = move_in(dir, keeper, err);
	if (code == 0)
		code = enable(dir, controllers, err);
	if (code < 0) {
		if (!is_own)
			leave(dir, keeper);
		free(dir);
		return code;
	}
	tree->dir = dir;
	cgroup_tree_sweep(tree);
	return 0;
}

int
cgroup_tree_begin(struct cgroup_tree *tree, unsigned controllers, pid_t keeper,
    struct error *err)
{
	int code = 0;

	if (tree->dir != NULL && (controllers & ~tree->controllers) == 0)
		return 0;
	if (tree->dir == NULL) {
		code = begin_tree(tree, controllers, keeper, err);
	} else {
		code = check_controllers(tree->dir, controllers, err);
		if (code == 0)
			code = enable(tree->dir, controllers, err);
	}
	if (code == 0)
		tree->controllers |= controllers;
	return code;
}

/* ---- groups of workers ---- */

static int
set_limits(const struct cgroup_tree *tree, const char *name,
    const struct conf_app *app, struct error *err)
{
	const unsigned controllers = group_controllers(app);
	int code = 0;

	for (unsigned i = 0; code == 0 && i < GROUP_CONTROLLERS; i++) {
		enum group_controller which = (enum group_controller)i;
		struct strbuf value = STRBUF_INIT;

		if ((controllers & 1U << i) == 0)
			continue;
		group_limit_value(&value, app, which);
		code = value.failed ? -ENOMEM : write_file(tree->dir, name,
		    group_limit_file(which), value.text);
		if (code < 0)
			error_set(err, code, "cannot set %s: %s/%s/%s: %s",
			    group_limit_key(which), tree->dir, name,
			    group_limit_file(which), strerror(-code));
		strbuf_free(&value);
	}
	return code;
}

int
cgroup_tree_make(struct cgroup_tree *tree, const char *name,
    const struct conf_app *app, int *ret_procs, struct error *err)
{
	int code;

	assert(tree->dir != NULL);
	if (tree->left)
		cgroup_tree_sweep(tree);
	code = make_dir(tree->dir, name);
	if (code < 0)
		return error_set(err, code, "cannot make the control group "
		    "%s/%s: %s", tree->dir, name, strerror(-code));
	code = set_limits(tree, name, app, err);
	if (code == 0) {
		code = open_file(tree->dir, name, "cgroup.procs", O_WRONLY);
		if (code < 0)
			error_set(err, code, "cannot open the control group "
			    "%s/%s: %s", tree->dir, name, strerror(-code));
	}
	if (code < 0) {
		cgroup_tree_remove(tree, name);
		return code;
	}
	*ret_procs = code;
	return 0;
}

void
cgroup_tree_remove(struct cgroup_tree *tree, const char *name)
{
	if (tree->dir != NULL && remove_dir(tree->dir, name) < 0)
		tree->left = true;
}

void
cgroup_tree_sweep(struct cgroup_tree *tree)
{
	DIR *groups = tree->dir != NULL ? opendir(tree->dir) : NULL;
	const struct dirent *entry;

	if (groups == NULL)
		return;
	tree->left = false;
	while ((entry = readdir(groups)) != NULL)
		if (entry->d_type == DT_DIR && group_is_name(entry->d_name))
			cgroup_tree_remove(tree, entry->d_name);
	(void)closedir(groups);
}

void
cgroup_tree_end(struct cgroup_tree *tree, pid_t keeper)
{
	if (tree->dir != NULL) {
		cgroup_tree_sweep(tree);
		if (!tree->left)
			leave(tree->dir, keeper);
	}
	free(tree->dir);
	*tree = (struct cgroup_tree)CGROUP_TREE_INIT;
}

/* ---- what the OOM killer has done ---- */

int
cgroup_tree_events(const struct cgroup_tree *tree, const char *name)
{
	bool is_own;
	char *dir;
	int code;

	if (tree->dir != NULL)
		return open_file(tree->dir, name, "memory.events", O_RDONLY);
	code = find_dir(&dir, &is_own, NULL);
	if (code < 0)
		return code;
	code = open_file(dir, name, "memory.events", O_RDONLY);
	free(dir);
	return code;
}

bool
cgroup_tree_oom_kills(int events, uint64_t *ret_n)
{
	char text[512];
	ssize_t n = pread(events, text, sizeof(text) - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	return group_event(text, "oom_kill", ret_n);
}
