/*
 * Readiness without a worker's help (ready = accept, auto): while workers
 * start, and only then, clusterd looks again and again whether they wait for
 * connections on their lanes (linux/waiting), and spends a small part of its
 * time on it, however many there are.
 */
#ifndef DAEMON_READINESS_H
#define DAEMON_READINESS_H

#include <sys/queue.h>

#include "linux/loop/loop.h"

struct worker;

struct readiness {
	struct loop *loop;
	struct loop_timer look; /* at the starters, when there are any */
	TAILQ_HEAD(starters, worker) starters;
};

/* -ENOMEM. Undone by _fini. */
int readiness_init(struct readiness *r, struct loop *loop);
void readiness_fini(struct readiness *r);

/* The worker's program runs: begin to look, if its app asks for that. */
void readiness_watch(struct readiness *r, struct worker *worker);

/* It listens now: look soon. */
void readiness_expect(struct worker *worker);

/* It is ready, or gone. */
void readiness_forget(struct worker *worker);

#endif
