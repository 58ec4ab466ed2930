/*
 * Monotonic time. A point in time is a struct of one member, so that it is
 * never mixed up with a duration; durations are int64_t milliseconds and say
 * so in their name (`_ms`).
 */
#ifndef BASE_MONO_H
#define BASE_MONO_H

#include <stdbool.h>
#include <stdint.h>

struct mono {
	int64_t ns;	/* CLOCK_MONOTONIC */
};

#define MONO_NEVER ((struct mono){ .ns = INT64_MAX })

/* Read CLOCK_MONOTONIC. Only linux/, daemon/ and cli/ call this. */
struct mono mono_now(void);

/* t + ms, saturating at MONO_NEVER; ms >= 0. MONO_NEVER stays MONO_NEVER. */
struct mono mono_add_ms(struct mono t, int64_t ms);

/* Whole milliseconds from `from` to `to`, rounded down; negative if earlier. */
int64_t mono_ms_between(struct mono from, struct mono to);

static inline bool
mono_is_never(struct mono t)
{
	return t.ns == INT64_MAX;
}

static inline bool
mono_before(struct mono a, struct mono b)
{
	return a.ns < b.ns;
}

#endif
