/* Locks on files that a process tree holds. */
#ifndef LINUX_PROCESS_LOCKS_H
#define LINUX_PROCESS_LOCKS_H

#include <stdbool.h>
#include <sys/types.h>

/* Has the process an exclusive one (flock(2), fcntl(2)), which keeps a second
   of its kind from starting? False also where that cannot be seen. */
bool locks_held(pid_t pid);

#endif
