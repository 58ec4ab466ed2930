#include <stddef.h>

#include "daemon/workers/worker.h"
#include "linux/process/looks.h"

/* Who asks again sooner gets the same figures. */
#define USAGE_AGE_MS 50
#define USAGE_OLD_MS	10000

void
worker_log(enum log_level level, const struct worker *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vabout(level, &w->holder.about, fmt, ap);
	va_end(ap);
}

void
worker_log_often(enum log_level level, const struct worker *w,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_voften(level, &w->holder.about, fmt, ap);
	va_end(ap);
}

struct worker *
worker_of_holder(const struct lane_holder *holder)
{
	return holder == NULL ? NULL : (struct worker *)((char *)holder -
	    offsetof(struct worker, holder));
}

bool
worker_ready(const struct worker *w)
{
	return w->fsm.state == WORKER_READY;
}

bool
worker_is_deaf(const struct worker *w)
{
	return w->pid != 0 && w->deaf_serial == w->serial;
}

bool
worker_has_leader(const struct worker *w)
{
	return w->pid != 0 && !w->lingering;
}

bool
worker_usage(struct worker *w, struct mono now, struct usage *ret_usage)
{
	const struct looker_whom whom = { .pid = w->pid };
	struct usage usage;

	if (!worker_has_leader(w))
		return false;
	if (w->usage_serial != w->serial ||
	    mono_ms_between(w->usage_at, now) >= USAGE_AGE_MS) {
		if (look_usage(&whom, &usage)) {
			w->usage_serial = w->serial;
			w->usage_at = now;
			w->usage = usage;
		} else if (w->usage_serial != w->serial ||
		    mono_ms_between(w->usage_at, now) >= USAGE_OLD_MS) {
			return false;
		}
	}
	*ret_usage = w->usage;
	return true;
}
