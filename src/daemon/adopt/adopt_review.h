/*
 * Which of an app's addresses its program really serves. What servers have
 * bound and closed again, as some do to see whether a port is free, must not go
 * on taking clients; nor what the app's program does not bind although it binds
 * others.
 */
#ifndef DAEMON_ADOPT_ADOPT_REVIEW_H
#define DAEMON_ADOPT_ADOPT_REVIEW_H

#include "linux/loop/loop.h"

struct crew;
struct orphans;
struct worker;
struct workers;

struct adopt_review {
	struct loop *loop;
	struct workers *workers;
	struct orphans *orphans;
	struct loop_timer timer;
	struct loop_timer moves;
	struct mono end;		/* of what may be put off */
	bool whole;			/* … or only that is looked at */
	uint64_t from;			/* the number of the crew whose turn it is */
	struct mono looked;		/* after the last one */
};

/* -ENOMEM. Undone by _fini. */
int adopt_review_init(struct adopt_review *review, struct loop *loop,
    struct workers *workers, struct orphans *orphans);
void adopt_review_fini(struct adopt_review *review);

/* A worker got ready, or went: the crew's addresses are reviewed a little
   later, for all that happened by then. */
void adopt_review_soon(struct adopt_review *review, struct crew *crew);

/* A ready worker has bound something: it is looked a little later whether it
   still has its lanes open. */
void adopt_review_move(struct adopt_review *review, struct worker *worker);

#endif
