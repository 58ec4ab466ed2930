#include <errno.h>
#include <stddef.h>

#include "daemon/workers/worker.h"

/* Who asks again sooner gets the same figures. */
#define USAGE_AGE_MS 50

/* So many files of /proc at a time; and what nobody has gone on with for so long
   is begun again. */
#define USAGE_FILES 32
#define USAGE_WALK_MS 10000

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
worker_usage_known(const struct worker *w)
{
	return worker_has_leader(w) && w->usage_serial == w->serial;
}

static void
end_walk(struct worker *w)
{
	usage_walk_free(w->usage_walk);
	w->usage_walk = NULL;
}

/* What is known stays until this one is over. */
static int
begin_walk(struct worker *w, struct mono now)
{
	int code = usage_walk_new(w->pid, &w->usage_walk);

	if (code < 0)
		w->usage_serial = 0;
	w->walk_serial = w->serial;
	w->walk_at = now;
	return code;
}

/* What is left out would come back at the next look, and go before: what is known of
   the process stays, and its time; but more memory than that is more for sure. */
static void
take_usage(struct worker *w, const struct usage *usage, struct mono now)
{
	w->usage_seen = now;
	if (usage->partial && worker_usage_known(w)) {
		if (usage->memory_bytes > w->usage.memory_bytes)
			w->usage.memory_bytes = usage->memory_bytes;
		return;
	}
	w->usage = *usage;
	w->usage_serial = w->serial;
	w->usage_at = w->walk_at;
}

int
worker_usage(struct worker *w, struct mono now)
{
	struct usage usage;
	int code = 0;

	if (w->usage_walk != NULL && (w->walk_serial != w->serial ||
	    mono_ms_between(w->walk_seen, now) >= USAGE_WALK_MS))
		end_walk(w);
	if (!worker_has_leader(w))
		return -ESRCH;
	if (w->usage_walk == NULL) {
		if (worker_usage_known(w) &&
		    mono_ms_between(w->usage_seen, now) < USAGE_AGE_MS)
			return 0;
		code = begin_walk(w, now);
	}
	if (code < 0)
		return code;
	w->walk_seen = now;
	if (!usage_walk_go_on(w->usage_walk, USAGE_FILES, &usage))
		return -EAGAIN;
	end_walk(w);
	take_usage(w, &usage, now);
	return 0;
}

void
worker_usage_end(struct worker *w)
{
	end_walk(w);
}
