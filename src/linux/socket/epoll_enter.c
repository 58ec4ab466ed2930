#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/birth.h"
#include "linux/process/helper.h"
#include "linux/process/raw_call.h"
#include "linux/socket/epoll_enter.h"

/* epoll_ctl(2) waits for who uses the instance, which is the worker. */
#define AWAIT_MS 20

/* So long where it has not had the CPU: the worker would wait for ever. */
#define STARVED_MS 200

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

struct job {
	size_t n;
	int fd;
	pid_t parent;
	struct epoll_entry entries[EPOLL_ENTRIES_MAX];
	int keep[EPOLL_ENTRIES_MAX + 1];	/* ascending */
};

/* What a child that shares our memory stands on, for one at a time. */
static struct {
	_Alignas(16) char stack[16 * 1024];
	struct job job;
	pid_t last;	/* that may not have ended; 0: nobody */
} room;

/* Until it has ended; one that is held up is killed. */
static int
await(pid_t pid)
{
	struct pollfd end = {
		.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN,
	};
	siginfo_t info = { .si_status = 1 };
	int ended = 0;

	for (int ms = 0; ended == 0 && (ms < AWAIT_MS ||
	    (ms < STARVED_MS && helper_is_runnable(pid))); ms += AWAIT_MS)
		ended = poll(&end, 1, AWAIT_MS);
	if (ended != 1 || waitid(P_PID, (id_t)pid, &info,
	    WEXITED | WNOHANG | WNOWAIT) < 0)
		(void)kill(pid, SIGKILL);
	else if (room.last == pid)
		room.last = 0;
	fd_close(&end.fd);
	return info.si_pid == pid && info.si_status == 0 ? 0 : -ECANCELED;
}

/* It has been done. It may share our memory (birth.h). */
static bool
enter(const struct job *job)
{
	for (size_t i = 0; i < job->n; i++) {
		const struct epoll_entry *e = &job->entries[i];
		struct epoll_event event = {
			.events = e->events, .data.u64 = e->data,
		};
		int number = e->number;
		long epoll = RAW(fcntl, e->epoll, F_DUPFD_CLOEXEC, number + 1);

		/* The number may be that of `fd`, or of an instance that a
		   later entry needs: what stood there comes back after. */
		long saved = RAW(fcntl, number, F_DUPFD_CLOEXEC, number + 1);

		if (epoll < 0 || (job->fd != number &&
		    RAW(dup3, job->fd, number, 0) < 0) ||
		    RAW(epoll_ctl, epoll, EPOLL_CTL_ADD, number, &event) < 0)
			return false;
		if (saved >= 0)
			(void)RAW(dup3, saved, number, 0);
	}
	return true;
}

/* One that sleeps there for ever keeps nothing of ours open but what it needs. */
static bool
close_the_rest(const struct job *job)
{
	unsigned from = 0;

	for (size_t i = 0; i <= job->n; i++) {
		unsigned number = (unsigned)job->keep[i];

		if (number > from && raw_call(SYS_close_range, (long)from,
		    (long)number - 1, 0, 0, 0) < 0)
			return false;
		from = number + 1;
	}
	return raw_call(SYS_close_range, (long)from, UINT_MAX, 0, 0, 0) >= 0;
}

/* Of a child that shares our memory: its exit status. */
static int
run_here(void *ctx)
{
	const struct job *job = ctx;

	(void)RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	return raw_call(SYS_getppid, 0, 0, 0, 0, 0) == job->parent &&
	    close_the_rest(job) && enter(job) ? 0 : 1;
}

static void
run_apart(void *ctx)
{
	if (!enter(ctx))
		_exit(1);
}

static int
compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* Before Linux 5.9 there is no such call. */
static bool
can_close(void)
{
	return raw_call(SYS_close_range, UINT_MAX, UINT_MAX, 0, 0, 0) == 0;
}

/* A child with what it needs. While the last one may still be about, a fork, which
   has its own of all. */
static pid_t
start(struct job *job)
{
	pid_t pid;
	int pidfd;

	if (room.last != 0 && helper_has_ended(room.last))
		room.last = 0;
	if (room.last == 0 && can_close()) {
		room.job = *job;
		pid = birth(run_here, &room.job,
		    room.stack + sizeof(room.stack));
		if (pid <= 0)
			return pid;
		room.last = pid;
		helper_note(pid);
		return pid;
	}
	pidfd = helper_start(run_apart, job, job->keep, job->n + 1, &pid);
	if (pidfd < 0 && pid <= 0)
		return pidfd;
	fd_close(&pidfd);
	return pid;
}

int
epoll_enter(const struct epoll_entry *entries, size_t n, int fd)
{
	struct job job = { .n = n, .fd = fd, .parent = getpid() };
	pid_t pid;

	if (n > EPOLL_ENTRIES_MAX)
		return -E2BIG;
	for (size_t i = 0; i < n; i++) {
		job.entries[i] = entries[i];
		job.keep[i] = entries[i].epoll;
	}
	job.keep[n] = fd;
	qsort(job.keep, n + 1, sizeof(job.keep[0]), compare);
	pid = start(&job);
	return pid < 0 ? pid : await(pid);
}
