/*
 * What pages are told: the state of clusterd, events as they happen, output. While
 * no page is open nothing is asked, and no timer is set.
 */
#ifndef WEB_FEED_H
#define WEB_FEED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "base/str.h"
#include "core/web/web_rows.h"
#include "linux/loop/loop.h"
#include "web/asker.h"
#include "web/pages.h"
#include "web/sampler.h"
#include "web/stream.h"

/* What a page that is opened later is told of what came before. */
#define FEED_EVENTS	200
#define FEED_LINES	400

/* The last few texts. */
struct feed_ring {
	char **v;
	size_t max, first, n;
};

/* Records as they come, on their way to the pages. */
struct feed_tap {
	struct feed *feed;
	const char *name;		/* of the event that pages get */
	bool logs;
	struct stream stream;
	struct loop_timer flush;
	struct loop_timer again;	/* to open it once more */
	struct feed_ring ring;
	struct strbuf fresh;		/* JSON, not told yet */
	uint64_t lost;
	uint64_t last_ms;		/* the time of the last one, and … */
	size_t n_last;			/* … how many had it */
	bool replaying;			/* what was told may come once more, … */
	size_t n_replayed;		/* … so many of those did */
	int64_t gap_ms;			/* until it is opened again */
};

struct feed {
	struct loop *loop;
	struct pages pages;
	struct sampler *sampler;
	struct sampler_wait wait;
	struct loop_timer tick;
	struct feed_tap events;
	struct feed_tap lines;
	struct web_rows rows;		/* as they were told */
	bool told;
	bool lost;			/* no clusterd answers; it was told */
	bool actions;			/* may be taken; told to pages */
	int64_t gap_ms;			/* between two samples */
	struct mono sampled;
};

/* `actions`: pages are told that some may be taken. -ENOMEM. */
int feed_init(struct feed *feed, struct loop *loop, struct asker *asker,
    struct sampler *sampler, bool actions);
void feed_fini(struct feed *feed);

#endif
