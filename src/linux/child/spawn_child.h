/*
 * What a child does between its birth and its exec. It may share the memory of
 * the supervisor, which goes on meanwhile, unless it is to become another user:
 * nothing here allocates, locks, sets errno, calls the C library or writes to what
 * is not its own.
 */
#ifndef LINUX_CHILD_SPAWN_CHILD_H
#define LINUX_CHILD_SPAWN_CHILD_H

#include <sys/socket.h>
#include <sys/types.h>

#include "linux/child/spawn_plan.h"

struct spawn_child {
	struct spawn_plan plan;	/* in memory of the child's own */
	int report;		/* its end of the socket, a number of the
				   child's table … */
	int report_of_parent;	/* … and the other, not the child's */
	pid_t parent;
};

/* With the listener of its trapped calls; aligned as cmsg(3) wants it. */
union spawn_fd_message {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* Executes, or reports why not and ends. */
void spawn_child_run(const struct spawn_child *child)
    __attribute__((noreturn));

#endif
