/*
 * Readiness as it is seen (ready = accept, auto; and of whoever has said
 * READY=1): while workers start, and only then, clusterd looks again and again
 * whether they wait for connections on their lanes (linux/process/waiting), and spends a small part of its
 * time on it, however many there are.
 */
#ifndef DAEMON_WATCH_READINESS_H
#define DAEMON_WATCH_READINESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/worker/worker_fsm.h"
#include "daemon/watch/look_queue.h"

struct loop;
struct worker;

struct readiness {
	struct look_queue looks;	/* at the starters, when there are any */
	uint64_t turn;			/* in which there were looks at once … */
	int64_t spent_ns;		/* … which have taken so long */
};

/* -ENOMEM. Undone by _fini, when nobody starts any more. */
int readiness_init(struct readiness *r, struct loop *loop);
void readiness_fini(struct readiness *r);

/* worker->look: made, -ENOMEM; and freed, NULL is fine. */
int readiness_join(struct readiness *r, struct worker *worker);
void readiness_leave(struct worker *worker);

/* The worker's program runs, or has said READY=1: begin to look, if that
   matters; WAITS is posted when it does, and BLIND if it has said READY=1 and
   cannot be looked at. Again is no harm. */
void readiness_watch(struct worker *worker);

/* The last look at the worker that starts has got no answer, for reasons that are
   not the worker's: the machine had no time for it. */
bool readiness_is_unanswered(const struct worker *worker);

/* The same at once, and not posted: true: *ret_event is to be. For many in a turn
   it is false, as if nothing had been seen. */
bool readiness_look_now(struct worker *worker, enum worker_event *ret_event);

/* A look that was late has been answered: those that wait for one are made again. */
void readiness_look_again(struct readiness *readiness);

/* It listens now: look soon. */
void readiness_expect(struct worker *worker);

/* It counts as ready although nothing was seen of it: hint_unseen(), now or as soon
   as that can be seen, until it is anything else. */
void readiness_tell_unseen(struct worker *worker);

/* It is ready; … */
void readiness_end(struct worker *worker);

/* … or its process is gone. */
void readiness_forget(struct worker *worker);

#endif
