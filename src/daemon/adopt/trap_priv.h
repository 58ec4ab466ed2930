/* What daemon/adopt alone knows of a worker, and writes. */
#ifndef DAEMON_ADOPT_TRAP_PRIV_H
#define DAEMON_ADOPT_TRAP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/names/address.h"
#include "linux/loop/loop.h"

struct adopt;
struct tryout;
struct tryouts;
struct wish;

struct trap {
	struct adopt *adopt;
	int fd;			/* the listener of its calls; -1: none */
	loop_handle handle;
	struct wish *wishes;	/* adopt_wish */
	struct tryouts *all_tryouts;
	struct tryout *tryouts;	/* adopt_tryout: what it listens on, for so
				   short a time that it may be over at once */
	unsigned tried;		/* adopt_tryout: so many there were */
	bool bound;		/* adopt_tryout: it serves something of ours */
	unsigned hints;		/* adopt_hint: binds looked at */
	bool hint_late;		/* adopt_hint: one is left to be given */
	struct address hint_at;	/* of this address … */
	uint64_t hint_ino;	/* … and the socket that was to be bound to it */
	bool unreadable_told;	/* adopt_ask: its memory cannot be read */
	bool give_warned;	/* adopt_give: a listener could not be given */
	uint64_t placing;	/* adopt_give: the call for which a lane could
				   not be placed yet; 0: none */
	unsigned late;		/* adopt_datagram: so often there was no time
				   to look */
	bool moved;		/* adopt_review: it is to be looked at */
	bool low;		/* adopt_give: it has adopted a number that is
				   one of those given at the start */
};

#endif
