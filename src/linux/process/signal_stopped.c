#include <sys/syscall.h>

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux/file/file.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"
#include "linux/process/signal_stopped.h"

#define STATUS_MAX (64 * 1024)

/* What follows the name of a field of /proc/PID/status, or NULL. */
static const char *
field(const char *status, const char *name)
{
	const char *at = strstr(status, name);

	return at != NULL ? at + strlen(name) : NULL;
}

static bool
has_signal(const char *status, const char *name, int signo)
{
	const char *mask = field(status, name);

	return mask != NULL &&
	    (strtoull(mask, NULL, 16) >> (signo - 1) & 1) != 0;
}

/* The main thread's: stopped, and it would handle the signal. */
static bool
would_handle(pid_t pid, int signo)
{
	char path[64], *status;
	const char *state;
	size_t len;
	bool would;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (file_read(path, STATUS_MAX, &status, &len, NULL) < 0)
		return false;
	state = field(status, "\nState:\t");
	would = state != NULL && *state == 'T' &&
	    has_signal(status, "\nSigCgt:\t", signo) &&
	    !has_signal(status, "\nSigBlk:\t", signo);
	free(status);
	return would;
}

struct look {
	pid_t pid;
	bool others;
};

static bool
note_child(void *ctx, pid_t child)
{
	struct look *l = ctx;

	(void)child;
	l->others = true;
	return false;
}

static bool
note_children(void *ctx, pid_t tid)
{
	struct look *l = ctx;

	if (inspect_each_child(l->pid, tid, note_child, l) < 0)
		l->others = true;
	return !l->others;
}

/* Neither a child of its own, nor an orphan that it has left to us. */
static bool
is_alone(pid_t pid)
{
	struct look l = { .pid = pid };
	pid_t *pids;
	size_t n;

	inspect_each_thread(pid, note_children, &l);
	if (l.others || process_children(&pids, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		l.others |= pids[i] != pid && getpgid(pids[i]) == pid;
	free(pids);
	return !l.others;
}

bool
signal_stopped(pid_t pid, int signo)
{
	return pid > 1 && would_handle(pid, signo) && is_alone(pid) &&
	    syscall(SYS_tgkill, pid, pid, signo) == 0;
}
