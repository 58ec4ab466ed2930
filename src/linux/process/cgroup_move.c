#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "linux/file/file.h"
#include "linux/process/cgroup_files.h"
#include "linux/process/cgroup_move.h"

#define STAT_MAX 4096

/* At a reload that brings the first limits, while everybody waits. */
#define MOVED_MAX 64

/* A process of ours may start another one meanwhile. */
#define MOVE_TIMES 3

static pid_t
parent_of(pid_t pid)
{
	char path[64], *text;
	const char *s;
	size_t len;
	long parent = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (file_read(path, STAT_MAX, &text, &len, NULL) < 0)
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
	for (int depth = 0; pid > 0 && depth < 64; depth++) {
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
	code = cgroup_file_write(dir, group, "cgroup.procs", digits);
	return code == -ESRCH ? 0 : code;
}

/* Of those in the group. *ret_other: somebody else is there; else 0. */
static int
move_ours(const char *dir, const char *own, pid_t keeper, size_t *ret_moved,
    pid_t *ret_other)
{
	char *list, *s, *end;
	int code = cgroup_file_read(dir, "cgroup.procs", &list);

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
			code = move_one(dir, own, pid);
	}
	free(list);
	return code;
}

int
cgroup_move_in(const char *dir, const char *own, pid_t keeper,
    struct error *err)
{
	size_t moved = 1;
	pid_t other = 0;
	int code = cgroup_make(dir, own);

	for (int i = 0; code == 0 && moved > 0 && i < MOVE_TIMES; i++)
		code = move_ours(dir, own, keeper, &moved, &other);
	if (code == -E2BIG)
		return error_set(err, -EBUSY, "more than %d processes of "
		    "clusterd's are in %s: limits take a new start of clusterd",
		    MOVED_MAX, dir);
	if (code < 0)
		return error_set(err, code, "cannot move clusterd into a "
		    "control group of its own, %s/%s: %s", dir, own,
		    strerror(-code));
	if (other != 0 && !cgroup_is_root(dir))
		return error_set(err, -EBUSY, "process %d, which is not "
		    "clusterd's, is in the same control group, %s: limits take "
		    "one for clusterd alone (systemd: a service with "
		    "Delegate=yes, or systemd-run --scope -p Delegate=yes)",
		    (int)other, dir);
	return 0;
}

void
cgroup_move_back(const char *dir, const char *own, pid_t keeper)
{
	int code = 0;

	if (keeper != getpid())
		code = move_one(dir, NULL, keeper);
	if (code == 0)
		code = move_one(dir, NULL, getpid());
	if (code == 0)
		(void)cgroup_remove(dir, own);
}
