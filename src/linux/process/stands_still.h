/* A process that was told to stand still (SIGSTOP). */
#ifndef LINUX_PROCESS_STANDS_STILL_H
#define LINUX_PROCESS_STANDS_STILL_H

#include <stdbool.h>
#include <sys/types.h>

/* Do all threads of it, a child of ours, also by process_foster()? */
bool process_stands_still(pid_t pid);

/* The same of whosever child it is, thread by thread (/proc). */
bool process_threads_stand(pid_t pid);

#endif
