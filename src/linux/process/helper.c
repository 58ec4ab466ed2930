#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "linux/process/birth.h"
#include "linux/process/helper.h"
#include "linux/process/process.h"
#include "linux/process/raw_call.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* False: the list cannot be had. */
static bool
close_listed(unsigned first, unsigned last)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	uint64_t fd;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL)
		if (num_parse(entry->d_name, first, last, &fd) &&
		    (int)fd != dirfd(dir))
			(void)close((int)fd);
	closedir(dir);
	return true;
}

/* Before Linux 5.9, and in sandboxes that do not know the call, by their list: there
   may be a thousand million numbers. */
static void
close_from_to(unsigned first, unsigned last)
{
	long end = sysconf(_SC_OPEN_MAX);

	if (first > last || syscall(SYS_close_range, first, last, 0) == 0 ||
	    close_listed(first, last))
		return;
	for (unsigned fd = first; fd <= last && (long)fd < end; fd++)
		(void)close((int)fd);
}

void
helper_keep_only(const int *keep, size_t n)
{
	unsigned from = 0;

	for (size_t i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from)
			close_from_to(from, (unsigned)keep[i] - 1);
		from = (unsigned)keep[i] + 1;
	}
	close_from_to(from, UINT_MAX);
}

/* Who may be about, the oldest one to be forgotten next; 0: nobody. */
static struct {
	pid_t pids[HELPERS_KNOWN];
	unsigned next;
} known;

void
helper_note(pid_t pid)
{
	known.pids[known.next++ % HELPERS_KNOWN] = pid;
}

/* ---- its birth ---- */

struct job {
	void (*fn)(int fd);
	int fd;
	int keep[HELPER_KEEPS];
	size_t n;
	bool by_list;		/* there is no close_range(2), and it is a fork */
	pid_t parent;
};

/* What those stand on that share our memory, each until it has ended. */
static struct room {
	_Alignas(16) char stack[8 * 1024];
	struct job job;
	pid_t pid;		/* the last one; 0: nobody was */
} rooms[HELPER_ROOMS];

/* As helper_keep_only(). */
static bool
keep_only(const int *keep, size_t n)
{
	unsigned from = 0;

	for (size_t i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from && raw_call(SYS_close_range, from,
		    (unsigned)keep[i] - 1, 0, 0, 0) < 0)
			return false;
		from = (unsigned)keep[i] + 1;
	}
	return raw_call(SYS_close_range, from, UINT_MAX, 0, 0, 0) >= 0;
}

static int
help(void *ctx)
{
	const struct job *job = ctx;

	(void)RAW(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	/* One that sleeps for ever must not keep our ports. */
	if (job->by_list)
		helper_keep_only(job->keep, job->n);
	else if (!keep_only(job->keep, job->n))
		return 1;
	if (raw_call(SYS_getppid, 0, 0, 0, 0, 0) == job->parent)
		job->fn(job->fd);
	return 0;
}

/* Numbers that are none are found before anything is done. */
static bool
can_close_range(void)
{
	return syscall(SYS_close_range, 1, 0, 0) < 0 && errno == EINVAL;
}

/* Reaped long ago, its number may be a worker's by now, which has a group of its
   own. */
static bool
is_helper(pid_t pid)
{
	return pid != 0 && getpgid(pid) == getpgrp();
}

static struct room *
find_room(void)
{
	for (size_t i = 0; i < HELPER_ROOMS; i++)
		if (!is_helper(rooms[i].pid) ||
		    helper_has_ended(rooms[i].pid))
			return &rooms[i];
	return NULL;
}

static pid_t
give_birth(struct job *job)
{
	struct room *room = NULL;

	job->by_list = !can_close_range();
	if (!job->by_list)
		room = find_room();
	if (room == NULL)
		return birth(help, job, NULL);
	room->job = *job;
	room->pid = birth(help, &room->job, room->stack + sizeof(room->stack));
	if (room->pid < 0) {
		int code = room->pid;

		room->pid = 0;
		return code;
	}
	return room->pid;
}

int
helper_start(void (*fn)(int fd), int fd, const int *keep, size_t n,
    pid_t *ret_pid)
{
	struct job job = { .fn = fn, .fd = fd, .n = n, .parent = getpid() };
	pid_t pid;
	int pidfd;

	assert(n <= HELPER_KEEPS);
	memcpy(job.keep, keep, n * sizeof(*keep));
	pid = give_birth(&job);
	*ret_pid = pid < 0 ? 0 : pid;
	if (pid < 0)
		return pid;
	helper_note(pid);
	/* It cannot have been reaped yet: the loop does that. */
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return pidfd < 0 ? -errno : pidfd;
}

/* One that is a zombie still has its pid, and waits for whoever reaps. */
bool
helper_has_ended(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)pid, &info,
	    WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == pid;
}

void
helper_kill(int pidfd)
{
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

void
helper_await_end(pid_t pid, struct mono end)
{
	if (pid == 0)
		return;
	while (!helper_has_ended(pid) && mono_before(mono_now(), end))
		(void)poll(NULL, 0, 1);
	process_reap(pid);
}

void
helpers_await_end(struct mono end)
{
	for (unsigned i = 0; i < HELPERS_KNOWN; i++)
		if (is_helper(known.pids[i]) &&
		    !helper_has_ended(known.pids[i]))
			process_kill(known.pids[i], SIGKILL);
	for (unsigned i = 0; i < HELPERS_KNOWN; i++)
		if (is_helper(known.pids[i]))
			helper_await_end(known.pids[i], end);
}

/* Until we have closed ours: the end of the pipe says so. */
static void
outlast(int go)
{
	char byte;

	while (RAW(read, go, &byte, 1) == -EINTR)
		continue;
}

void
helper_close(int *fd)
{
	int go[2] = { -1, -1 };
	pid_t pid;
	int pidfd;

	if (*fd >= 0 && pipe2(go, O_CLOEXEC) == 0) {
		const bool first = *fd < go[0];
		const int keep[] = {
			first ? *fd : go[0], first ? go[0] : *fd,
		};

		pidfd = helper_start(outlast, go[0], keep, 2, &pid);
		fd_close(&pidfd);
	}
	fd_close(fd);
	fd_close(&go[0]);
	fd_close(&go[1]);
}
