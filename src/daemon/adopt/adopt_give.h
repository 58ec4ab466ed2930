/*
 * The lane takes the place of a worker's own socket: of every descriptor of it,
 * and in the epoll instances that it is in.
 */
#ifndef DAEMON_ADOPT_ADOPT_GIVE_H
#define DAEMON_ADOPT_ADOPT_GIVE_H

#include <stdint.h>

struct adoption;
struct ask;
struct error;
struct listener;
struct seccomp_call;
struct worker;

/* What core/sockets/adoption decided to give. Returns the errno for the caller, 0,
   -EINTR: again later, or another -errno: there is no caller any more. */
int adopt_give(const struct ask *ask, const struct adoption *adoption);

/*
 * `call` is a listen(2) on the lane with this inode, so that it shows how the
 * program will accept: the first of its kind decides whether they share, and
 * each that has bound a lane of its own before gets the common one. 0; -EINTR:
 * again later; -errno, maybe with words.
 */
int adopt_settle(struct worker *worker, const struct seccomp_call *call,
    struct listener *listener, uint64_t ino, struct error *err);

/* `call` is a listen(2) on a lane that the worker has bound to an interface: it
   gets one of another listener, which *l is then. As above. */
int adopt_narrow(struct worker *worker, const struct seccomp_call *call,
    struct listener **listener, uint64_t ino, struct error *err);

#endif
