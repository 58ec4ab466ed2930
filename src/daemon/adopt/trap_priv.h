/* What daemon/adopt alone knows of a worker, and writes. */
#ifndef DAEMON_ADOPT_TRAP_PRIV_H
#define DAEMON_ADOPT_TRAP_PRIV_H

#include <stdbool.h>

#include "linux/loop/loop.h"

struct adopt;
struct adopt_pending;
struct trial;
struct trials;
struct wish;

struct trap {
	struct adopt *adopt;
	int fd;			/* the listener of its calls; -1: none */
	loop_handle handle;
	struct adopt_pending *pending;	/* to be answered later */
	struct wish *wishes;	/* adopt_wish */
	struct trials *all_trials;
	struct trial *trials;	/* adopt_trial: what it listens on, for so
				   short a time that it may be over at once */
	unsigned tried;		/* adopt_trial: so many there were */
	bool bound;		/* adopt_trial: it serves something of ours */
	unsigned hints;		/* adopt_hint: binds looked at */
	bool unreadable_told;	/* adopt_ask: its memory cannot be read */
	bool give_warned;	/* adopt_give: a listener could not be given */
	bool low;		/* adopt_give: it has adopted a number that is
				   one of those given at the start */
};

#endif
