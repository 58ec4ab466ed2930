#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "linux/process/cgroup_files.h"
#include "linux/process/cgroup_move.h"
#include "linux/process/process.h"

/* At a reload that brings the first limits, while everybody waits. */
#define MOVED_MAX 64

/* A process of ours may start another one meanwhile. */
#define MOVE_TIMES 3

/* Of parents above one another. */
#define DEPTH_MAX 64

/* -1: it is not there, or cannot be looked at. */
static pid_t
parent_of(pid_t pid)
{
	struct process_stat stat;

	return process_stat(pid, &stat) ? stat.parent : -1;
}

enum whose { OURS, OTHERS, GONE };

static enum whose
whose_is(pid_t pid, pid_t keeper)
{
	pid_t p = pid, above;

	/* With a parent that dies meanwhile it has another one. */
	for (int i = 0, gone = 0; i < DEPTH_MAX && gone < 3; i++) {
		if (p == keeper || p == getpid())
			return OURS;
		above = parent_of(p);
		if (above < 0 && p == pid)
			return pid > 0 && kill(pid, 0) < 0 && errno == ESRCH ?
			    GONE : OTHERS;
		if (above == 0)
			break;
		if (above < 0)
			gone++;
		p = above < 0 ? pid : above;
	}
	return OTHERS;
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

struct members {
	pid_t ours[MOVED_MAX + 1];	/* those, or the first of more */
	size_t n;
	bool others;	/* somebody else is there, … */
	pid_t other;	/* … such as that; 0: of another pid namespace */
};

/* The next of a list; false: that was all. */
static bool
next_pid(char **list, pid_t *ret_pid)
{
	char *end;
	long pid = strtol(*list, &end, 10);

	if (end == *list)
		return false;
	*list = end;
	*ret_pid = (pid_t)pid;
	return true;
}

static int
look(const char *dir, pid_t keeper, struct members *ret_members)
{
	struct members m = { .n = 0 };
	char *list, *s;
	pid_t pid;
	int code = cgroup_file_read(dir, "cgroup.procs", &list);

	if (code < 0)
		return code;
	for (s = list; m.n <= MOVED_MAX && next_pid(&s, &pid);) {
		enum whose whose = whose_is(pid, keeper);

		if (whose == OURS) {
			m.ours[m.n++] = pid;
		} else if (whose == OTHERS) {
			m.others = true;
			m.other = pid;
		}
	}
	free(list);
	*ret_members = m;
	return 0;
}

static int
refuse_other(const char *dir, const struct members *m, struct error *err)
{
	char who[64] = "a process of another pid namespace";

	if (m->other != 0)
		snprintf(who, sizeof(who), "process %d, which is not "
		    "clusterd's,", (int)m->other);
	return error_set(err, -EBUSY, "%s is in the same control group, %s: "
	    "limits take one for clusterd alone (systemd: a service with "
	    "Delegate=yes, or systemd-run --scope -p Delegate=yes)", who, dir);
}

/* May those be moved? */
static int
check(const char *dir, const struct members *m, struct error *err)
{
	if (m->others && !cgroup_is_root(dir))
		return refuse_other(dir, m, err);
	if (m->n > MOVED_MAX)
		return error_set(err, -EBUSY, "more than %d processes of "
		    "clusterd's are in %s: limits take a new start of clusterd",
		    MOVED_MAX, dir);
	return 0;
}

static int
refuse_move(const char *dir, const char *own, int code, struct error *err)
{
	return error_set(err, code, "cannot move clusterd into a control "
	    "group of its own, %s/%s: %s", dir, own, strerror(-code));
}

/* Until none of ours is left there. */
static int
move_all(const char *dir, const char *own, pid_t keeper, struct members *m,
    struct error *err)
{
	for (int i = 0; m->n > 0; i++) {
		int code = i < MOVE_TIMES ? 0 : -EAGAIN;

		for (size_t k = 0; code == 0 && k < m->n; k++)
			code = move_one(dir, own, m->ours[k]);
		if (code == 0)
			code = look(dir, keeper, m);
		if (code < 0)
			return refuse_move(dir, own, code, err);
		code = check(dir, m, err);
		if (code < 0)
			return code;
	}
	return 0;
}

int
cgroup_move_in(const char *dir, const char *own, pid_t keeper,
    struct error *err)
{
	struct members m;
	int code = look(dir, keeper, &m), made;

	if (code < 0)
		code = refuse_move(dir, own, code, err);
	else
		code = check(dir, &m, err);
	if (code == 0) {
		/* By its name it is ours, and nobody else's. */
		made = cgroup_make(dir, own);
		code = made < 0 && made != -EEXIST ?
		    refuse_move(dir, own, made, err) :
		    move_all(dir, own, keeper, &m, err);
	}
	if (code < 0)
		cgroup_move_back(dir, own);
	return code;
}

/* Who has died meanwhile, or cannot be moved, holds up no other. */
static void
move_members(const char *dir, char *list)
{
	pid_t pid;

	while (next_pid(&list, &pid))
		if (pid > 0)
			(void)move_one(dir, NULL, pid);
}

void
cgroup_move_back(const char *dir, const char *own)
{
	char *path = cgroup_path(dir, own, NULL), *list;
	int code = -EBUSY;

	for (int i = 0; path != NULL && code < 0 && i < MOVE_TIMES; i++) {
		if (cgroup_file_read(path, "cgroup.procs", &list) < 0)
			break;
		move_members(dir, list);
		free(list);
		code = cgroup_remove(dir, own);
	}
	free(path);
}

bool
cgroup_has_members(const char *dir)
{
	char *list, *s;
	pid_t pid;
	bool has;

	if (cgroup_file_read(dir, "cgroup.procs", &list) < 0)
		return false;
	s = list;
	has = next_pid(&s, &pid);
	free(list);
	return has;
}
