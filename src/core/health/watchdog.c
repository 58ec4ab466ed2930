#include <errno.h>

#include "core/health/watchdog.h"

void
watchdog_begin(struct watchdog *w, struct mono now)
{
	w->since = now;
}

int
watchdog_set(struct watchdog *w, int64_t us, struct mono now)
{
	if (us < WATCHDOG_MIN_US)
		return -ERANGE;
	w->own_us = us;
	w->since = now;
	return 0;
}

bool
watchdog_alive(struct watchdog *w, struct mono now)
{
	if (w->gave_up)
		return false;
	w->since = now;
	return true;
}

/* Whole milliseconds, and rather too many. */
static int64_t
period_ms(const struct watchdog *w, int64_t timeout_ms)
{
	return w->own_us > 0 ? (w->own_us - 1) / 1000 + 1 : timeout_ms;
}

struct mono
watchdog_ends(const struct watchdog *w, int64_t timeout_ms)
{
	return w->gave_up ? MONO_NEVER :
	    mono_add_ms(w->since, period_ms(w, timeout_ms));
}

void
watchdog_late(struct watchdog *w, int64_t timeout_ms, struct mono now,
    struct verdict *ret)
{
	int64_t ms = period_ms(w, timeout_ms);

	w->since = now;
	ret->took_us = -1;
	if (w->gave_up)
		verdict_say(ret, VERDICT_BAD, "it said WATCHDOG=trigger");
	else if (ms % 1000 == 0)
		verdict_say(ret, VERDICT_BAD, "no WATCHDOG=1 in %llds",
		    (long long)(ms / 1000));
	else
		verdict_say(ret, VERDICT_BAD, "no WATCHDOG=1 in %lldms",
		    (long long)ms);
}
