#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "base/num.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"
#include "linux/process/tree_sockets.h"

/* So many entries between two looks at the clock. */
#define STRIDE	64

static int
add_pid(struct tree_sockets *t, pid_t pid)
{
	if (t->n_pids == TREE_SOCKETS_PROCESSES_MAX)
		return -E2BIG;
	if (t->n_pids == t->cap_pids) {
		size_t cap = t->cap_pids == 0 ? 16 : t->cap_pids * 2;
		pid_t *pids = reallocarray(t->pids, cap, sizeof(*pids));

		if (pids == NULL)
			return -ENOMEM;
		t->pids = pids;
		t->cap_pids = cap;
	}
	t->pids[t->n_pids++] = pid;
	return 0;
}

int
tree_sockets_begin(struct tree_sockets *t, const pid_t *roots, size_t n)
{
	struct tree_sockets fresh = { .n_pids = 0 };

	for (size_t i = 0; i < n; i++) {
		int code = add_pid(&fresh, roots[i]);

		if (code < 0) {
			free(fresh.pids);
			return code;
		}
	}
	*t = fresh;
	return 0;
}

void
tree_sockets_end(struct tree_sockets *t)
{
	if (t->dir != NULL)
		closedir(t->dir);
	free(t->pids);
	*t = (struct tree_sockets){ .n_pids = 0 };
}

struct adding {
	struct tree_sockets *tree;
	int code;
};

static bool
add_child(void *ctx, pid_t child)
{
	struct adding *a = ctx;

	a->code = add_pid(a->tree, child);
	return a->code == 0;
}

static int
look_at_thread(struct tree_sockets *t, pid_t tid)
{
	struct adding a = { .tree = t, .code = 0 };

	(void)inspect_each_child(t->pids[t->at], tid, add_child, &a);
	return a.code;
}

/* By its own directory, which spares the way through /proc each time. */
static void
look_at_fd(struct tree_sockets *t, const char *name,
    void (*fn)(void *, const struct tree_socket *), void *ctx)
{
	static const char kind[] = "socket:[";
	char target[64], *end;
	uint64_t ino, fd;
	ssize_t n = readlinkat(dirfd(t->dir), name, target,
	    sizeof(target) - 1);

	if (n < 0) {
		/* Closed since; or the directory of a process that we may
		   list, and whose links we may not read. */
		t->refused = t->refused || errno == EACCES || errno == EPERM;
		return;
	}
	target[n] = '\0';
	if (strncmp(target, kind, sizeof(kind) - 1) != 0)
		return;
	end = strchr(target, ']');
	if (end == NULL)
		return;
	*end = '\0';
	if (num_parse(target + sizeof(kind) - 1, 1, UINT64_MAX, &ino) &&
	    num_parse(name, 0, INT_MAX, &fd))
		fn(ctx, &(struct tree_socket){
			.ino = ino, .pid = t->pids[t->at], .fd = (int)fd,
		});
}

/* A zombie has no descriptors; its directory of them is root's. */
static bool
is_zombie(pid_t pid)
{
	struct process_stat st;

	return process_stat(pid, &st) && (st.state == 'Z' || st.state == 'X');
}

/* Descriptors before threads: what a process hands to a child that it makes
   meanwhile is found with that child. */
static int
open_next(struct tree_sockets *t)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->pids[t->at],
	    t->threads ? "task" : "fd");
	t->dir = opendir(path);
	if (t->dir == NULL) {
		if (errno == ENOMEM || errno == EMFILE || errno == ENFILE)
			return -errno;
		if ((errno == EACCES || errno == EPERM) &&
		    !is_zombie(t->pids[t->at]))
			t->refused = true;
	}
	return 0;
}

static void
close_and_go_on(struct tree_sockets *t)
{
	if (t->dir != NULL)
		closedir(t->dir);
	t->dir = NULL;
	t->at += t->threads;
	t->threads = !t->threads;
}

/* One entry of a directory. 1: there is more; 0; -errno. */
static int
look_at_entry(struct tree_sockets *t,
    void (*fn)(void *, const struct tree_socket *), void *ctx)
{
	struct dirent *entry = NULL;
	uint64_t number;
	int code = 0;

	if (t->at == t->n_pids)
		return 0;
	if (t->dir == NULL)
		code = open_next(t);
	if (code < 0)
		return code;
	errno = 0;
	if (t->dir != NULL)
		entry = readdir(t->dir);
	/* Gone is the end. */
	if (entry == NULL && errno != 0 && errno != ENOENT && errno != ESRCH)
		return -errno;
	if (entry == NULL) {
		close_and_go_on(t);
		return 1;
	}
	if (!num_parse(entry->d_name, 0, INT_MAX, &number))
		return 1;
	if (t->threads)
		code = look_at_thread(t, (pid_t)number);
	else
		look_at_fd(t, entry->d_name, fn, ctx);
	return code < 0 ? code : 1;
}

int
tree_sockets_step(struct tree_sockets *t, int64_t budget_ms,
    void (*fn)(void *ctx, const struct tree_socket *socket), void *ctx)
{
	struct mono end = mono_add_ms(mono_now(), budget_ms);
	int code = 1;

	do
		for (int i = 0; i < STRIDE && code > 0; i++)
			code = look_at_entry(t, fn, ctx);
	while (code > 0 && mono_before(mono_now(), end));
	return code == 0 && t->refused ? -EACCES : code;
}
