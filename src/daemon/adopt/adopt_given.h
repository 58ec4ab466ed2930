/* The descriptors that a worker was started with, once it binds by itself. */
#ifndef DAEMON_ADOPT_ADOPT_GIVEN_H
#define DAEMON_ADOPT_ADOPT_GIVEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_call;
struct worker;

/*
 * `call` is a bind(2) of the listener at this position, and not answered yet.
 * What the caller was given for it is of no use to it, and would keep the
 * listener open when the caller closes it: it becomes /dev/null, unless the
 * worker was told of it in a way that it may follow unasked. 0; -EINTR: again
 * later.
 */
int given_close(struct worker *worker, const struct seccomp_call *call,
    size_t position);

/*
 * Has a process between the caller and the worker's own, such as a shell, still
 * the lane with this inode, which it was given, and which the caller has bound?
 * It will never accept, and its descriptors are out of reach. 1, 0; -EINTR: not
 * seen, for now.
 */
int given_to_wrapper(struct worker *worker,
    const struct seccomp_call *call, uint64_t ino);

/*
 * What was given may be of a lane that the worker has no use for since: another
 * address took its listener's place, or it turned out to be shared. It becomes
 * the present one, so that nobody holds the old one open. `call` waits for its
 * answer. 0; -EINTR: not now, again later.
 */
int given_renew(struct worker *worker, const struct seccomp_call *call);

#endif
