#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/abort_words.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_health.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/apps/app_recycled.h"
#include "daemon/apps/app_rollout_end_priv.h"
#include "daemon/apps/app_trials.h"
#include "daemon/apps/seats.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

/* A reference becomes what is stable. */
void
rollout_put_in_force(struct app *app, struct app_spec *spec)
{
	app->crew.stable = spec;
	app_spec_put_in_force(spec);
}

/* The app does without it: a reference less. */
static void
leave(struct app *app, struct app_spec *spec)
{
	app_close_doors(app, spec);
	app_spec_unref(spec);
}

/* The number that the configuration has; 0: a range, in which it scales. */
unsigned
rollout_number_of(const struct app_spec *spec)
{
	return spec->conf->scales ? 0 : spec->instances;
}

void
rollout_forget_outdated(struct app *app)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->outdated = false;
	for (unsigned i = 0; i < app->n_seats; i++)
		app->seats[i].anew = false;
}

/* Its new workers have come up: it is what is stable from now on. That is written
   down before it is said: a supervisor that is killed in between rolls nothing back
   of which somebody has heard. */
static void
take_target(struct app *app)
{
	struct app_spec *old = app->crew.stable;

	app_spec_supersede(old);	/* unless it is the same */
	rollout_put_in_force(app, app->crew.target);
	app->crew.target = NULL;
	app_ledger_note(app);
	leave(app, old);
}

void
rollout_finish(struct app *app)
{
	const char *name = app->crew.name;
	unsigned generation = app->crew.target->generation;

	app_spec_adjust(app->crew.target);
	switch (rollout_done(&app->rollout)) {
	case ROLLOUT_BACK:
		take_target(app);
		log_app(LOG_LEVEL_WARNING, name,
		    "rolled back to generation %u", generation);
		break;
	case ROLLOUT_RESTART:
		app_health_taken(app);
		app_recycled_taken(app);
		take_target(app);
		log_app(LOG_LEVEL_INFO, name, "instance %u is restarted",
		    app->rollout.instance);
		break;
	case ROLLOUT_RELOAD:
	case ROLLOUT_NONE:
		take_target(app);
		log_app(LOG_LEVEL_INFO, name, "reload complete, generation %u",
		    generation);
		app->reloads_ok++;
		break;
	}
	app->over = app->failed = false;
	app_tell(app, EVENT_RELOADED, NULL);
}

/* Why instance `i` ends the rollout: to the log, and to whoever has asked. */
static void
tell_abort(struct app *app, unsigned i)
{
	struct strbuf why = STRBUF_INIT;

	if (app->rollout.kind == ROLLOUT_BACK) {
		log_app(LOG_LEVEL_ERROR, app->crew.name,
		    "the way back failed too, at instance %u%s", i,
		    app->crew.target == app->crew.stable ?
		    ": instances stay as they are" : "");
		return;
	}
	abort_words_put(&why, app, i);
	log_app(LOG_LEVEL_ERROR, app->crew.name, "%s",
	    why.failed ? "reload aborted" : why.text);
	app->reloads_aborted += app->rollout.kind != ROLLOUT_RESTART;
	free(app->reload_error);
	app->reload_error = strbuf_take(&why);
	/* That it failed must not be lost with the words. */
	if (app->reload_error == NULL)
		app->reload_error = strdup("aborted");
	app_tell(app, EVENT_ABORTED, app->reload_error);
	strbuf_free(&why);
}

/* What was stable had ended: nothing of it to go back to. */
static void
adopt_odd(struct app *app, const struct worker *odd)
{
	struct app_spec *old = app->crew.stable;

	app_spec_supersede(old);
	rollout_put_in_force(app, app_spec_ref(odd->spec));
	app_spec_unref(old);
	app->over = app->failed = false;
}

static void
go_back(struct app *app)
{
	log_app(LOG_LEVEL_WARNING, app->crew.name,
	    "rolling back the instances that had changed over");
	/* Seats that are empty by now get plain workers, which may crash as
	   they did before without being a failure of the way back. */
	seats_fill_now(app);
	app->crew.target = app_spec_ref(app->crew.stable);
}

/* The rollout to it was superseded by one that came to nothing: it serves, so
   everybody goes there. */
static void
turn_to(struct app *app, struct app_spec *spec)
{
	log_app(LOG_LEVEL_WARNING, app->crew.name, "going on to generation "
	    "%u, which serves already", spec->generation);
	if (rollout_number_of(spec) != 0 &&
	    rollout_number_of(spec) != rollout_number_of(app->crew.stable))
		app->crew.wanted = spec->instances;
	app->crew.wanted = app_spec_within(spec, app->crew.wanted);
	app->crew.target = app_spec_ref(spec);
}

void
rollout_give_up(struct app *app, unsigned i, const struct rollout_view *view)
{
	struct app_spec *failed = app->crew.target;
	struct rollout_aborted aborted;

	tell_abort(app, i);
	app_health_failed(app);
	app_recycled_failed(app);
	if (failed != app->crew.stable)
		app_spec_note_failed(failed);
	/* One that takes nobody would keep those who wait for ever. */
	if (app->seats[i].next != NULL && worker_ready(app->seats[i].next))
		seats_stop_next(app, i);
	seats_retire_next(app);
	app->crew.target = NULL;
	rollout_forget_outdated(app);
	aborted = rollout_abort(&app->rollout, &app->crew.wanted, view,
	    app->over);
	app_spec_reclaim(app->crew.stable);
	app_spec_adjust(app->crew.stable);
	if (aborted.leave)
		leave(app, failed);
	else
		app_spec_unref(failed);
	if (aborted.after == ROLLOUT_ADOPTS)
		adopt_odd(app, app->seats[aborted.odd].present);
	else if (aborted.after == ROLLOUT_RETURNS)
		go_back(app);
	else if (aborted.after == ROLLOUT_TURNS)
		turn_to(app, app->seats[aborted.odd].present->spec);
}
