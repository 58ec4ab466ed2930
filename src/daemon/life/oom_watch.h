/*
 * How many processes of a control group the OOM killer has killed of late. The
 * kernel tells when there is one more, or when the group comes to its limit: until
 * then nothing is done, and then not again for a moment. Or it is only asked, which
 * wakes nobody, and tells not how late it was. Of daemon/life.
 */
#ifndef DAEMON_LIFE_OOM_WATCH_H
#define DAEMON_LIFE_OOM_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

struct oom_watch {
	struct loop *loop;	/* NULL: it is only asked */
	int events;		/* memory.events; -1: not watched */
	loop_handle handle;
	struct loop_timer again;	/* it is listened to again … */
	int64_t pause_ms;	/* … so long after it was told of last */
	uint64_t kills;		/* as last read */
	uint64_t unclaimed;	/* of those that came at `latest` … */
	struct mono latest;	/* where it is asked: when it was */
	uint64_t own;		/* its own limit was reached so often … */
	struct mono latest_own;	/* … and last then */
};

#define OOM_WATCH_INIT { .events = -1 }

/* `events` is its own then; -1 or no memory: it is not watched, and nothing is
   claimed. What was counted before does not count. */
void oom_watch_begin(struct oom_watch *watch, struct loop *loop, int events);
void oom_watch_end(struct oom_watch *watch);

/* The same, only to be asked. */
void oom_watch_begin_asked(struct oom_watch *watch, int events);

/* Was one killed just now that nobody has claimed? It is claimed by that.
   *ret_own: at the group's own limit. False where it is only asked. */
bool oom_watch_claim(struct oom_watch *watch, bool *ret_own);

/* Where it is only asked: how many were killed since it was last asked, or begun, and
   how long that is. 0: none, or it is watched. */
uint64_t oom_watch_count(struct oom_watch *watch, int64_t *ret_ms);

#endif
