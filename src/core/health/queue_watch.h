/*
 * Does a worker accept? Nobody asks it: it hangs if connections wait in a queue of
 * its and none was accepted for a while. Pure.
 *
 * Where connections are counted, one that was accepted is known as that. Else a
 * queue that has become shorter tells; one that never does, at any look, may be
 * that of a worker which is slower than its clients come: new ones avoid it then,
 * and so it does get shorter.
 */
#ifndef CORE_HEALTH_QUEUE_WATCH_H
#define CORE_HEALTH_QUEUE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/health/verdict.h"

/* What is seen of a queue at a time. */
struct queue_sight {
	uint32_t waiting;
	bool counted;		/* the next one is known: */
	uint64_t came;		/* so many have, in all */
	unsigned moves;		/* so often clusterd has emptied it */
};

/* What is known of it; zero-initialised. */
struct queue_watch {
	bool known;		/* it was looked at … */
	struct mono seen;	/* … then */
	bool waits;		/* somebody did … */
	uint32_t waiting;	/* … so many … */
	struct mono since;	/* … and none was accepted since then */
	bool counted;
	uint64_t taken;
	unsigned moves;
};

enum queue_news {
	QUEUE_EMPTIED,	/* nobody waits, and for no merit of its */
	QUEUE_TAKES,	/* it has accepted somebody, or nobody waits */
	QUEUE_WAITS,	/* somebody waits, not for too long as yet */
	QUEUE_HANGS,	/* for too long: a failure, and the next one is as much
			   later */
};

enum queue_news queue_watch_see(struct queue_watch *watch,
    const struct queue_sight *sight, int64_t timeout_ms, struct mono now);

/* While somebody waits: from one look to the next. */
int64_t queue_watch_pause_ms(int64_t timeout_ms);

/* `3 connections wait, and none was accepted in 5s` */
void queue_watch_say(uint32_t waiting, int64_t timeout_ms,
    struct verdict *ret_verdict);

#endif
