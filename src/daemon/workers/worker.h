/*
 * A worker: the occupant of a seat under one configuration, and the process
 * that it has at the moment. core/worker_fsm decides, this carries out.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/log.h"
#include "core/worker/drain.h"
#include "core/worker/obituary.h"
#include "core/worker/worker_fsm.h"
#include "daemon/output/out_pipe.h"
#include "linux/loop/loop.h"
#include "linux/child/spawn.h"
#include "linux/process/usage.h"

struct adopt_pending;
struct app;
struct app_spec;

struct worker {
	struct app *app;
	struct app_spec *spec;		/* a reference */
	unsigned instance;
	uint64_t number;		/* in the order of their making */
	struct worker_fsm fsm;
	struct loop_timer timer;	/* fsm.deadline */
	struct worker *next;		/* in the app's list of all workers */
	struct worker **prev_next;
	bool seated;			/* else it retires */

	/* The process; reset with every start. */
	pid_t pid;			/* 0: none */
	uint64_t serial;		/* CLUSTERD_WORKER_ID */
	struct worker *next_pid;	/* in the supervisor's table */
	bool lingering;			/* the leader is dead and reaped, its
					   group is not */
	struct exit_status status;	/* of the dead leader */
	uint64_t *given;		/* as conf->listens: the inodes of the
					   lanes that it was started with; 0 */
	int report;			/* the exec's pipe */
	loop_handle report_handle;
	struct out_pipe *pipes[OUT_STREAMS];	/* NULL: none, or at its end */
	bool exec_failed;
	struct spawn_failure failure;
	int notify;			/* its sd_notify socket */
	char *notify_name;
	loop_handle notify_handle;
	bool notify_paused;
	bool notify_warned;		/* about nonsense, once is enough */
	unsigned notify_count;		/* since notify_since */
	struct mono notify_since;

	/* What it binds (daemon/adopt): */
	int trap;			/* the listener of its calls */
	loop_handle trap_handle;
	struct adopt_pending *adopt_pending;	/* to be answered later */
	bool adopt_warned;
	bool give_warned;
	bool adopt_low;			/* it has adopted a number that is one
					   of those given at the start */
	unsigned hints;

	/* Whether it waits for connections (daemon/readiness): */
	TAILQ_ENTRY(worker) starter;	/* in sup->starters … */
	int look_gap_ms;		/* … unless this is 0 */
	struct mono look_due;
	bool listens;			/* has called listen(2) on a lane */

	/* What its process used when it was last asked for: */
	uint64_t usage_serial;
	struct mono usage_at;
	struct usage usage;

	/* While it drains (daemon/drain): */
	TAILQ_ENTRY(worker) drainer;
	struct drain drain;
	struct drain_facts drain_facts;	/* of the latest look */
	int64_t drain_queue;		/* of the one under way */
	struct mono drain_due;
	struct mono drain_looked;	/* when the latest look began */
	bool drains;
	bool frozen;			/* has SIGSTOP from us, for a look */
	struct mono frozen_since;

	bool outdated;		/* a restart of its instance is to replace it */
	int64_t ready_ms;	/* how long the process took; -1: not ready */
	bool timed_out;		/* it was killed for not being ready in time */
	char *death;		/* how its last process ended, or NULL */
	bool was_ready;		/* ever */
	bool relapsed;		/* had been ready, and the start after that
				   ended before it was ready again */
};

/*
 * A worker in state IDLE, in the app's list; `trial` as in core/worker_fsm.
 * Takes a reference to the spec. NULL: no memory.
 */
struct worker *worker_new(struct app *app, struct app_spec *spec,
    unsigned instance, bool trial);

/* Free one whose process is gone; takes it out of the app's list. */
void worker_free(struct worker *worker);

void worker_start(struct worker *worker);
void worker_retire(struct worker *worker);	/* finish, then be gone */
void worker_stop(struct worker *worker);
void worker_kill(struct worker *worker);

/* The leader is dead, as `status` says, and not yet reaped. Reaps it. */
void worker_died(struct worker *worker, struct exit_status status);

/* A member of a lingering group was reaped: is the group gone now? */
void worker_check_group(struct worker *worker);

/* READY=1 came from it. */
void worker_said_ready(struct worker *worker);

/* It was seen to wait for connections. */
void worker_seen_waiting(struct worker *worker);

/* Nothing is left that its stop signal could lose. */
void worker_drained(struct worker *worker);

/* `web[2] pid 4711`; without a process `web[2]`. Borrows the app's name. */
struct log_about worker_about(const struct worker *worker);

/* One line about it. */
void worker_log(enum log_level level, const struct worker *worker,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

bool worker_alive(const struct worker *worker);
bool worker_ready(const struct worker *worker);

#endif
