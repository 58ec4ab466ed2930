/*
 * What is seen of a retiring worker by the listeners and lanes that it has: what
 * waits there, what it has to finish, and whether more may come. Changes
 * nothing.
 */
#ifndef DAEMON_WATCH_DRAIN_SIGHT_H
#define DAEMON_WATCH_DRAIN_SIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf/conf.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"

struct drain_policy;
struct drain_tally;
struct worker;

/* More than any worker has. */
#define DRAIN_SIGHT_PORTS_MAX ((2 + LISTENER_OLD_FILES) * CONF_LISTENS_MAX)

/* How much waits in its lanes, those aside that somebody else serves too; or
   DRAIN_UNKNOWN. */
int64_t drain_sight_queue(const struct worker *worker, struct sockdiag *diag);

/* Where its connections may be: so many of `of`, DRAIN_SIGHT_PORTS_MAX at most;
   0: it has datagrams alone. Of more, those beside what is written are left
   out. */
size_t drain_sight_ports(const struct worker *worker,
    struct connections_of *of);

/* Does nobody get a new connection, neither by a lane of its own nor by one that
   it shares? */
bool drain_sight_refused(const struct worker *worker);

/* By a lane that others have too, the next connection may come to it. `all`: it
   has only such ones. */
bool drain_sight_gets_more(const struct worker *worker, bool all);

/* What UDP lanes of its own have to finish: added. */
void drain_sight_flows(const struct worker *worker,
    const struct drain_policy *policy, struct drain_tally *tally);

/* Where connections cannot be looked at, they may be counted. False: they may
   not. */
bool drain_sight_open(const struct worker *worker,
    struct drain_tally *ret_open);

/* Are these all, also of those that were moved from lane to lane? */
bool drain_sight_open_is_all(const struct worker *worker);

#endif
