/*
 * The process of a worker, which leads a group of its own: how it is started,
 * and what is heard of it until its program is executed. For daemon/life.
 */
#ifndef DAEMON_LIFE_LEADER_PRIV_H
#define DAEMON_LIFE_LEADER_PRIV_H

#include <sys/queue.h>

#include <stdbool.h>

#include "daemon/life/group_priv.h"
#include "daemon/output/out_pipe.h"
#include "linux/child/exec_report.h"
#include "linux/loop/loop.h"

struct life;
struct worker;

/* What daemon/life alone knows of a worker. */
struct leader {
	struct life *life;
	struct worker *worker;
	struct loop_timer timer;	/* worker->fsm.deadline */
	bool by_oom;		/* dead, by the OOM killer */
	const char *timed_out;	/* killed for not being ready in time, in
				   words; or NULL */
	bool executed;		/* ever, this process or one before */
	bool doubted;		/* life_again: whether its process, another
				   supervisor's, is there is yet to be seen */
	bool late;		/* in the list of those whose delay is over … */
	TAILQ_ENTRY(leader) late_link;	/* … and who had no time yet */

	/* From birth to exec, by leader.c: */
	struct exec_report exec;
	struct group group;
	struct out_pipe *pipes[OUT_STREAMS];	/* NULL: none, or at its end */
};

/* worker->leader, without a process: made, -ENOMEM; and freed, NULL is fine. */
int leader_join(struct life *life, struct worker *worker);
void leader_leave(struct worker *worker);

/* Among those that are to be started when a turn has time, or not any more. */
void leader_be_late(struct leader *leader);
void leader_be_in_time(struct leader *leader);

/* Start a process; whatever is left of the last one is forgotten. False: there
   is none, which is logged. */
bool leader_start(struct worker *worker);

/* Hear of its exec, if there is news: EXECUTED is posted. */
void leader_read_report(struct worker *worker);

/* It is dead: what it said while it lived is read to the end. */
void leader_read_last(struct worker *worker);

/* Forget the process and everything that belongs to it alone. */
void leader_forget(struct worker *worker);

/* It has a process, of another supervisor's; its ends of the pipes by stream, -1:
   none, are the worker's now. */
void leader_take_over(struct worker *worker, const int *out);

/* If none of its processes was ever executed, its lanes are for others. Clients
   may wait in them: see to those before (steer_abandon()). */
void leader_leave_unused_lanes(struct worker *worker);

#endif
