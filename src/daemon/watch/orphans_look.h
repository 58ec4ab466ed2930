/* What workers have left behind, or have that is no descendant of theirs any
   more: seen at once, for who has to know now. Changes nothing. */
#ifndef DAEMON_WATCH_ORPHANS_LOOK_H
#define DAEMON_WATCH_ORPHANS_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct conf_creds;
struct crew;
struct orphans;
struct worker;

/* Is there a child of ours, other than a worker, in this process group? */
bool orphans_look_in_group(struct orphans *o, pid_t pgid);

/* Name those of them that live, in the worker's log. */
void orphans_look_log(struct orphans *o, const struct worker *worker);

/* Has this worker, which has just died, left a living process behind? */
bool orphans_look_for(struct orphans *o, const struct worker *worker);

/* Has a worker of this app processes that are no descendants of it any more? 1, 0;
   -EAGAIN: of one it could not be told whose it is, for now. */
int orphans_look_for_crew(struct orphans *o, const struct crew *crew);

/*
 * Has a child of ours, other than a worker, or a descendant of one the socket?
 * As waiting_holds(), with the rights of `creds`. It needs no CLUSTERD_WORKER_ID,
 * which a program that writes a title over its environment has lost.
 */
bool orphans_look_holds(struct orphans *o, const struct conf_creds *creds,
    uint64_t ino, int given, int n);

#endif
