/*
 * How many processes of a control group the OOM killer has killed of late. The
 * kernel tells when there is one more, or when the group comes to its limit: until
 * then nothing is done, and then not again for a moment. Of daemon/life.
 */
#ifndef DAEMON_LIFE_OOM_WATCH_H
#define DAEMON_LIFE_OOM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

struct oom_watch {
	struct loop *loop;
	int events;		/* memory.events; -1: not watched */
	loop_handle handle;
	struct loop_timer again;	/* it is listened to again */
	uint64_t kills;		/* as last read */
	uint64_t unclaimed;	/* of those that came at `latest` … */
	struct mono latest;
	uint64_t own;		/* its own limit was reached so often … */
	struct mono latest_own;	/* … and last then */
};

#define OOM_WATCH_INIT { .events = -1 }

/* `events` is its own then; -1 or no memory: it is not watched, and nothing is
   claimed. What was counted before does not count. */
void oom_watch_begin(struct oom_watch *watch, struct loop *loop, int events);
void oom_watch_end(struct oom_watch *watch);

/* Was one killed just now that nobody has claimed? It is claimed by that.
   *ret_own: at the group's own limit. */
bool oom_watch_claim(struct oom_watch *watch, bool *ret_own);

#endif
