/*
 * Adoption: the binds and listens of a worker's process tree come here, before
 * the kernel sees them. Where core/adoption says that the address is one of the
 * app's, the worker's own socket becomes the listener's lane; everything else
 * goes on as if nothing had been.
 */
#ifndef DAEMON_ADOPT_H
#define DAEMON_ADOPT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

struct app_spec;
struct config;
struct crew;
struct error;
struct loop;
struct orphans;
struct worker;
struct workers;

struct adopt {
	struct loop *loop;
	struct workers *workers;
	struct orphans *orphans;
	struct loop_timer again;	/* answers what could not be before */
	struct loop_timer settle;	/* which addresses are really served */
	struct mono pause;		/* until then binds wait */
	bool can;			/* tried out, and it works */
	bool told_not;
};

/* -ENOMEM. Undone by _fini. */
int adopt_init(struct adopt *adopt, struct loop *loop, struct workers *workers,
    struct orphans *orphans);
void adopt_fini(struct adopt *adopt);

/*
 * Can it be done, for the apps of `config` that want it? Tried out until it
 * works. -errno with words when an app insists (handoff = adopt); for handoff =
 * auto it is logged, once, and adopt_wanted() is false from now on.
 */
int adopt_check(struct adopt *adopt, const struct config *config,
    struct error *err);

/* Are the calls of this spec's workers to be trapped? */
bool adopt_wanted(const struct adopt *adopt, const struct app_spec *spec);

/* Answer the calls that come over `listener`, which is taken over; -1: there
   was no room for it here. */
void adopt_begin(struct adopt *adopt, struct worker *worker, int listener);
void adopt_end(struct worker *worker);

/*
 * A worker got ready, or went. What servers have bound and closed again, as
 * some do to see whether a port is free, must not go on taking clients; nor
 * what the app's program does not bind although it binds others. Looked at a
 * little later, for all that happened by then.
 */
void adopt_settle_soon(struct adopt *adopt, struct crew *crew);

/* adopt_settle.c, for adopt.c: the timer `settle` is due. */
void adopt_settle(struct adopt *adopt, struct crew *crew);

#endif
