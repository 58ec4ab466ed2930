/* Binds that are none of ours, and what people are told of them. */
#ifndef DAEMON_ADOPT_ADOPT_HINT_H
#define DAEMON_ADOPT_ADOPT_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;
struct app_spec;
struct ask;
struct listener;
struct seccomp_call;
struct worker;

/*
 * The kernel will judge: if it will refuse, most likely another instance has
 * the port, and nobody has told clusterd to share it. That is said once per
 * address, and by _late(): when the worker asks again, gets ready, or is gone.
 * What the other one is shows after its bind: it may lock a file.
 */
void adopt_hint(const struct ask *ask);
void adopt_hint_late(struct worker *worker);

/*
 * It listens on a socket that is no lane, of that inode: if that is bound as it asked,
 * the other instance's bind, which was let go shortly before, has failed, came later,
 * or is over. A socket that is bound to nothing listens as well, on any port (listen(2)).
 */
void adopt_hint_listens(struct worker *worker, const struct seccomp_call *call,
    uint64_t ino);

/* It listens there, and that is none of its app's. Said once per address. */
void adopt_hint_elsewhere(const struct worker *worker,
    const struct address *address);

/*
 * Its workers serve what they were given, which is open to all, although the
 * command names a private address. Said once per generation, and not before
 * somebody does: a server may bind late.
 */
void adopt_hint_public(struct app_spec *spec,
    bool (*is_served)(void *ctx, struct listener *listener), void *ctx);

/* An IPv4 socket for a listener that is for IPv6 alone. */
void adopt_log_refused(const struct ask *ask, size_t position);

#endif
