/*
 * Readiness as it is seen (ready = accept, auto; and of whoever has said
 * READY=1): while workers start, and only then, clusterd looks again and again
 * whether they wait for connections on their lanes (linux/process/waiting), and spends a small part of its
 * time on it, however many there are. A child looks, so that nobody is held up
 * (looks.h).
 */
#ifndef DAEMON_WATCH_READINESS_H
#define DAEMON_WATCH_READINESS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/worker/worker_fsm.h"
#include "daemon/watch/look_queue.h"

struct config;
struct looks;
struct loop;
struct worker;

struct readiness {
	struct look_queue looks;	/* at the starters, when there are any */
	struct looks *by;		/* who looks; NULL: we do, and may be held
					   up by a worker */
	int64_t looked_ns;		/* they have looked for so long, since the
					   last pause; … */
	struct mono not_before;		/* … which is until then */
	uint64_t turn;			/* in which there were looks at once … */
	int64_t spent_ns;		/* … which have taken so long, … */
	int64_t awaited_ns;		/* … and so long to wait for */
};

/* -ENOMEM. Undone by _fini, when nobody starts any more. */
int readiness_init(struct readiness *r, struct loop *loop);
void readiness_fini(struct readiness *r);

/* The first of this configuration are about to start: who looks begins meanwhile. */
void readiness_prepare(struct readiness *r, const struct config *config);

/* worker->look: made, -ENOMEM; and freed, NULL is fine. */
int readiness_join(struct readiness *r, struct worker *worker);
void readiness_leave(struct worker *worker);

/* The worker's program runs, or has said READY=1: begin to look, if that
   matters; WAITS is posted when it does, and BLIND if it has said READY=1 and
   cannot be looked at. Again is no harm. */
void readiness_watch(struct worker *worker);

/* The same at once, and not posted: true: *ret_event is to be. For many in a turn
   it is false, as if nothing had been seen. */
bool readiness_look_now(struct worker *worker, enum worker_event *ret_event);

/* It listens now: look soon. */
void readiness_expect(struct worker *worker);

/* It is ready; … */
void readiness_end(struct worker *worker);

/* … or its process is gone. */
void readiness_forget(struct worker *worker);

#endif
