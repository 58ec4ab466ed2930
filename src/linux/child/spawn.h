/*
 * Starting a program. All memory is made before the child; the child, which may
 * share it, only makes system calls. Whether the program could be executed comes
 * back over a close-on-exec socket: its end says yes, a record says where it
 * failed.
 */
#ifndef LINUX_CHILD_SPAWN_H
#define LINUX_CHILD_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "linux/child/spawn_plan.h"

struct error;
struct strbuf;

/* What a child stands on until its exec. */
struct spawn_room {
	void *map;	/* NULL: nothing */
	size_t len;
};

#define SPAWN_ROOM_INIT	{ .map = NULL }

/*
 * Start and execute; nothing of the plan is needed any more after. On success
 * the caller owns the pid, *ret_report, its end of the socket (close-on-exec,
 * non-blocking), and *ret_room. -errno: nothing was started.
 */
int spawn(const struct spawn_plan *plan, struct spawn_room *ret_room,
    pid_t *ret_pid, int *ret_report);

/*
 * Not before the report is SPAWN_REPORT_EXECUTED, or the process has ended: a
 * report of a failure is written by who still stands on it. (The kernel lets go
 * of the memory before it closes the socket: exec's begin_new_exec(), do_exit().)
 */
void spawn_room_free(struct spawn_room *room);

enum spawn_report {
	SPAWN_REPORT_PENDING,	/* nothing yet */
	SPAWN_REPORT_EXECUTED,	/* the program runs, or the child died before
				   the exec without a word: its exit tells */
	SPAWN_REPORT_FAILED,	/* *ret_failure says where */
	SPAWN_REPORT_UNLIMITED,	/* it goes on without its group, as
				   *ret_failure says; read on */
	SPAWN_REPORT_TRAPPED,	/* *ret_trap is the listener of its calls, the
				   caller's; read on */
};

enum spawn_report spawn_read_report(int report,
    struct spawn_failure *ret_failure, int *ret_trap);

/* Was it for want of something that others may give back, descriptors, memory,
   processes, or the program that somebody writes? Else it fails every time. */
bool spawn_failure_passes(const struct spawn_failure *failure);

/* "cannot execute ./server: No such file or directory", with a hint where
   one helps. `base_dir` is the one that relative names of the configuration are
   of. */
void spawn_failure_text(struct strbuf *sb, const struct spawn_failure *failure,
    const char *program, const char *directory, const char *base_dir);

#endif
