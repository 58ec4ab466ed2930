/*
 * All workers, by pid, and the crews that they belong to. What the parts above
 * are told of them goes through struct worker_events.
 */
#ifndef DAEMON_WORKERS_WORKERS_H
#define DAEMON_WORKERS_WORKERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/mono.h"
#include "core/worker/restart.h"
#include "core/worker/worker_fsm.h"

#define PID_BUCKETS 512

struct app_spec;
struct loop;
struct worker;
struct worker_step;

/* Upcalls, set once: whoever is above is told of each step of a worker. */
struct worker_events {
	/* It has made a step. */
	void (*stepped)(struct worker *worker, const struct worker_step *step);
	/* … its process has ended, or none could be started. */
	void (*ended)(struct worker *worker, const struct worker_step *step,
	    enum restart_cause cause, const char *words);
	/* It drains, and was found to be `finished`. */
	void (*finished)(struct worker *worker);
};

/* The workers of one app, and what they have in common. It is part of an app,
   which alone writes what is not marked. */
struct crew {
	struct workers *all;		/* workers */
	struct crew *next;		/* workers */
	char *name;
	uint64_t number;		/* in the order of their additions */
	struct app_spec *stable;	/* in force */
	struct app_spec *target;	/* of the rollout; NULL: none */
	struct worker *workers;		/* life: seated, on trial, retiring */
	unsigned wanted;		/* seats */
	bool stopping;			/* or removed */
	bool dismissed;			/* … and no client finds another that
				   serves it: a stop, of it or of all */
	bool initial; /* there from the start of the program */
	bool executed;			/* life: some worker of it ever was */
	bool review;			/* adopt: its addresses … */
	bool doubts;			/* … of them those that are in doubt */
	bool unseen_told;		/* drainers */
	bool port_hinted;		/* hint */
	bool stdin_hinted;		/* hint */
	uint64_t options_told[2];	/* adopt: socket_inherit.h's numbers */
	struct mono port_looked;	/* hint */
	int alike_code;			/* hint: so many starts in a row ended */
	unsigned alike;			/* … with that code, while one lived */
	bool alike_hinted;
};

struct workers {
	struct loop *loop;
	const struct worker_events *events;
	struct crew *crews;
	struct worker *by_pid[PID_BUCKETS];
	TAILQ_HEAD(, worker) posted;	/* they have events that wait */
	uint64_t number;		/* workers_number() */
	uint64_t run_id;		/* tells our workers from another's */
	bool stopping;			/* the program */
	LIST_HEAD(, worker) unrecorded;	/* worker_note() */
	bool untrapped;			/* adopt: binds of workers cannot be
					   trapped here */
};

/* `run_id`: another for each run of the program. */
void workers_init(struct workers *workers, struct loop *loop,
    const struct worker_events *events, uint64_t run_id);

/* The program stops: what is left behind is seen to at its end. */
void workers_stop(struct workers *workers);

/* Another one each time, and higher: of an app, or of a worker. */
uint64_t workers_number(struct workers *workers);

/* The table of pids: into it, out of it, and who has that pid, or NULL. */
void workers_add(struct workers *workers, struct worker *worker);
void workers_remove(struct workers *workers, struct worker *worker);
struct worker *workers_find(struct workers *workers, pid_t pid);

void workers_enter(struct workers *workers, struct crew *crew);
void workers_leave(struct crew *crew);

/* One that is not on its way out, or NULL. */
struct crew *workers_crew(const struct workers *workers, const char *name);

/*
 * Events of workers are posted, and taken at the end of the turn (life_turn()),
 * so that whoever notices one is not called back by what comes of it. Twice the
 * same one is once.
 */
void worker_post(struct worker *worker, enum worker_event event);

/* What stands of it in the ledger has changed, by others than daemon/life: it is
   written at the end of the turn. */
void worker_note(struct worker *worker);

/* It is written, or nobody is to write it any more; one that waits for it, or
   NULL. */
void worker_noted(struct worker *worker);
struct worker *workers_unrecorded(const struct workers *workers);

/* The first of a worker's, in the order of enum worker_event: what may be a sign
   of life comes before deadlines. False: none. */
bool worker_take_post(struct worker *worker, enum worker_event *ret_event);

/* Forget them. */
void worker_unpost(struct worker *worker);

/* Somebody with events that wait, or NULL. */
struct worker *workers_posted(const struct workers *workers);

#endif
