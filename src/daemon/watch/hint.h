/* What a worker's death soon after its start may mean, for people. */
#ifndef DAEMON_WATCH_HINT_H
#define DAEMON_WATCH_HINT_H

struct orphans;
struct strbuf;
struct worker;

/*
 * "; it left processes behind: …", or nothing. The leader is dead and not yet
 * reaped, and w->status says how.
 */
void hint_put(struct strbuf *sb, struct worker *worker,
    struct orphans *orphans);

/* The worker counts as ready although nothing was seen of it. If it listens
   elsewhere, that is told. */
void hint_unseen(const struct worker *worker);

#endif
