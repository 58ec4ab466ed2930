/*
 * The children of this process, a few at a time: there may be very many, and
 * who wants to see all of them at once holds up everything else.
 */
#ifndef LINUX_PROCESS_CHILD_SCAN_H
#define LINUX_PROCESS_CHILD_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child_scan {
	int fd;			/* -1: no scan, or all of it is read */
	pid_t *pids;
	size_t n, cap;
	size_t at;		/* the next one */
	pid_t half;		/* what a portion ended within */
	bool fosters;		/* it is at process_foster()'s */
};

#define CHILD_SCAN_INIT	{ .fd = -1 }

/* All that are there now, zombies included. -errno: they cannot be listed a few
   at a time (CONFIG_PROC_CHILDREN), or not at all. Undone by _end(). */
int child_scan_begin(struct child_scan *scan);

/* One small step: *ret_pid is the next child, or 0, which is none yet. False: the
   scan is at its end. */
bool child_scan_next(struct child_scan *scan, pid_t *ret_pid);

/* Also of one that was never begun. */
void child_scan_end(struct child_scan *scan);

#endif
