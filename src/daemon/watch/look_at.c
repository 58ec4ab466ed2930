#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/look_at.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

/* Held up for so long, that is said; and that looks are made here. */
#define TELL_MS		3000
#define TELL_HERE_MS	1000

/* So long may be for want of the CPU. */
#define STARVED_MS	5000

struct looker_whom
look_at_whom(const struct worker *w)
{
	return (struct looker_whom){
		.pid = w->pid, .creds = &w->spec->conf->creds,
	};
}

struct looker_whom
look_at_caller(const struct worker *w, uint64_t call)
{
	struct looker_whom whom = look_at_whom(w);

	whom.occasion = call;
	return whom;
}

/* Whoever is looked at: said once, until it is over. */
static void
tell_trouble(void)
{
	static bool told;
	int64_t ms;
	int code = looker_trouble(&ms);
	bool due = code != 0 &&
	    ms >= (code == -ETIMEDOUT ? TELL_MS : TELL_HERE_MS);

	if (due && !told && code == -ETIMEDOUT)
		log_warning("no worker can be looked at for now, because the "
		    "processes that are started for it do not get so far: until "
		    "that is over, binds of workers wait, and none is seen to "
		    "be ready");
	else if (due && !told)
		log_warning("no process can be started that looks at workers: "
		    "until there can, clusterd does that by itself, and a "
		    "worker that holds up who looks at it holds up clusterd");
	told = code != 0 && (told || due);
}

bool
look_at_failed(struct worker *w, int code)
{
	tell_trouble();
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

bool
look_at_may_pass(struct worker *w, int code, struct mono *since)
{
	struct mono now = mono_now();

	if (!look_at_failed(w, code)) {
		if (code == 0)
			*since = MONO_NEVER;
		return false;
	}
	if (mono_is_never(*since))
		*since = now;
	return mono_ms_between(*since, now) < (code == -EAGAIN ?
	    STARVED_MS : LOOK_AT_LASTING_MS);
}

void
look_at_tell_unseen(const struct worker *w, int code)
{
	struct crew *crew = w->crew;

	worker_log(crew->unseen_told ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, w,
	    "its connections cannot be seen: %s%s", strerror(-code),
	    crew->unseen_told ? "" : " (said once)");
	crew->unseen_told = true;
}

void
look_at_tell_untimed(const struct worker *w)
{
	struct crew *crew = w->crew;

	worker_log(crew->untimed_told ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, w,
	    "it cannot be told when its connections were used, because what it "
	    "waits for in the midst of a call holds up whoever asks: until that "
	    "is over, each that is open counts as busy%s",
	    crew->untimed_told ? "" : " (said once)");
	crew->untimed_told = true;
}
