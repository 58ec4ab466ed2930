#include <stddef.h>

#include "base/log.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/ending.h"
#include "daemon/watch/orphans.h"

static void
give_up_due(void *ctx)
{
	struct ending *e = ctx;

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
	loop_timer_start(e->loop, &e->give_up, ENDING_GIVE_UP_MS);
}
