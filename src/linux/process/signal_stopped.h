/*
 * A signal to a process that stands still (SIGSTOP), so that it is the first
 * that the process sees when it goes on.
 *
 * One that kill(2) sends is handled by whichever thread comes to it first, and
 * meanwhile the others go on: of a server with several, the one that accepts
 * may accept another connection. Sent to the main thread, which is the one that
 * accepts in most of them, and that the kernel would choose if it did not stand
 * still, it is handled before that thread does anything else.
 */
#ifndef LINUX_PROCESS_SIGNAL_STOPPED_H
#define LINUX_PROCESS_SIGNAL_STOPPED_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * To the main thread of a child of ours, which leads its process group. False,
 * and nothing was sent: it does not stand still; the signal is blocked there,
 * for another thread to take, or is not handled at all, so that it takes effect
 * at once; there are others in its group, or that cannot be told.
 */
bool signal_stopped(pid_t pid, int signo);

#endif
