#include <stddef.h>

#include "daemon/workers/worker.h"

struct log_about
worker_about(const struct worker *w)
{
	return w->holder.about;
}

void
worker_log(enum log_level level, const struct worker *w, const char *fmt, ...)
{
	const struct log_about about = worker_about(w);
	va_list ap;

	va_start(ap, fmt);
	log_vabout(level, &about, fmt, ap);
	va_end(ap);
}

struct worker *
worker_of_holder(const struct lane_holder *holder)
{
	return holder == NULL ? NULL : (struct worker *)((char *)holder -
	    offsetof(struct worker, holder));
}

bool
worker_alive(const struct worker *w)
{
	return worker_state_alive(w->fsm.state);
}

bool
worker_ready(const struct worker *w)
{
	return w->fsm.state == WORKER_READY;
}

bool
worker_has_leader(const struct worker *w)
{
	return w->pid != 0 && !w->lingering;
}
