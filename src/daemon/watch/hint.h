/* What a worker's death soon after its start may mean, for people. */
#ifndef DAEMON_WORKER_HINT_H
#define DAEMON_WORKER_HINT_H

struct orphans;
struct strbuf;
struct worker;

/*
 * "; it left processes behind: …", or nothing. The leader is dead and not yet
 * reaped, and w->status says how.
 */
void worker_put_hint(
    struct orphans *o, struct worker *worker, struct strbuf *sb);

#endif
