/*
 * Is it in the middle of an execve(2), with new memory and no program in it as
 * yet? As long as it waits there, such as for a file system that is to close a
 * file, or for a CPU, whoever reads its stat, its system call or where its
 * descriptors lead waits as well (seen with Linux 6.18). Its statm does not, which
 * is what is read here.
 */
#ifndef LINUX_PROCESS_EXECUTING_H
#define LINUX_PROCESS_EXECUTING_H

#include <stdbool.h>
#include <sys/types.h>

/* False also where that cannot be told; and it may begin just then. */
bool executing_is(pid_t pid);

#endif
