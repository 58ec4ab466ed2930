/*
 * Adoption: the binds and listens of a worker's process tree come here, before
 * the kernel sees them. Where core/sockets/adoption says that the address is one of the
 * app's, the worker's own socket becomes the listener's lane; everything else
 * goes on as if nothing had been. Its modules, from the bottom up:
 *
 *   adopt_ask     what is asked for, and who else refers to the socket
 *   adopt_wish    what it has set up on that
 *   adopt_given   what it was started with goes, or is put right
 *   adopt_give    the lane takes the socket's place
 *   adopt_held    who has a lane
 *   adopt_tryout   whether a listener is to stay, or was only tried
 *   adopt_hint    what people are told of binds that are none of ours
 *   adopt_review  afterwards: which addresses are really served
 *   adopt         this door: calls and their answers
 */
#ifndef DAEMON_ADOPT_ADOPT_H
#define DAEMON_ADOPT_ADOPT_H

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "daemon/adopt/adopt_tryout.h"
#include "linux/loop/loop.h"

struct adopt_review;
struct app_spec;
struct config;
struct error;
struct ledger;
struct loop;
struct orphans;
struct worker;
struct workers;

struct adopt {
	struct loop *loop;
	struct ledger *ledger;		/* in which calls stand; NULL: in none */
	struct workers *workers;
	struct adopt_review *review;
	struct loop_timer again;	/* answers what could not be before */
	struct tryouts tryouts;
	struct mono pause;		/* until then binds wait */
	TAILQ_HEAD(adopt_queue, adopt_pending) queue;
	struct loop_budget budget;	/* of the calls of a turn */
	bool wishes;			/* some are pending: adopt_wish */
	bool can;			/* tried out, and it works */
	pid_t trying;			/* … by this child; 0: by none */
	bool told_not;
};

/* `review`: to be initialised too, before the first worker starts. -ENOMEM.
   Undone by _fini. */
int adopt_init(struct adopt *adopt, struct loop *loop, struct workers *workers,
    struct orphans *orphans, struct adopt_review *review);
void adopt_fini(struct adopt *adopt);

/* worker->trap: made, -ENOMEM; and freed, NULL is fine. */
int adopt_join(struct adopt *adopt, struct worker *worker);
void adopt_leave(struct worker *worker);

/*
 * Can it be done, for the apps of `config` that want it? Tried out until it
 * works. -errno with words when an app insists (handoff = adopt); for handoff =
 * auto it is logged, once, and adopt_wanted() is false from now on.
 */
int adopt_check(struct adopt *adopt, const struct config *config,
    struct error *err);

/* _check() of the same will follow, and takes less time then. */
void adopt_check_soon(struct adopt *adopt, const struct config *config);

/* Are the calls of this spec's workers to be trapped? */
bool adopt_wanted(const struct adopt *adopt, const struct app_spec *spec);

/* Answer the worker's calls that come over `listener`, which is taken over; -1:
   there was no room for it here. */
void adopt_begin(struct worker *worker, int listener);

/* The listener of its calls; -1: none. And it is one that another supervisor had,
   of a worker that has bound already what worker->bound says. */
int adopt_fd(const struct worker *worker);
void adopt_take_over(struct worker *worker, int listener);

/* From now on calls stand in the ledger (NULL: in none); and all workers are taken
   over that will be: what stands there of others is forgotten. */
void adopt_keep(struct adopt *adopt, struct ledger *ledger);
void adopt_keep_end(struct adopt *adopt);

/* A look that was late has been answered: those that wait for one are made again. */
void adopt_look_again(struct adopt *adopt);

/* Its process is gone. */
void adopt_end(struct worker *worker);

#endif
