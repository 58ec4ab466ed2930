#include <stddef.h>

#include "base/log.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/ending.h"
#include "daemon/on_event/on_event.h"
#include "daemon/watch/orphans.h"

/* Thousands that were killed need their time, where the machine is busy. One that
   has children of its own without end does not get us more. */
static bool
renew(struct ending *e)
{
	if (*e->deaths == e->before || e->renewals >= ENDING_RENEWALS)
		return false;
	e->before = *e->deaths;
	e->renewals++;
	e->longer(e->ctx, 2 * ENDING_GIVE_UP_MS);
	loop_timer_start(e->loop, &e->give_up, ENDING_GIVE_UP_MS);
	return true;
}

static void
give_up_due(void *ctx)
{
	struct ending *e = ctx;

	if (renew(e))
		return;
	log_error("some processes do not die although they were killed, "
	    "leaving them");
	*e->failed = true;
	e->done = true;
}

int
ending_init(struct ending *e, struct loop *loop, bool *failed)
{
	e->loop = loop;
	e->failed = failed;
	return loop_timer_init(loop, &e->give_up, give_up_due, e);
}

void
ending_fini(struct ending *e)
{
	loop_timer_fini(e->loop, &e->give_up);
}

void
ending_look(struct ending *e, bool killing)
{
	if (e->apps->first != NULL) {
		if (!apps_only_killed_left(e->apps))
			return;
	} else if (!on_event_is_over(e->on_event, killing)) {
		return;
	} else {
		enum orphans_left left = killing ?
		    orphans_kill_all(e->orphans) :
		    orphans_stop_all(e->orphans);

		/* No worker lives, and nothing that escaped from one. */
		if (left == ORPHANS_NONE)
			e->done = true;
		if (left == ORPHANS_STOP)
			loop_timer_set(e->loop, &e->give_up, MONO_NEVER);
		if (left != ORPHANS_KILLED)
			return;
	}
	if (!mono_is_never(e->give_up.due))
		return;
	e->before = *e->deaths;
	loop_timer_start(e->loop, &e->give_up, ENDING_GIVE_UP_MS);
}
