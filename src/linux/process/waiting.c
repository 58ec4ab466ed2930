#include <sys/epoll.h>
#include <sys/syscall.h>

#include <errno.h>
#include <poll.h>

#include "base/mono.h"
#include "linux/process/executing.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"
#include "linux/process/waiting.h"

/* What a poll or select may span to be looked at. */
#define POLL_MAX	1024
#define SELECT_MAX	4096

/* A tree for which this is too short is not looked through to the end. */
#define LOOK_MS		20

struct look {
	const uint64_t *inos;
	size_t n_inos;
	pid_t pid;		/* the process at hand */
	int given, n_given;	/* waiting_holds() only */
	struct mono deadline;
	bool late;		/* it has passed */
	bool found;
	bool refused;
	bool blind;
	pid_t todo[WAITING_PROCESSES_MAX];
	size_t n_todo;
};

static bool
is_late(struct look *l)
{
	l->late = l->late || !mono_before(mono_now(), l->deadline);
	return l->late;
}

static bool
is_ours(const struct look *l, uint64_t ino)
{
	for (size_t i = 0; i < l->n_inos; i++)
		if (l->inos[i] == ino)
			return true;
	return false;
}

static bool
fd_is_ours(const struct look *l, int fd)
{
	uint64_t ino;

	return inspect_fd(l->pid, fd, &ino) == INSPECT_SOCKET &&
	    is_ours(l, ino);
}

static ssize_t
read_memory(struct look *l, uint64_t address, void *buf, size_t len)
{
	ssize_t n = inspect_memory(l->pid, address, buf, len);

	if (n == -EPERM || n == -EACCES)
		l->refused = true;
	return n;
}

static bool
polls(struct look *l, uint64_t address, uint64_t n)
{
	struct pollfd fds[POLL_MAX];
	ssize_t got;

	if (n > POLL_MAX)
		n = POLL_MAX;
	got = read_memory(l, address, fds, n * sizeof(fds[0]));
	for (ssize_t i = 0; i < got / (ssize_t)sizeof(fds[0]); i++)
		if (fds[i].fd >= 0 && (fds[i].events & POLLIN) != 0 &&
		    fd_is_ours(l, fds[i].fd))
			return true;
	return false;
}

static bool
selects(struct look *l, uint64_t n, uint64_t address)
{
	unsigned long bits[SELECT_MAX / 8 / sizeof(unsigned long)];
	const unsigned width = 8 * sizeof(bits[0]);
	ssize_t got;

	if (n > SELECT_MAX)
		n = SELECT_MAX;
	/* The kernel reads whole words (select(2)). */
	got = read_memory(l, address, bits,
	    (n + width - 1) / width * sizeof(bits[0]));
	for (unsigned fd = 0; fd < n && (ssize_t)(fd / 8) < got; fd++)
		if ((bits[fd / width] >> fd % width & 1) != 0 &&
		    fd_is_ours(l, (int)fd))
			return true;
	return false;
}

static bool
sleeps_for_us(struct look *l, const struct inspect_call *c)
{
	switch (c->nr) {
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
		return fd_is_ours(l, (int)c->args[0]);
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll:
	/* A poll that a stop has interrupted; its arguments still stand. */
	case SYS_restart_syscall:
		return polls(l, c->args[0], c->args[1]);
#ifdef SYS_select
	case SYS_select:
#endif
	case SYS_pselect6:
		return selects(l, c->args[0], c->args[1]);
	default:
		return false;
	}
}

static bool
add_child(void *ctx, pid_t child)
{
	struct look *l = ctx;

	if (l->n_todo < WAITING_PROCESSES_MAX)
		l->todo[l->n_todo++] = child;
	return l->n_todo < WAITING_PROCESSES_MAX;
}

static bool
look_at_thread(void *ctx, pid_t tid)
{
	struct look *l = ctx;
	struct inspect_call call;

	if (is_late(l))
		return false;
	if (inspect_syscall(l->pid, tid, &call, &l->refused))
		l->found = sleeps_for_us(l, &call);
	if (!l->found)
		(void)inspect_each_child(l->pid, tid, add_child, l);
	return !l->found;
}

static bool
look_at_target(void *ctx, const struct inspect_epoll_target *t)
{
	struct look *l = ctx;

	if ((t->events & EPOLLIN) != 0)
		l->found = t->ino != 0 ? is_ours(l, t->ino) :
		    fd_is_ours(l, t->fd);
	return !l->found;
}

static bool
look_at_fd(void *ctx, int fd)
{
	struct look *l = ctx;
	uint64_t ino;

	if (is_late(l))
		return false;
	switch (inspect_fd(l->pid, fd, &ino)) {
	case INSPECT_EPOLL:
		inspect_each_epoll_target(l->pid, fd, look_at_target, l);
		break;
	case INSPECT_IO_URING:
		l->blind = true;
		break;
	default:
		break;
	}
	return !l->found;
}

static void
look_at_process(struct look *l)
{
	int code;

	/* For that there is no time. */
	l->late = executing_is(l->pid);
	if (l->late)
		return;
	inspect_each_thread(l->pid, look_at_thread, l);
	if (l->found)
		return;
	code = inspect_each_fd(l->pid, look_at_fd, l);
	if (code == -EPERM || code == -EACCES)
		l->refused = true;
}

enum waiting
waiting_look(pid_t leader, const uint64_t *inos, size_t n)
{
	struct look l = {
		.inos = inos, .n_inos = n,
		.deadline = mono_add_ms(mono_now(), LOOK_MS),
		.todo = { leader }, .n_todo = 1,
	};

	/* Its numbers are those of others. */
	if (!process_proc_is_ours())
		return WAITING_REFUSED;
	/* todo grows while we walk along it. */
	for (size_t i = 0; i < l.n_todo && !l.found && !l.late; i++) {
		l.pid = l.todo[i];
		look_at_process(&l);
	}
	if (l.found)
		return WAITING_YES;
	if (l.refused)
		return WAITING_REFUSED;
	if (l.blind || l.n_todo == WAITING_PROCESSES_MAX)
		return WAITING_BLIND;
	return l.late ? WAITING_LATE : WAITING_NO;
}

static bool
holds_fd(void *ctx, int fd)
{
	struct look *l = ctx;

	if (is_late(l))
		return false;
	l->found = (fd < l->given || fd - l->given >= l->n_given) &&
	    fd_is_ours(l, fd);
	return !l->found;
}

static bool
note_children(void *ctx, pid_t tid)
{
	struct look *l = ctx;

	if (is_late(l))
		return false;
	(void)inspect_each_child(l->pid, tid, add_child, l);
	return true;
}

enum waiting
waiting_find_holder(pid_t leader, uint64_t ino, int given, int n)
{
	struct look l = {
		.inos = &ino, .n_inos = 1, .given = given, .n_given = n,
		.deadline = mono_add_ms(mono_now(), LOOK_MS),
		.todo = { leader }, .n_todo = 1,
	};

	if (!process_proc_is_ours())
		return WAITING_REFUSED;
	for (size_t i = 0; i < l.n_todo && !l.found; i++) {
		int code;

		l.pid = l.todo[i];
		if (executing_is(l.pid))
			return WAITING_LATE;
		code = inspect_each_fd(l.pid, holds_fd, &l);
		/* Gone is the one thing that is certain. */
		if (code < 0 && code != -ENOENT && code != -ESRCH)
			return WAITING_REFUSED;
		inspect_each_thread(l.pid, note_children, &l);
	}
	return l.found ? WAITING_YES : l.late ? WAITING_LATE : WAITING_NO;
}

bool
waiting_holds(pid_t leader, uint64_t ino, int given, int n)
{
	return waiting_find_holder(leader, ino, given, n) != WAITING_NO;
}
