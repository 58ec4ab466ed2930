#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/birth.h"
#include "linux/process/helper.h"
#include "linux/process/process.h"
#include "linux/process/raw_call.h"
#include "linux/socket/epoll_enter.h"

/* epoll_ctl(2) waits for who uses the instance, which is the worker: so long. And no
   longer than so often for a processor, which is no fault of the worker's. */
#define AWAIT_MS 20
#define AWAIT_TIMES 10

struct job {
	const struct epoll_entry *entries;
	size_t n;
	int fd;
	pid_t parent;
};

/* What a child that shares our memory stands on, for one at a time. */
static struct {
	_Alignas(16) char stack[16 * 1024];
	struct job job;
	struct epoll_entry entries[64];
	pid_t last;	/* killed, and not seen to end; 0: nobody */
} room;

static bool
wants_to_run(pid_t pid)
{
	struct process_stat stat;

	return process_stat(pid, &stat) && stat.state == 'R';
}

/* Has it ended? */
static bool
has_ended(struct pollfd *end, pid_t pid)
{
	int times = 0, n;

	do
		n = poll(end, 1, AWAIT_MS);
	while (n == 0 && ++times < AWAIT_TIMES && wants_to_run(pid));
	return n == 1;
}

/* Until it has ended; one that is held up is killed. */
static int
await(pid_t pid)
{
	struct pollfd end = {
		.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN,
	};
	siginfo_t info = { .si_status = 1 };

	if (!has_ended(&end, pid) ||
	    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
		(void)kill(pid, SIGKILL);
		helper_note(pid);
		room.last = pid;
	}
	fd_close(&end.fd);
	return info.si_pid == pid && info.si_status == 0 ? 0 : -ECANCELED;
}

/* 0, or the exit status of who did not do it. It shares our memory (birth.h). */
static int
enter(void *ctx)
{
	const struct job *job = ctx;

	(void)RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (raw_call(SYS_getppid, 0, 0, 0, 0, 0) != job->parent)
		return 1;
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
			return 1;
		if (saved >= 0)
			(void)RAW(dup3, saved, number, 0);
	}
	return 0;
}

/* A child with what it needs. While the last one may still be about, and for
   very many entries, a fork, which has its own of all. */
static pid_t
start(const struct job *job)
{
	if (room.last != 0 && helper_has_ended(room.last))
		room.last = 0;
	if (room.last != 0 ||
	    job->n > sizeof(room.entries) / sizeof(*room.entries))
		return birth(enter, (void *)job, NULL);
	memcpy(room.entries, job->entries, job->n * sizeof(*job->entries));
	room.job = *job;
	room.job.entries = room.entries;
	return birth(enter, &room.job, room.stack + sizeof(room.stack));
}

int
epoll_enter(const struct epoll_entry *entries, size_t n, int fd)
{
	const struct job job = {
		.entries = entries, .n = n, .fd = fd, .parent = getpid(),
	};
	pid_t pid = start(&job);

	return pid < 0 ? pid : await(pid);
}
