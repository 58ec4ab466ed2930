/* The descriptors that a worker was started with, once it binds by itself. */
#ifndef DAEMON_ADOPT_ADOPT_GIVEN_H
#define DAEMON_ADOPT_ADOPT_GIVEN_H

#include <stddef.h>

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
 * What was given may be of a lane that the worker has no use for since: another
 * address took its listener's place, or it turned out to be shared. It becomes
 * the present one, so that nobody holds the old one open. `call` waits for its
 * answer.
 */
void given_renew(struct worker *worker, const struct seccomp_call *call);

#endif
