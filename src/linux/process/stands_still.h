/* A process that was told to stand still (SIGSTOP). */
#ifndef LINUX_PROCESS_STANDS_STILL_H
#define LINUX_PROCESS_STANDS_STILL_H

#include <stdbool.h>
#include <sys/types.h>

/* Do all threads of it, a child of ours, also by process_foster()? */
bool process_stands_still(pid_t pid);

struct mono;

/* One that was stopped for a moment, unless it `was` so already. */
struct process_stop {
	pid_t pid;
	bool was;
};

/* All threads of it, whosever child it is, stand still when this returns 0, and go on
   with _end. Waits until `by` at the latest. -EAGAIN: they did not; -EPERM; other
   -errno: none is stopped. */
int process_stop_begin(struct process_stop *stop, pid_t pid, struct mono by);
void process_stop_end(const struct process_stop *stop);

#endif
