/*
 * The control group of a worker's process, and what the OOM killer has done to it.
 * For daemon/life.
 */
#ifndef DAEMON_LIFE_GROUP_PRIV_H
#define DAEMON_LIFE_GROUP_PRIV_H

#include <stdbool.h>

#include "daemon/life/oom_watch.h"

struct life;
struct strbuf;
struct worker;

struct group {
	bool own;		/* the process has one of its own … */
	struct oom_watch oom;	/* … of which that is */
	bool at_limit;		/* of the OOM killer's death: its own one */
	bool told;		/* the worker's last one could not be had, as
				   people know */
};

#define GROUP_INIT { .oom = OOM_WATCH_INIT }

/* Before it is started: one of its own, if its app has limits of which any can be had.
   Its cgroup.procs, which is the caller's, or -1: it runs without; where that is for
   want of anything else than a controller, a line says so, and none when it is so
   again the next time. */
int group_begin(struct group *group, struct life *life,
    const struct worker *worker);

/* It is executed, and is in it, if it has one. */
void group_joined(struct group *group);

/* It could not go into it, as that errno says, and runs without. */
void group_refused(struct group *group, struct life *life,
    const struct worker *worker, int code);

/* Another supervisor has started its process. */
void group_again(struct group *group, struct life *life,
    const struct worker *worker);

/* It is dead, and whoever of it may be left is its own affair. */
void group_end(struct group *group, struct life *life,
    const struct worker *worker);

/*
 * Its process was killed by a SIGKILL that we have not sent: was it the OOM killer?
 * It was, if the kernel has counted a kill of its own in the worker's group, or where
 * it has none in ours that we have made, in the two seconds before, that no other
 * death accounts for.
 */
bool group_was_oom(struct group *group, struct life *life);

/* Else, in one that others have made: how many there were since that was last asked,
   or since we began, and how long that is; in words behind others, or none. */
void group_hint(struct strbuf *sb, const struct group *group,
    struct life *life);

/* For what leaves its groups behind: somebody of a worker was reaped. */
void group_shrank(struct life *life);

#endif
