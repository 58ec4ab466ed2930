/* What a start or a take-over has needed, and nobody needs any more, is given back. */
#ifndef DAEMON_SETTLING_H
#define DAEMON_SETTLING_H

#include "linux/loop/loop.h"

struct settling {
	struct loop *loop;
	struct loop_timer timer;
};

/* -ENOMEM. Undone by _fini, which is fine for zeros too. */
int settling_init(struct settling *settling, struct loop *loop);
void settling_fini(struct settling *settling);

/* The most of it is done: soon, when nobody waits for us any more. Counted from the last
   time that this is said. */
void settling_soon(struct settling *settling);

#endif
