/*
 * The last lines of each app of which output has come through clusterd
 * (core/output/ring), for those who ask.
 */
#ifndef DAEMON_OUTPUT_OUT_TAILS_H
#define DAEMON_OUTPUT_OUT_TAILS_H

#include <stdint.h>

#include "core/output/ring.h"

struct out_tail;

struct out_tails {
	struct out_tail *first;
	uint64_t seq;			/* of the next line */
	uint64_t last_ring;
	uint64_t changes;		/* rings that came or went */
};

/* The number of the next line of any app: as long as it is the same, none has
   come. */
static inline uint64_t
out_tails_seq(const struct out_tails *tails)
{
	return tails->seq;
}

/* It is another whenever a ring has come or gone. */
static inline uint64_t
out_tails_changes(const struct out_tails *tails)
{
	return tails->changes;
}

/* A reference to the app's, made when there is none; NULL: no memory, its lines
   are not kept then. */
struct out_tail *out_tails_get(struct out_tails *tails, const char *app);
void out_tail_unref(struct out_tail *tail);	/* NULL is fine */

/* Unless the app has been forgotten, or there is no tail. */
void out_tail_add(struct out_tail *tail, struct ring_source *source,
    const char *lines, size_t len);

/* The app is no more, nor are its last lines. */
void out_tails_forget(struct out_tails *tails, const char *app);
void out_tails_free(struct out_tails *tails);

/* Each app's ring, which may be remembered until out_tails_changes() is
   another. */
void out_tails_each(const struct out_tails *tails,
    void (*fn)(void *ctx, const char *app, const struct ring *ring), void *ctx);

#endif
