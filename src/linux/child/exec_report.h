/*
 * A child that was started, until its program is executed, or it is dead: what it
 * tells of that, and the room that it stands on.
 */
#ifndef LINUX_CHILD_EXEC_REPORT_H
#define LINUX_CHILD_EXEC_REPORT_H

#include <stdbool.h>
#include <sys/types.h>

#include "linux/child/spawn.h"
#include "linux/loop/loop.h"

/* Whoever wants to know at once; each may be NULL. */
struct exec_report_events {
	void (*executed)(void *ctx);
	void (*unlimited)(void *ctx, int err);	/* it goes on without its
						   group; err is an errno */
	void (*trapped)(void *ctx, int trap);	/* which is theirs; NULL: none
						   is asked for */
	void *ctx;
};

struct exec_report {
	struct loop *loop;
	struct exec_report_events events;
	int fd;			/* -1: nothing more comes */
	loop_handle handle;
	struct spawn_room room;
	bool failed;		/* it could not be executed, … */
	struct spawn_failure failure;	/* … as this says */
};

#define EXEC_REPORT_INIT { .fd = -1, .room = SPAWN_ROOM_INIT }

/* spawn(), of one that is unused, or was forgotten. -errno: nothing was started. */
int exec_report_spawn(struct exec_report *r, const struct spawn_plan *plan,
    pid_t *ret_pid);

/* The loop reads it from now on. -errno: not until exec_report_read() is called,
   such as when the child is dead. */
int exec_report_watch(struct exec_report *r, struct loop *loop,
    const struct exec_report_events *events);

/* What there is by now. When the child is dead that is all. */
void exec_report_read(struct exec_report *r);

/* Nothing more is read. The room stays, for a child that lives may stand on it. */
void exec_report_close(struct exec_report *r);

/* The child is dead, or was executed, or there is none: it is unused again. Fine
   for one that is. */
void exec_report_forget(struct exec_report *r);

#endif
