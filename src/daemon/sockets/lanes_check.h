/*
 * A connection of clusterd's own that reaches exactly the lane which it means,
 * whoever gets new connections: its socket is bound first, then the program is
 * told from where it will come, and then it connects. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_CHECK_H
#define DAEMON_SOCKETS_LANES_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct check_source;
struct error;
struct lane;
struct listeners;

/*
 * What comes from there goes to that lane, which listens and is one worker's own:
 * until _end, which must come before the socket that is bound there is closed.
 * It ends at that time at the latest; until then nobody who waits there is moved
 * elsewhere because its worker is stuck. TCP. With words: -EBUSY, others are in the
 * way, or its place in the kernel is not known at the moment: try with another
 * socket, or later; -errno.
 */
int lanes_check_begin(struct lane *lane, const struct check_source *source,
    struct mono ends, struct error *err);

/* Is there no more room for one, whatever its port? */
bool lanes_check_is_full(const struct lane *lane);

/* It is connected: in classic BPF, whose program is built anew for each, it is in
   nobody's way any more. */
void lanes_check_connected(struct listeners *all, uint64_t serial,
    const struct check_source *source);

/* `serial`: the listener's, which may be gone. */
void lanes_check_end(struct listeners *all, uint64_t serial,
    const struct check_source *source);

#endif
