/* Locks on files that process trees hold. */
#ifndef LINUX_PROCESS_LOCKS_H
#define LINUX_PROCESS_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/mono.h"

/* The kernel's table, at one moment. */
struct locks {
	pid_t *pids;		/* who holds an exclusive one */
	size_t n;
	bool ofd;		/* there are some of open files, whose holder
				   is not in the table, or is gone */
	struct mono until;	/* for all looks together */
};

/* To be freed. Empty where it cannot be read. */
void locks_read(struct locks *ret_locks);
void locks_free(struct locks *locks);

/*
 * Has the process or a descendant an exclusive one (flock(2), fcntl(2)), which
 * keeps a second of its kind from starting? False also where that cannot be
 * seen; true where there is no time for it. To be called between
 * inspect_begin() and inspect_end().
 */
bool locks_held(const struct locks *locks, pid_t leader);

#endif
