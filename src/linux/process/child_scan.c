#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/child_scan.h"
#include "linux/process/process.h"

/* So much of the list at a time: the kernel takes a microsecond for each. */
#define PORTION	2048

static int
open_list(pid_t parent)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent,
	    (int)parent);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int
child_scan_begin(struct child_scan *scan)
{
	int fd;

	child_scan_end(scan);
	if (!process_proc_is_ours())
		return -ENOSYS;
	fd = open_list(getpid());
	if (fd < 0)
		return fd;
	scan->fd = fd;
	return 0;
}

/* Then those that count as ours. */
static void
go_on(struct child_scan *scan)
{
	fd_close(&scan->fd);
	scan->half = 0;
	if (scan->fosters || process_foster_parent() == 0)
		return;
	scan->fosters = true;
	scan->fd = open_list(process_foster_parent());
}

static bool
add(struct child_scan *scan, pid_t pid)
{
	if (scan->n == scan->cap) {
		size_t cap = scan->cap == 0 ? 256 : scan->cap * 2;
		pid_t *pids = reallocarray(scan->pids, cap, sizeof(*pids));

		if (pids == NULL)
			return false;
		scan->pids = pids;
		scan->cap = cap;
	}
	scan->pids[scan->n++] = pid;
	return true;
}

/* The list is read to its end before the first child is told: who reaps it would
   move what is behind it. Short of memory, it ends here. */
static void
read_portion(struct child_scan *scan)
{
	char text[PORTION];
	ssize_t n = read(scan->fd, text, sizeof(text));

	for (ssize_t i = 0; i < n; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			scan->half = scan->half * 10 + (text[i] - '0');
		} else if (scan->half > 0) {
			if ((!scan->fosters ||
			    process_foster_counts(scan->half)) &&
			    !add(scan, scan->half))
				n = 0;
			scan->half = 0;
		}
	}
	if (n <= 0)
		go_on(scan);
}

bool
child_scan_next(struct child_scan *scan, pid_t *ret_pid)
{
	*ret_pid = 0;
	if (scan->fd >= 0) {
		read_portion(scan);
		return true;
	}
	if (scan->at == scan->n)
		return false;
	*ret_pid = scan->pids[scan->at++];
	return true;
}

void
child_scan_end(struct child_scan *scan)
{
	fd_close(&scan->fd);
	free(scan->pids);
	*scan = (struct child_scan)CHILD_SCAN_INIT;
}
