#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/look_at.h"
#include "daemon/workers/worker.h"

/* Held up for so long, that is said. */
#define TELL_MS		3000

struct looker_whom
look_at_whom(const struct worker *w)
{
	return (struct looker_whom){
		.pid = w->pid, .creds = &w->spec->conf->creds,
	};
}

bool
look_at_may_pass(const struct worker *w)
{
	return looker_held_up_ms(w->pid) < LOOK_AT_LASTING_MS;
}

bool
look_at_failed(struct worker *w, int code)
{
	if (looker_is_held_up(code) && w->held_up_serial != w->serial &&
	    looker_held_up_ms(w->pid) >= TELL_MS) {
		w->held_up_serial = w->serial;
		worker_log_often(LOG_LEVEL_WARNING, w, "cannot be looked at "
		    "for now, because a file system or a lock that it waits "
		    "for holds up whoever looks: until that is over, its binds "
		    "wait, and it is not seen to be ready (said once per "
		    "process)");
	}
	return looker_is_held_up(code);
}
