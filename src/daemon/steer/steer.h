/*
 * Which lanes get new connections: those of the workers that serve. Who is
 * ready, dead or to go is known here, daemon/sockets tells the kernel.
 */
#ifndef DAEMON_STEER_STEER_H
#define DAEMON_STEER_STEER_H

#include <stdbool.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

struct listener;
struct listeners;
struct loop;
struct worker;
struct workers;

struct steering {
	struct loop *loop;
	struct listeners *listeners;
	struct workers *workers;
	struct loop_timer again;	/* lanes that may get connections too */
	struct mono died;		/* the latest death of its kind */
};

/* -ENOMEM. Undone by _fini. */
int steer_init(struct steering *st, struct loop *loop,
    struct listeners *listeners, struct workers *workers);
void steer_fini(struct steering *st);

/* After any change of workers, at the end of a turn; and at once, where new
   connections are to avoid somebody from now on. */
void steer_all(struct steering *st);

/* A worker is dead: new connections avoid its lanes from now on. Of many deaths
   at a time the first one; the others when the turn ends. */
void steer_death(struct steering *st);

/* The worker is ready. What it was seen to do, and what it has changed. */
void steer_ready(struct steering *st, const struct worker *worker);

/* What its lanes have seen, for those who read along (log_level = debug). */
void steer_figures(struct steering *st, const struct worker *worker);

/* It is gone: a lane that it was the last to share is one like the others. */
void steer_unshare(struct steering *st, const struct worker *worker);

/*
 * Do others take from the worker's lane of the listener too? As the lane is now:
 * a reload may have made it everybody's, when its worker had it alone.
 */
bool steer_shares(const struct worker *worker, const struct listener *listener);

/* Does a seated worker, other than this one, serve the first lane? */
bool steer_has_sharer(const struct listener *listener,
    const struct worker *but);

/* Are there clients in its lanes whom nobody else could serve? The worker is
   dead or to retire. */
bool steer_keeps_waiting(struct steering *st, const struct worker *worker);

/* Nobody will accept from the worker's lanes for a while, or, `for_good`, ever
   again: see what becomes of the clients that wait there. */
void steer_abandon(
    struct steering *st, const struct worker *worker, bool for_good);

#endif
