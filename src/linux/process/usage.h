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
};

/* False: there is no such process. */
bool usage_of_tree(pid_t pid, struct usage *ret_usage);

/* Its CPU time in ns, without that of children; also of one that is dead and not
   reaped. 0: there is none. */
uint64_t usage_cpu(pid_t pid);

/* This process alone. */
struct usage usage_of_self(void);

#endif
