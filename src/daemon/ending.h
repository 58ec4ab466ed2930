/* The end of a stop: no worker is left, and nothing that escaped from one. */
#ifndef DAEMON_ENDING_H
#define DAEMON_ENDING_H

#include <stdbool.h>
#include <stdint.h>

#include "linux/loop/loop.h"

struct apps;
struct on_event;
struct orphans;

/* How long the end waits for killed processes of which none dies (state D); and how
   often that begins anew, when some have died meanwhile. */
#define ENDING_GIVE_UP_MS 10000
#define ENDING_RENEWALS	11

struct ending {
	struct loop *loop;
	struct apps *apps;
	struct on_event *on_event;	/* whose last ones have their time */
	struct orphans *orphans;
	void (*longer)(void *ctx, int64_t ms);	/* it will take so long */
	void *ctx;
	bool *failed;			/* the program has */
	struct loop_timer give_up;
	const uint64_t *deaths;		/* of our children, so many by now … */
	uint64_t before;		/* … and when that began */
	unsigned renewals;
	bool done;
};

/* -ENOMEM. Undone by _fini, which is fine for zeros too. */
int ending_init(struct ending *ending, struct loop *loop, bool *failed);
void ending_fini(struct ending *ending);

/* The apps stop, and something may have changed. `killing`: what is left behind
   has no time of its own. */
void ending_look(struct ending *ending, bool killing);

#endif
