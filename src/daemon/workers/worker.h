/*
 * A worker: the occupant of a seat under one configuration, and the process
 * that it has at the moment; what daemon/life makes of it.
 *
 * A field is written by the room that is named above it, and by no other. What
 * a room alone has to know of a worker is behind a pointer, to a struct that
 * only that room can see: it comes with the worker and goes with it.
 */
#ifndef DAEMON_WORKERS_WORKER_H
#define DAEMON_WORKERS_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/worker/autoscale.h"
#include "core/worker/obituary.h"
#include "core/worker/trial.h"
#include "core/worker/worker_fsm.h"
#include "daemon/sockets/listener.h"
#include "linux/process/usage.h"

struct app_spec;
struct care;
struct crew;
struct drainage;
struct leader;
struct look;
struct notify;
struct trap;

/* What autoscaling has seen of it. */
struct load {
	uint64_t serial;	/* the process … */
	struct mono at;		/* … when it was last seen, and … */
	uint64_t cpu_ns;	/* … what it had used then */
	bool known;		/* what it has used since the look before: */
	uint64_t permille;	/* of one CPU */
	struct autoscale_queue queue;	/* of the lanes that it has alone */
	bool spare;		/* nobody at all is in these, as is known */
};

struct worker {
	/* life, at its making (and holder.about.pid with each process): */
	struct crew *crew;
	struct app_spec *spec;		/* a reference */
	unsigned instance;
	uint64_t number;		/* in the order of their making */
	struct lane_holder holder;	/* it, for its lanes and the log */
	struct worker *next;		/* in the crew's list */
	struct worker **prev_next;
	struct leader *leader;		/* life */
	struct trap *trap;		/* adopt: what it binds */
	struct notify *notify;		/* watch: what it says */
	struct look *look;		/* watch: whether it waits */
	struct drainage *drainage;	/* watch: what it still has */
	struct care *care;		/* health: how it is */

	/* life: */
	struct worker_fsm fsm;
	int64_t ready_ms;	/* how long the process took; -1: not ready */
	bool was_ready;		/* ever */
	bool relapsed;		/* had been ready, and the start after that
				   ended before it was ready again */
	char *death;		/* how its last process ended, or NULL */

	uint32_t record;	/* its place in the ledger, or LEDGER_NOWHERE */
	bool unrecorded;	/* worker_note(): something in it has changed */
	LIST_ENTRY(worker) record_next;	/* … and then it is listed */

	/* life; of the process, new with every start: */
	pid_t pid;		/* 0: none */
	uint64_t identity;	/* process_identity(); 0 */
	bool fostered;		/* another supervisor has started it: it is the
				   keeper's child, who reaps it */
	uint64_t serial;	/* CLUSTERD_WORKER_ID */
	bool lingering;		/* the leader is dead and reaped, its group
				   is not */
	struct exit_status status;	/* of the dead leader */
	uint64_t *given;	/* as conf->listens: the inodes of the lanes
				   that it was started with; 0 */

	/* adopt; of the process: */
	bool trapped;		/* its binds are */
	uint64_t bound;		/* bit N: it has bound the listener that is
				   conf->listens[N] */

	/* watch; of one that drains, or did: */
	bool finished;		/* nothing of clients' is left, as far as seen */

	/* health; of the process: */
	bool unwell;		/* its last check was bad */
	bool stuck;		/* … as so many before it: it is to be replaced */
	int64_t watchdog_us;	/* its WATCHDOG_USEC: it was given, or has set;
				   0: none */
	bool gave_up;		/* WATCHDOG=trigger */

	/* watch; of the process: */
	struct mono extended;	/* EXTEND_TIMEOUT_USEC: until when */

	/* apps: */
	bool seated;		/* else it retires */
	bool present;		/* … and not on trial: it is its seat's */
	bool aside;		/* … and another one, on trial or not, gets the
				   new connections in its place */
	bool followed;		/* its successor is under way: should it die, its
				   lanes are its own still */
	bool heir;		/* started for those who wait in the lanes of
				   one that was dead when it was replaced */
	bool inherited;		/* … and such a one has what it had: it is dead,
				   and nobody but its successor comes */
	struct trial trial;	/* … of a rollout, if it serves: what is seen */
	struct mono retired;	/* of a rollout's old one: when it began to drain */
	bool outdated;		/* a restart of its instance is to replace it */
	char *recycled;		/* … or does, for this reason; NULL: for none */
	uint64_t deaf_serial;	/* the process whose listener was shut down,
				   and that has no other: worker_is_deaf() */

	uint64_t recycle_serial;	/* the process of which these are: */
	uint64_t connections_before;	/* what its lanes had taken before it */
	struct load load;		/* of an app that scales by itself */

	/* worker_usage(): of the process that it was last asked of; and of the
	   one that is being looked at. */
	uint64_t usage_serial;
	struct mono usage_at;		/* when that look was begun, … */
	struct mono usage_seen;		/* … and over */
	struct usage usage;
	struct usage_walk *usage_walk;	/* NULL: none is */
	uint64_t walk_serial;
	struct mono walk_at;		/* when that was begun, … */
	struct mono walk_seen;		/* … and was last gone on with */

	/* workers: */
	struct worker *next_pid;	/* in the table of pids */
	unsigned posted;		/* events that wait, as bits … */
	TAILQ_ENTRY(worker) post;	/* … listed unless there are none */
};

/* One line about it: `web[2] pid 4711: …`; without a process `web[2]: …`. */
void worker_log(enum log_level level, const struct worker *worker,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The same for what it can bring about at will, see log_often(). */
void worker_log_often(enum log_level level, const struct worker *worker,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* NULL for NULL. */
struct worker *worker_of_holder(const struct lane_holder *holder);

bool worker_ready(const struct worker *worker);

/* Clients do not reach it any more, although it waits for them. */
bool worker_is_deaf(const struct worker *worker);

/* Has it a process whose leader has not died? */
bool worker_has_leader(const struct worker *worker);

/*
 * Learn what its process and the descendants of that use, or used a moment ago: then
 * that is in `usage`. -EAGAIN: this was a part of it, to be gone on with by asking
 * again, in this turn or a later one. Other -errno: there is none, or it cannot be
 * told.
 */
int worker_usage(struct worker *worker, struct mono now);

/* Is there a `usage` of this process, of whatever age? */
bool worker_usage_known(const struct worker *worker);

/* A look that is under way is given up. */
void worker_usage_end(struct worker *worker);

#endif
