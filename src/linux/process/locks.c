#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "linux/file/file.h"
#include "linux/process/inspect.h"
#include "linux/process/locks.h"
#include "linux/process/process.h"

#define TABLE_MAX	(256 * 1024)
#define FDINFO_MAX	4096

/* All looks of a hint together. */
#define LOOK_MS		20

/* Of a tree. */
#define DEPTH_MAX	64
#define PROCESSES_MAX	256

/* proc_locks(5): "1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END";
   those that only wait for one have "->" before the kind. */
static bool
is_exclusive(const char *line, char kind[16], long *ret_holder)
{
	char mode[16];

	return sscanf(line, "%*d: %15s %*s %15s %ld", kind, mode,
	    ret_holder) == 3 && strcmp(mode, "WRITE") == 0;
}

/* flock(1) on a descriptor that a shell has opened takes it and goes; it is held as
   long as the file is open. */
static bool
is_left_behind(const char *kind, long holder)
{
	return strcmp(kind, "FLOCK") == 0 && (holder <= 0 ||
	    (kill((pid_t)holder, 0) < 0 && errno == ESRCH));
}

static void
take_line(struct locks *l, size_t *room, const char *line)
{
	char kind[16];
	long holder;

	if (!is_exclusive(line, kind, &holder))
		return;
	if (strcmp(kind, "OFDLCK") == 0 || is_left_behind(kind, holder))
		l->ofd = true;
	if (strcmp(kind, "FLOCK") != 0 && strcmp(kind, "POSIX") != 0)
		return;
	if (l->n == *room) {
		size_t more = 2 * *room + 16;
		pid_t *pids = reallocarray(l->pids, more, sizeof(*pids));

		if (pids == NULL)
			return;
		l->pids = pids;
		*room = more;
	}
	l->pids[l->n++] = (pid_t)holder;
}

void
locks_read(struct locks *ret_locks)
{
	char *text, *line, *rest;
	size_t len, room = 0;

	*ret_locks = (struct locks){
		.until = mono_add_ms(mono_now(), LOOK_MS),
	};
	if (file_read_start("/proc/locks", TABLE_MAX, &text, &len) < 0)
		return;
	for (line = strtok_r(text, "\n", &rest); line != NULL;
	    line = strtok_r(NULL, "\n", &rest))
		take_line(ret_locks, &room, line);
	free(text);
}

void
locks_free(struct locks *l)
{
	free(l->pids);
	*l = (struct locks){ .n = 0 };
}

static bool
descends(pid_t pid, pid_t leader)
{
	struct process_stat st;

	for (int depth = 0; pid > 1 && depth < DEPTH_MAX; depth++) {
		if (pid == leader)
			return true;
		if (!process_stat(pid, &st))
			return false;
		pid = st.parent;
	}
	return false;
}

/* ---- of open files ---- */

struct search {
	const struct locks *locks;
	pid_t pid;		/* the process at hand */
	bool found;
	pid_t todo[PROCESSES_MAX];
	size_t n_todo;
};

static bool
is_late(struct search *s)
{
	s->found = s->found || !mono_before(mono_now(), s->locks->until);
	return s->found;
}

/* proc(5), fdinfo: "lock:\t1: OFDLCK ADVISORY WRITE -1 …". */
static bool
look_at_fd(void *ctx, int fd)
{
	struct search *s = ctx;
	char path[64], kind[16], *text, *line, *rest;
	long holder;
	size_t len;

	if (is_late(s))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)s->pid, fd);
	if (file_read_start(path, FDINFO_MAX, &text, &len) < 0)
		return true;
	for (line = strtok_r(text, "\n", &rest); line != NULL && !s->found;
	    line = strtok_r(NULL, "\n", &rest))
		s->found = strncmp(line, "lock:", 5) == 0 &&
		    is_exclusive(line + 5, kind, &holder) &&
		    (strcmp(kind, "OFDLCK") == 0 ||
			strcmp(kind, "FLOCK") == 0);
	free(text);
	return !s->found;
}

static bool
add_child(void *ctx, pid_t child)
{
	struct search *s = ctx;

	if (s->n_todo < PROCESSES_MAX)
		s->todo[s->n_todo++] = child;
	return s->n_todo < PROCESSES_MAX;
}

static bool
look_at_thread(void *ctx, pid_t tid)
{
	struct search *s = ctx;

	if (!is_late(s))
		(void)inspect_each_child(s->pid, tid, add_child, s);
	return !s->found;
}

static bool
has_open_one(const struct locks *l, pid_t leader)
{
	struct search s = { .locks = l, .todo = { leader }, .n_todo = 1 };

	/* todo grows while we walk along it. */
	for (size_t i = 0; i < s.n_todo && !s.found; i++) {
		s.pid = s.todo[i];
		(void)inspect_each_fd(s.pid, look_at_fd, &s);
		if (!s.found)
			inspect_each_thread(s.pid, look_at_thread, &s);
	}
	return s.found;
}

bool
locks_held(const struct locks *l, pid_t leader)
{
	for (size_t i = 0; i < l->n; i++)
		if (descends(l->pids[i], leader))
			return true;
	return l->ofd && has_open_one(l, leader);
}
