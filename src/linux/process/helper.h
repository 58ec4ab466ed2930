/*
 * A child of ours that does what could hold us up: it may sleep for as long as
 * somebody else likes, and be killed or left to itself. It counts as an orphan
 * to whoever reaps.
 */
#ifndef LINUX_PROCESS_HELPER_H
#define LINUX_PROCESS_HELPER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"

#define HELPER_KEEPS	2	/* at most so many */
#define HELPER_ROOMS	64

/*
 * A child that calls fn(fd) with no other descriptors open than `keep`, of which
 * there are `n`, ascending, and ends. fn keeps to what birth.h says: the child
 * shares our memory where that can be, and as long as no more than HELPER_ROOMS are
 * about. A fork takes a lock of each file that we have mapped, the C library first
 * of all, and so waits for any process that has it, as it begins or ends, and gets
 * no CPU. Returns a pidfd, which is readable once it has ended, or -errno; then
 * there may be a child all the same (no pidfd before Linux 5.3, or for want of
 * descriptors), of which helper_has_ended() tells. `ret_pid`: 0, there is none.
 */
int helper_start(void (*fn)(int fd), int fd, const int *keep, size_t n,
    pid_t *ret_pid);
bool helper_has_ended(pid_t pid);

/* For the child: close all descriptors but these, as above. */
void helper_keep_only(const int *keep, size_t n);

/* Kill it. Not even that ends one that sleeps uninterruptibly. */
void helper_kill(int pidfd);

/* For one that was started by other means (birth.h): it counts for what comes next. */
void helper_note(pid_t pid);

/*
 * For the end of the program, with nobody left to be held up: those that still do
 * something are killed, and gone and reaped, or were not to be by then. The last few
 * are known, HELPERS_KNOWN.
 */
#define HELPERS_KNOWN	32
void helpers_await_end(struct mono end);

/* One child of ours, which has been killed: the same. 0 is fine. */
void helper_await_end(pid_t pid, struct mono end);

/*
 * Close *fd, and set it to -1, where that may drop the last reference to what
 * strangers have sent over it: the child has the last one, and a process that
 * ends waits for no SO_LINGER (net/ipv4/af_inet.c, inet_release()). Where there
 * can be no child, it is closed here.
 */
void helper_close(int *fd);

#endif
