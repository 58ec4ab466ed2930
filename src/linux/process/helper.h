/*
 * A child of ours that does what could hold us up: it may sleep for as long as
 * somebody else likes, and be killed or left to itself. Whoever reaps it says so:
 * helper_reaped().
 */
#ifndef LINUX_PROCESS_HELPER_H
#define LINUX_PROCESS_HELPER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Fork; the child calls fn(ctx) with no other descriptors open than `keep`, of
 * which there are `n`, ascending, and ends. It may do whatever a process with a
 * single thread may. Returns a pidfd, which is readable once it has ended, or -errno;
 * then there may be a child all the same (no pidfd before Linux 5.3, or for want of
 * descriptors), of which helper_has_ended() tells. `ret_pid`: 0, there is none.
 */
int helper_start(void (*fn)(void *ctx), void *ctx, const int *keep, size_t n,
    pid_t *ret_pid);
bool helper_has_ended(pid_t pid);

/* Does this child of ours run, or would if it had the CPU? */
bool helper_is_runnable(pid_t pid);

/* One that was started in another way is one of them from here on. */
void helper_note(pid_t pid);

/* The same, known to nobody; the pid, of an unreaped child, or -errno. */
pid_t helper_fork(void (*fn)(void *ctx), void *ctx, const int *keep, size_t n);

/* Was this dead child of ours, which has just been reaped, one of those? Nothing
   follows from its end. Of those that are there, 64 are known. */
bool helper_reaped(pid_t pid);

/* Kill those that are known, and reap them; all together may take `ms`. */
void helper_end_all(int64_t ms);

/* Reap children that were killed; all together may take `ms`. */
void helper_await_end(const pid_t *pids, size_t n, int64_t ms);

/* Kill it. Not even that ends one that sleeps uninterruptibly. */
void helper_kill(int pidfd);

/*
 * Close *fd, and set it to -1, where that may drop the last reference to what
 * strangers have sent over it: the child has the last one, and a process that
 * ends waits for no SO_LINGER (net/ipv4/af_inet.c, inet_release()). Where there
 * can be no child, it is closed here.
 */
void helper_close(int *fd);

#endif
