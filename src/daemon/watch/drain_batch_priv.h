/*
 * A look at the connections of those that drain. One at a time; those who have
 * the same listeners and are due together have one between them, of what the
 * kernel has to tell.
 */
#ifndef DAEMON_WATCH_DRAIN_BATCH_PRIV_H
#define DAEMON_WATCH_DRAIN_BATCH_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"

struct app_spec;
struct drainage;
struct look_queue;

/* Of so many apps that drain at the same time the lists have gaps between them. */
#define DRAIN_BATCH_LISTS	8

struct drain_batch_list {
	const struct app_spec *of;	/* whose workers it was for; they may
					   be gone */
	struct mono next;		/* when the next one may be … */
	struct mono unhurried;		/* … for those who have nothing left, where
					there was a row of them */
	unsigned row;			/* the how manieth, without a pause */
};

struct drain_batch {
	struct look_queue *looks;	/* who drains */
	struct sockdiag diag;
	struct connections look;
	struct mono began;		/* the look */
	struct mono listed;		/* … when the kernel had told all of it;
					   or never */
	struct drain_batch_list lists[DRAIN_BATCH_LISTS];	/* the latest */
	bool judged;			/* … whether all that it tells of are idle */
	bool unlisted;			/* the last one came not so far */
	struct drainage *at;		/* who is being looked at, or NULL … */
	TAILQ_HEAD(, drainage) others;	/* … and those for whom it is, too */
	size_t n_others;
};

void drain_batch_init(struct drain_batch *b, struct look_queue *looks);
void drain_batch_fini(struct drain_batch *b);

/* Does it have nothing, as far as that is known without a look? */
bool drain_batch_needs_no_look(const struct drainage *x);

/* When the next list for its listeners may be, where only a few drain or many. */
struct mono drain_batch_next_list(const struct drain_batch *b,
    const struct drainage *x, bool few);

/* A look at it, until drain_batch_go_to_next() or drain_batch_end(): it is ->at. */
void drain_batch_begin(struct drain_batch *b, struct drainage *x);

/* The kernel is asked: it has its connections on these ports, and so has whoever
   else is due then and looked at with it. Needs ->diag. -errno: this look has come
   to its end. */
int drain_batch_ask(struct drain_batch *b, const struct connections_of *of,
    size_t n);

/* Go on for so long. What connections_step() returns. */
int drain_batch_step(struct drain_batch *b, int64_t ms);

/* The look at ->at has come to its end. The next of those for whom it is, too, is
   ->at, if it `may` and can be; else all has ended. */
void drain_batch_go_to_next(struct drain_batch *b, bool may);

/* One of the others, which is not of the batch any more, nor due; NULL: none. */
struct drainage *drain_batch_take(struct drain_batch *b);

/* It is not for this one any more, if it was. */
void drain_batch_leave(struct drain_batch *b, struct drainage *x);

/* Those who are left of the batch are due as they were. */
void drain_batch_end(struct drain_batch *b);

#endif
