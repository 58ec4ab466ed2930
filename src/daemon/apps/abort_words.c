#include <stddef.h>

#include "base/mono.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/abort_words.h"
#include "daemon/apps/app.h"
#include "daemon/health/health.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/hint.h"
#include "daemon/workers/worker.h"

/* One that is over so soon after its start may have found something taken. */
#define CONFLICT_MS 5000

/* May the worker beside which the new one was started be the reason for its
   death? */
static bool
may_conflict(const struct app *app, const struct seat *seat)
{
	return app->crew.target->conf->max_surge > 0 &&
	    seat->present != NULL && seat->next != NULL &&
	    seat->next_end == RESTART_CAUSE_FAILURE &&
	    !seat->next->was_ready && worker_has_leader(seat->present) &&
	    mono_ms_between(seat->next->fsm.executed, mono_now()) <
	    CONFLICT_MS && hint_holds(seat->present);
}

/* What the seat's new worker did to end the rollout. */
static void
put_deed(struct strbuf *sb, const struct app *app, const struct seat *seat)
{
	const struct worker *next = seat->next;
	const struct worker *bad = next != NULL ? next : seat->present;

	if (bad != NULL && bad->unwell)
		strbuf_printf(sb, "is unhealthy: %s", health_words(bad));
	else if (bad != NULL && worker_ready(bad))
		strbuf_puts(sb, "takes no connections: somebody has waited in "
		    "its queue for ready_timeout");
	else if (next == NULL)
		strbuf_printf(sb, "became ready and then died%s",
		    app->rollout.deaths < ROLLOUT_DEATHS ? "" :
		    ", the second death of the new workers");
	else
		strbuf_puts(sb, next->was_ready ? "became ready and then "
		    "died, on trial" : "did not become ready");
	if (bad != NULL && !worker_ready(bad) && bad->death != NULL)
		strbuf_printf(sb, " (%s)", bad->death);
}

/* With how many that serve: one that went first, for want of a surge, or one
   that had changed over and died, is missing for now. */
static void
put_what_is_left(struct strbuf *sb, const struct app *app)
{
	unsigned wanted = app->rollout.stable_wanted;
	unsigned ready = app_ready_count(app);

	strbuf_printf(sb, "; generation %u %s", app->crew.stable->generation,
	    app->over ? "had ended before" :
	    ready > 0 ? "keeps serving" : "stays");
	if (!app->over && ready > 0 && ready < wanted)
		strbuf_printf(sb, " with %u of %u instances", ready, wanted);
}

void
abort_words_put(struct strbuf *sb, const struct app *app, unsigned i)
{
	const struct seat *seat = &app->seats[i];

	strbuf_printf(sb, "%s aborted: the new worker of instance %u ",
	    app->rollout.kind == ROLLOUT_RESTART ? "restart" : "reload", i);
	put_deed(sb, app, seat);
	put_what_is_left(sb, app);
	if (may_conflict(app, seat))
		strbuf_puts(sb, "; if it takes a lock or a fixed port that "
		    "the old worker holds: max_surge = 0");
}
