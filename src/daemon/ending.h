/* The end of a stop: no worker is left, and nothing that escaped from one. */
#ifndef DAEMON_ENDING_H
#define DAEMON_ENDING_H

#include <stdbool.h>

#include "linux/loop/loop.h"

struct apps;
struct orphans;

/* How long the end waits for killed processes that do not die (state D). */
#define ENDING_GIVE_UP_MS 10000

struct ending {
	struct loop *loop;
	struct apps *apps;
	struct orphans *orphans;
	bool *failed;			/* the program has */
	struct loop_timer give_up;
	bool done;
};

/* -ENOMEM. Undone by _fini, which is fine for zeros too. */
int ending_init(struct ending *ending, struct loop *loop, bool *failed);
void ending_fini(struct ending *ending);

/* The apps stop, and something may have changed. `killing`: what is left behind
   has no time of its own. */
void ending_look(struct ending *ending, bool killing);

#endif
