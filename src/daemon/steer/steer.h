/*
 * Which lanes get new connections: those of the workers that serve. Who is
 * ready, dead or to go is known here, daemon/sockets tells the kernel. And what
 * becomes of those who wait in a lane that nobody serves (steer_watch).
 */
#ifndef DAEMON_STEER_STEER_H
#define DAEMON_STEER_STEER_H

#include <stdbool.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

struct crew;
struct lane;
struct listener;
struct listeners;
struct loop;
struct worker;
struct workers;

struct steering;

/* Of the listeners, as far as a turn has time; the next one goes on. */
struct steer_walk {
	bool (*wants)(const struct steering *st, const struct listener *l,
	    struct mono now);
	struct listener *behind;	/* with whom it goes on; may be gone */
	struct loop_budget budget;
	bool unfinished;		/* by the latest turn */
};

struct steering {
	struct loop *loop;
	struct listeners *listeners;
	struct workers *workers;
	struct loop_timer look;		/* after those who wait, and lanes
					   that may get connections too */
	bool due;			/* it has come, or news, or there was
					   no time for all */
	uint64_t round;			/* in which all are seen to */
	struct steer_walk news;
	struct steer_walk sweep;	/* the others: each has its time */
};

/* -ENOMEM. Undone by _fini. */
int steer_init(struct steering *st, struct loop *loop,
    struct listeners *listeners, struct workers *workers);
void steer_fini(struct steering *st);

/* New connections are to avoid the worker from now on. */
void steer_away(struct steering *st, const struct worker *worker);

/* … all of the crew, of which nobody has a seat any more. */
void steer_away_crew(struct steering *st, const struct crew *crew);

/* Something about it has changed, or is just changing: its listeners are the
   first ones when the turn ends. */
void steer_note(struct steering *st, const struct worker *worker);

/*
 * After any change of workers, at the end of a turn: and those who wait where
 * nobody comes are seen to. First the listeners of the workers that were noted
 * and those with news, then, lest one was overlooked, the others: of either as many
 * as the turn has time for, at least one, and the next turn goes on with the rest;
 * of the others just one where there was no time for all of the first.
 */
void steer_turn(struct steering *st);

/* On with that; or there is a reason other than a change: lanes have clients or
   have changed hands, or a time has come. */
void steer_turn_if_due(struct steering *st);

/* Are there listeners with news for which the latest turn had no time? Not in a
   stop, which sees to none of them. */
bool steer_is_behind(const struct steering *st);

/* A worker is dead: new connections avoid its lanes from now on. Of many deaths
   at a time the first one of each listener; the others when the turn ends, but in a
   stop at once, as long as the listener does not refuse. */
void steer_death(struct steering *st, const struct worker *worker);

/* What the process has left behind in the kernel is undone, where others would
   have to bear it. */
void steer_ended(struct steering *steering, const struct worker *worker);

/* The same as steer_death(), and it will never come again: its lanes are free,
   for the next process that wants one. */
void steer_death_for_good(struct steering *st, const struct worker *worker);

/* The worker is ready. What it was seen to do, and what it has changed. */
void steer_ready(struct steering *st, const struct worker *worker);

/* What its lanes have seen, for those who read along (log_level = debug). */
void steer_figures(struct steering *st, const struct worker *worker);

/* It is gone: a lane that it was the last to share is one like the others. */
void steer_unshare(struct steering *st, const struct worker *worker);

/* Does a seated worker, other than this one, serve the lane for all? */
bool steer_has_sharer(const struct listener *listener,
    const struct worker *but);

/*
 * Who has a lane beside the worker, which is starting: nobody; those of its own
 * configuration, who do with it as it does, all starting like it or not; or
 * others too.
 */
enum steer_use {
	STEER_USE_NONE,
	STEER_USE_BEGINS,
	STEER_USE_KIN,
	STEER_USE_OTHERS,
};
enum steer_use steer_use_of(const struct lane *lane,
    const struct worker *worker);

/* Are there clients in its lanes whom nobody else could serve? The worker is
   dead or to retire. */
bool steer_keeps_waiting(struct steering *st, const struct worker *worker);

#endif
