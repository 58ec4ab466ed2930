/*
 * A worker: the occupant of a seat under one configuration, and the process
 * that it has at the moment; what daemon/life makes of it.
 */
#ifndef DAEMON_WORKERS_WORKER_H
#define DAEMON_WORKERS_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/log.h"
#include "core/worker/drain.h"
#include "core/worker/obituary.h"
#include "core/worker/worker_fsm.h"
#include "daemon/output/out_pipe.h"
#include "daemon/sockets/lanes.h"
#include "linux/loop/loop.h"
#include "linux/child/spawn.h"
#include "linux/process/usage.h"

struct adopt;
struct adopt_pending;
struct drain_looks;
struct notify_sockets;
struct readiness;
struct app_spec;
struct crew;
struct life;

struct worker {
	struct crew *crew;
	struct life *life;
	struct app_spec *spec;		/* a reference */
	unsigned instance;
	struct lane_holder holder;	/* it, for its lanes and the log */
	uint64_t number;		/* in the order of their making */
	struct worker_fsm fsm;
	struct loop_timer timer;	/* fsm.deadline */
	struct worker *next;		/* in the app's list of all workers */
	struct worker **prev_next;
	bool seated;			/* else it retires */
	bool present; /* … and not on trial: it is its seat's */

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
	struct notify_sockets *notifies;
	int notify;			/* its sd_notify socket */
	char *notify_name;
	loop_handle notify_handle;
	bool notify_paused;
	bool notify_warned;		/* about nonsense, once is enough */
	unsigned notify_count;		/* since notify_since */
	struct mono notify_since;

	/* What it binds (daemon/adopt): */
	struct adopt *adopt;
	int trap;			/* the listener of its calls */
	loop_handle trap_handle;
	struct adopt_pending *adopt_pending;	/* to be answered later */
	bool adopt_warned;
	bool give_warned;
	bool adopt_low;			/* it has adopted a number that is one
					   of those given at the start */
	unsigned hints;

	/* Whether it waits for connections (daemon/readiness): */
	struct readiness *readiness;
	TAILQ_ENTRY(worker) starter;	/* in readiness->starters … */
	int look_gap_ms;		/* … unless this is 0 */
	struct mono look_due;
	bool listens;			/* has called listen(2) on a lane */

	/* What its process used when it was last asked for: */
	uint64_t usage_serial;
	struct mono usage_at;
	struct usage usage;

	/* While it drains (daemon/drain): */
	struct drain_looks *drainage;	/* while it drains */
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
	bool executed;		/* ever, this process or one before */
	bool was_ready;		/* ever */
	bool relapsed;		/* had been ready, and the start after that
				   ended before it was ready again */
};

/* `web[2] pid 4711`; without a process `web[2]`. Borrows the app's name. */
struct log_about worker_about(const struct worker *worker);

/* One line about it. */
void worker_log(enum log_level level, const struct worker *worker,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* NULL for NULL. */
struct worker *worker_of_holder(const struct lane_holder *holder);

/* Have daemon/life take the event. */
void worker_post(struct worker *worker, enum worker_event event);

bool worker_alive(const struct worker *worker);
bool worker_ready(const struct worker *worker);

#endif
