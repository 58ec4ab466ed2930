/*
 * Workers are checked, as long as they are to serve: how each is, is known here,
 * and who is told: daemon/steer has new connections avoid those that are not well,
 * and whoever is above replaces those that stay so.
 */
#ifndef DAEMON_HEALTH_HEALTH_H
#define DAEMON_HEALTH_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/health/health.h"
#include "linux/loop/loop.h"

struct checks;
struct lane;
struct steering;
struct strbuf;
struct worker;

/* Upcalls. */
struct health_watch {
	/* How a worker is has changed; `words` say what is wrong, or are NULL. */
	void (*news)(void *ctx, struct worker *worker, enum health_news news,
	    const char *words);
};

struct healths {
	struct checks *checks;
	struct steering *steering;
	const struct health_watch *watch;
	void *watch_ctx;
	struct loop_budget begins;	/* of a turn, where checks are due */
};

/* worker->care: made, -ENOMEM; and freed. */
int health_join(struct healths *healths, struct worker *worker);
void health_leave(struct worker *worker);

/* Its process is there to be checked, from now on, where that is asked for; again
   is no harm. */
void health_begin(struct worker *worker);

/* It is on its way out, or its process is gone. */
void health_end(struct worker *worker);

/* Another process. */
void health_forget(struct worker *worker);

/* One on trial: it is checked as often as makes sense. */
void health_hurry(struct worker *worker);

/* Nobody knows yet that it is well, or it is not. */
bool health_is_doubtful(const struct worker *worker);

/* Is it checked; what is known of it; and what the last check took, -1: there was
   none. */
bool health_is_checked(const struct worker *worker);
const struct health *health_of(const struct worker *worker);
int64_t health_took_us(const struct worker *worker);

/* `GET /healthz: no answer in 5s, 3 times`; "" of who is well. */
const char *health_words(const struct worker *worker);

/* What it says of itself, by sd_notify(3), with health = watchdog: WATCHDOG=1,
   WATCHDOG=trigger, WATCHDOG_USEC=. */
void health_said_alive(struct worker *worker);
void health_said_trigger(struct worker *worker);
void health_said_period(struct worker *worker, int64_t us);

/* health = queue: somebody has come into a lane that is heeded; `ctx` is the struct
   workers. For listeners_on_clients(). */
void health_client_came(void *ctx, const struct lane *lane);

/* As a supervisor before knew it, with the worker's watchdog_us and gave_up: it is
   checked at once; one that is to say that it is well has all its time again. */
void health_take_over(struct worker *worker, bool unwell);

#endif
