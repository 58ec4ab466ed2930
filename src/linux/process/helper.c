#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mono.h"
#include "base/num.h"
#include "linux/process/helper.h"
#include "linux/process/process.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Those that are open: there may be a million that are not. */
static bool
close_by_list(unsigned first, unsigned last)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (dir == NULL)
		return false;
	while ((entry = readdir(dir)) != NULL) {
		uint64_t fd;

		if (num_parse(entry->d_name, first, last, &fd) &&
		    (int)fd != dirfd(dir))
			(void)close((int)fd);
	}
	closedir(dir);
	return true;
}

/* Before Linux 5.9 one by one. */
static void
close_from_to(unsigned first, unsigned last)
{
	long end = sysconf(_SC_OPEN_MAX);

	if (first > last || syscall(SYS_close_range, first, last, 0) == 0 ||
	    close_by_list(first, last))
		return;
	for (unsigned fd = first; fd <= last && (long)fd < end; fd++)
		(void)close((int)fd);
}

/* One that sleeps for ever must not keep our ports. */
static void
close_but(const int *keep, size_t n)
{
	unsigned from = 0;

	for (size_t i = 0; i < n; i++) {
		if ((unsigned)keep[i] > from)
			close_from_to(from, (unsigned)keep[i] - 1);
		from = (unsigned)keep[i] + 1;
	}
	close_from_to(from, UINT_MAX);
}

pid_t
helper_fork(void (*fn)(void *ctx), void *ctx, const int *keep, size_t n)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		close_but(keep, n);
		if (getppid() == parent)
			fn(ctx);
		_exit(0);
	}
	return pid < 0 ? -errno : pid;
}

/* Those that are not reaped; of more it is not known. */
#define KNOWN_MAX	64

static pid_t known[KNOWN_MAX];
static size_t n_known;

void
helper_note(pid_t pid)
{
	if (n_known < KNOWN_MAX)
		known[n_known++] = pid;
}

int
helper_start(void (*fn)(void *ctx), void *ctx, const int *keep, size_t n,
    pid_t *ret_pid)
{
	pid_t pid = helper_fork(fn, ctx, keep, n);
	int pidfd;

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

/* By its state (proc(5)), for which no memory is needed. */
bool
helper_is_runnable(pid_t pid)
{
	char path[32], text[128], *end;
	ssize_t n = -1;
	int fd;

	if (!process_proc_is_ours())
		return false;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		n = read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (n < 0)
		return false;
	text[n] = '\0';
	end = strrchr(text, ')');
	return end != NULL && strncmp(end, ") R", 3) == 0;
}

bool
helper_reaped(pid_t pid)
{
	for (size_t i = 0; i < n_known; i++) {
		if (known[i] != pid)
			continue;
		known[i] = known[--n_known];
		return true;
	}
	return false;
}

void
helper_await_end(const pid_t *pids, size_t n, int64_t ms)
{
	const struct mono until = mono_add_ms(mono_now(), ms);

	for (size_t i = 0; i < n; i++) {
		int64_t left_ms = mono_ms_between(mono_now(), until);
		struct pollfd end = { .events = POLLIN };

		end.fd = (int)syscall(SYS_pidfd_open, pids[i], 0);
		if (end.fd >= 0)
			(void)poll(&end, 1, left_ms > 0 ? (int)left_ms : 0);
		process_reap(pids[i]);
		fd_close(&end.fd);
	}
}

void
helper_end_all(int64_t ms)
{
	for (size_t i = 0; i < n_known; i++)
		process_kill(known[i], SIGKILL);
	helper_await_end(known, n_known, ms);
	n_known = 0;
}

void
helper_kill(int pidfd)
{
	(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* Until we have closed ours: the end of the pipe says so. */
static void
outlast(void *ctx)
{
	const int *go = ctx;
	char byte;

	while (read(*go, &byte, 1) < 0 && errno == EINTR)
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

		pidfd = helper_start(outlast, &go[0], keep, 2, &pid);
		fd_close(&pidfd);
	}
	fd_close(fd);
	fd_close(&go[0]);
	fd_close(&go[1]);
}
