/* What a process and its descendants use. */
#ifndef LINUX_PROCESS_USAGE_H
#define LINUX_PROCESS_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Of a larger tree, what was found first. */
#define USAGE_PROCESSES_MAX 256
/* Whose children are looked for. */
#define USAGE_THREADS_MAX 1024

struct usage {
	uint64_t cpu_ns;	/* user and system, of the living, and of those
				   that they have reaped */
	uint64_t memory_bytes;	/* resident; what they share counts for each */
	bool partial;		/* but for one in the middle of an execve(2), which
				   may wait there: its own time is all that is
				   known of it */
};

/*
 * A look at a process and its descendants, in parts: each of its threads is a file
 * in /proc, and of a server they may be a thousand, which take longer than a turn of
 * the loop may. It holds a descriptor in between.
 */
struct usage_walk;

/* -ESRCH: there is no such process; -ENOMEM. */
int usage_walk_new(pid_t pid, struct usage_walk **ret_walk);

/* Read so many files more, or a few. True: that was all, and *ret_usage is what they
   use. */
bool usage_walk_go_on(struct usage_walk *walk, unsigned files,
    struct usage *ret_usage);

/* Fine for NULL. */
void usage_walk_free(struct usage_walk *walk);

/* Its CPU time in ns, without that of children; also of one that is dead and not
   reaped. 0: there is none. */
uint64_t usage_cpu(pid_t pid);

/* This process alone. */
struct usage usage_of_self(void);

#endif
