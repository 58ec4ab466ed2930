/*
 * A worker that says itself that it is well, again and again: WATCHDOG=1 of
 * sd_notify(3), within a time that it may change. Pure.
 */
#ifndef CORE_HEALTH_WATCHDOG_H
#define CORE_HEALTH_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/health/verdict.h"

/* Of one process; zero-initialised. */
struct watchdog {
	int64_t own_us;		/* its WATCHDOG_USEC, as it was given or has
				   set it; 0: health_timeout is */
	struct mono since;	/* it has said it, or a failure was counted */
	bool gave_up;		/* WATCHDOG=trigger, for good */
};

/* Its time counts from now on. */
void watchdog_begin(struct watchdog *watchdog, struct mono now);

/* What it may set: not less than health_timeout may be. -ERANGE. */
#define WATCHDOG_MIN_US (10 * INT64_C(1000))
int watchdog_set(struct watchdog *watchdog, int64_t us, struct mono now);

/* WATCHDOG=1. False: it has given up, and that counts no more. */
bool watchdog_alive(struct watchdog *watchdog, struct mono now);

/* When it is late; MONO_NEVER: it has given up, nothing more is to come. */
struct mono watchdog_ends(const struct watchdog *watchdog, int64_t timeout_ms);

/* It is late: a failure, and the next one is so much later; or it has given up. */
void watchdog_late(struct watchdog *watchdog, int64_t timeout_ms,
    struct mono now, struct verdict *ret_verdict);

#endif
