/* What a worker's death soon after its start may mean, for people. */
#ifndef DAEMON_WATCH_HINT_H
#define DAEMON_WATCH_HINT_H

#include <stdbool.h>

struct orphans;
struct strbuf;
struct worker;

/*
 * "; it left processes behind: …", or nothing. The leader is dead and not yet
 * reaped, and w->status says how. `timed_out`: it was killed because it was not
 * ready in time.
 */
void hint_put(struct strbuf *sb, struct worker *worker,
    struct orphans *orphans, bool timed_out);

/* Holds it something of its own that a second one may fail to get: a lock on a file,
   or a port where its app has no listeners? Costs a look at its processes. */
bool hint_holds(const struct worker *worker);

/* Has its process bound none of the app's addresses so far, although it is to:
   it is told of its descriptors in no way that others than those who know
   clusterd look for. */
bool hint_is_unbound(const struct worker *worker);

/* The worker counts as ready although nothing was seen of it. If it listens
   elsewhere, that is told. */
void hint_unseen(const struct worker *worker);

#endif
