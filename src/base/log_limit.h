/*
 * Which lines of the log are too many: of each app and kind so many a second are
 * let through, the others are counted. A kind is an address, of the format string
 * or of whatever else tells them apart.
 * Pure; who logs holds it.
 */
#ifndef BASE_LOG_LIMIT_H
#define BASE_LOG_LIMIT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"

#define LOG_LIMIT_PER_SECOND	20
#define LOG_LIMIT_KINDS		256	/* in a second; all others are one */
#define LOG_LIMIT_VITAL		1024	/* … and those that are vital, … */
#define LOG_LIMIT_APP_KINDS	16	/* … of an app: its others are one */

struct log_limit_kind {
	char app[33];			/* "": clusterd itself */
	const void *kind;		/* NULL: free */
	struct mono since;		/* when its second began */
	unsigned n;			/* let through since then */
	unsigned long left_out;
	char sample[64];		/* the beginning of the first of those */
};

struct log_limit {
	/* Those that are vital come last; before them: others. */
	struct log_limit_kind v[LOG_LIMIT_KINDS + 1 + LOG_LIMIT_VITAL];
};

/*
 * May this line be written? `app`: NULL is clusterd itself. *ret_kind is where it
 * counts: with left_out == 1 its sample is the caller's to fill in. Told before
 * is what was left out of a second that has passed: `tell` may be called. One that
 * is `vital` is not left out for what others say: of an app that has no place at all
 * it passes, and counts nowhere. Nor is another one left out for those: either have
 * their own places. Of those an app has so many in a second, and one for what is of
 * yet other kinds, of which it could make up ever more, and where there is no place
 * left one that it has already.
 */
bool log_limit_pass(struct log_limit *limit, const char *app, const void *kind,
    bool vital, struct mono now,
    void (*tell)(const struct log_limit_kind *kind),
    struct log_limit_kind **ret_kind);

/* Tell what was left out of seconds that have passed by `now`. */
void log_limit_tell(struct log_limit *limit, struct mono now,
    void (*tell)(const struct log_limit_kind *kind));

/* When there will be something to tell; MONO_NEVER. */
struct mono log_limit_due(const struct log_limit *limit);

#endif
