/*
 * When an app with a range of instances has one more, and when one less. Pure.
 *
 * It grows when for `up_ms` connections have waited, and no worker was there for
 * them, or the workers were busy; it shrinks when for `down_ms` nobody has waited
 * and one worker less would have been half idle still. So a steady load on the CPUs
 * moves it to one number and leaves it there. Of workers that wait for something
 * else, such as a database, nobody knows whether one less would do until it has
 * gone: if it has to come back as soon, the next one goes after twice the time, up
 * to AUTOSCALE_PATIENCE_MAX times of it; and so it is with a load that comes and
 * goes. Those behind one that has not come back do not wait so long.
 *
 * It counts from when the last change has come to its end: it does not grow while
 * somebody is being started, who takes nothing yet, or waits for a restart: a crash
 * is no load. How long it was idle outlives a restart, if what is known of the others
 * then says so too.
 */
#ifndef CORE_WORKER_AUTOSCALE_H
#define CORE_WORKER_AUTOSCALE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct strbuf;

/* Of one CPU, in thousandths, on average over the workers: they are busy … */
#define AUTOSCALE_BUSY 800
/* … and one of them can go if the others would be below this. */
#define AUTOSCALE_IDLE 500

#define AUTOSCALE_PATIENCE_MAX 64

/* From one look to the next; and while it may be about to grow: that somebody waits
   at one moment says little. */
#define AUTOSCALE_LOOK_MS	1000
#define AUTOSCALE_LOOK_SOON_MS	200

/* The looks at many workers are further apart: so much for each. */
#define AUTOSCALE_EACH_MS	10

enum autoscale_why {
	AUTOSCALE_WAITING,	/* more: connections wait */
	AUTOSCALE_BUSY_CPU,	/* … the workers are busy */
	AUTOSCALE_IDLE_CPU,	/* less */
	AUTOSCALE_REASONS
};

/* "waiting", "busy", "idle": part of the protocol. */
const char *autoscale_why_name(enum autoscale_why why);

/* A queue, from look to look. Zero-initialised. */
struct autoscale_queue {
	bool waits;		/* somebody was in it at every look … */
	struct mono since;	/* … since then */
};

void autoscale_queue_note(struct autoscale_queue *queue, uint32_t waiting,
    struct mono now);

struct autoscale_rules {
	unsigned least, most;
	int64_t up_ms, down_ms;
};

/* What is seen at a look. */
struct autoscale_sample {
	unsigned wanted;	/* instances */
	bool settled;		/* no reload or restart is under way */
	bool starting;		/* somebody is being started, or will be */
	unsigned measured;	/* ready and well ones whose CPU time is known;
				   0: the next does not count */
	uint64_t cpu;		/* their sum, in thousandths of a CPU */
	bool spare;		/* one of them has no connection: who waits
				   elsewhere would not be helped by another */
	/* Of the queues in which somebody was at every look, the one where that
	   goes back furthest. */
	struct autoscale_queue queue;
};

/* The memory of an app. Zero-initialised. */
struct autoscale {
	unsigned wanted;
	bool settled;
	struct mono settled_since;
	bool starting;		/* somebody was */
	bool busy;		/* at every look … */
	struct mono busy_since;
	bool idle;
	struct mono idle_since;
	unsigned patience;	/* so many times as long, as 2^n */
	bool shrunk;		/* the last change was one less … */
	struct mono shrunk_at;	/* … then */
};

struct autoscale_decision {
	int by;			/* 0, 1 or -1 */
	enum autoscale_why why;	/* of the last two … */
	int64_t for_ms;		/* … and for how long it was so */
	int64_t next_ms;	/* until the next look */
};

struct autoscale_decision autoscale_decide(struct autoscale *scale,
    const struct autoscale_rules *rules,
    const struct autoscale_sample *sample, struct mono now);

/* `connections waited for 1.2s`, `workers were busy for 1s`, `workers were idle
   for 60s`. */
void autoscale_put_words(struct strbuf *sb,
    const struct autoscale_decision *decision);

#endif
