/*
 * Children that share our memory. A fork copies our page tables, which takes
 * most of a millisecond on a virtual machine and tens of it on a busy one; and
 * each page that we write to then is copied as well.
 */
#ifndef LINUX_PROCESS_BIRTH_H
#define LINUX_PROCESS_BIRTH_H

#include <sys/types.h>

/* Of a sanitizer, which would not bear two processes in one memory: then it is a
   fork. */
#if defined(__has_feature)
#define BIRTH_WATCHED	__has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define BIRTH_WATCHED	1
#else
#define BIRTH_WATCHED	0
#endif

/*
 * A child that runs fn(ctx), whose return is its exit status. Until it executes
 * or ends it shares our memory while we go on: fn() allocates nothing, takes no
 * lock, sets no errno (raw_call.h), calls no function of the C library, writes to
 * nothing that is not its own, and keeps its ids: who becomes another user makes
 * all of the memory one that does not dump, and one that this user may trace once
 * that is undone (prctl(2), PR_SET_DUMPABLE). It inherits what is blocked; whoever
 * unblocks a signal there that dumps core sees to it that none is dumped, which
 * before Linux 5.16 kills all who share the memory.
 *
 * `top` is the end of its stack, aligned as a stack is, which stays until it has
 * ended; NULL: it is a fork. So it is where the sanitizers watch memory, where
 * raw_call() is not written, and for who asks for it by CLUSTERD_FORK in the
 * environment (valgrind knows no other way).
 *
 * Its pid, or -errno.
 */
pid_t birth(int (*fn)(void *ctx), void *ctx, void *top);

/*
 * A child that shares our table of descriptors, too: so it has no copies of any, and
 * changes nothing there until it has a table of its own (close_range(2),
 * CLOSE_RANGE_UNSHARE). -ENOTSUP where a child would be a fork; other -errno.
 */
pid_t birth_without_copies(int (*fn)(void *ctx), void *ctx, void *top);

#endif
