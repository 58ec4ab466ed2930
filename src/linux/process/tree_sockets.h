/*
 * The sockets that a tree of processes has open, from /proc/PID/fd: in steps
 * with a time budget, for a server may have 100,000 of them.
 *
 * A descriptor that travels in a message (SCM_RIGHTS) between one step and the
 * next, or sits in a Unix socket meanwhile, may be missed.
 */
#ifndef LINUX_PROCESS_TREE_SOCKETS_H
#define LINUX_PROCESS_TREE_SOCKETS_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Larger trees are not looked through: -E2BIG. */
#define TREE_SOCKETS_PROCESSES_MAX 4096

struct tree_sockets {
	pid_t *pids;		/* the tree as far as it is known, owned */
	size_t n_pids;
	size_t cap_pids;
	size_t at;		/* the one at hand */
	DIR *dir;		/* its descriptors, or then its threads */
	bool threads;		/* which of the two */
	bool refused;		/* a process could not be looked at */
};

/* The processes in `roots` and their descendants. -ENOMEM. To be ended with
   tree_sockets_end(), which a zeroed one takes too. */
int tree_sockets_begin(struct tree_sockets *t, const pid_t *roots, size_t n);
void tree_sockets_end(struct tree_sockets *t);

/* A socket, and a descriptor of it. */
struct tree_socket {
	uint64_t ino;
	pid_t pid;
	int fd;
};

/*
 * Look on for about `budget_ms`, at 64 entries at least, and call `fn` for each
 * socket, once per descriptor. 1: there is more; 0: that was all;
 * -EACCES: that was all but for processes that may not be looked at; -E2BIG,
 * -ENOMEM. Processes that have gone are no error. Each step is to be called
 * between inspect_begin() and inspect_end().
 */
int tree_sockets_step(struct tree_sockets *t, int64_t budget_ms,
    void (*fn)(void *ctx, const struct tree_socket *socket), void *ctx);

#endif
