#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_seats.h"
#include "daemon/spec/app_spec.h"
#include "daemon/sockets/listeners.h"
#include "daemon/life/life.h"
#include "daemon/workers/worker.h"

/* What is left of the rollouts before. */
static void
forget_last(struct app *app)
{
	free(app->reload_error);
	app->reload_error = NULL;
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->outdated = false;
}

void
app_roll(struct app *app, struct app_spec *spec)
{
	if (app->crew.target != NULL) {
		log_app(LOG_LEVEL_INFO, app->crew.name,
		    "the newer configuration supersedes the reload to "
		    "generation %u", app->crew.target->generation);
		for (unsigned i = 0; i < app->n_seats; i++)
			app_seat_retire(&app->seats[i].next);
		app_spec_unref(app->crew.target);
	}
	spec->generation = ++app->generation;
	app->crew.target = app_spec_ref(spec);
	spec->on_trial = true;
	app_spec_enlist(spec);
	forget_last(app);
	rollout_begin(&app->rollout, &app->crew.wanted,
	    app->crew.stable->instances, spec->instances);
	log_app(LOG_LEVEL_INFO, app->crew.name, "reloading, generation %u, %u "
	    "instance%s", spec->generation, app->crew.wanted,
	    app->crew.wanted == 1 ? "" : "s");
	app_touch(app);
}

/* Its own new worker, beside the present one, under the spec in force. */
static void
restart_one(struct app *app, unsigned instance)
{
	struct worker *w = app->seats[instance].present;

	forget_last(app);
	if (w != NULL)
		w->outdated = true;
	app->crew.target = app_spec_ref(app->crew.stable);
	rollout_begin_restart(&app->rollout, instance, app->crew.wanted);
	log_app(LOG_LEVEL_INFO, app->crew.name, "restarting instance %u",
	    instance);
	app_touch(app);
}

/* What has ended has given its listeners back: they are opened again. */
static int
restart_all(struct app *app, struct error *err)
{
	struct app_spec *spec;
	int code = app_spec_new(&app->apps->house, app->crew.stable->config,
	    app->crew.stable->conf, &spec, err);

	if (code < 0)
		return code;
	app_roll(app, spec);
	app_spec_unref(spec);
	return 0;
}

int
app_restart(struct app *app, int instance, struct error *err)
{
	if (app->crew.target != NULL)
		return error_set(err, -EBUSY, "a reload or restart is under "
		    "way");
	if (instance < 0)
		return restart_all(app, err);
	if (app->over)
		return error_set(err, -ESRCH, "every instance has ended: "
		    "\"restart %s\" starts them", app->crew.name);
	restart_one(app, (unsigned)instance);
	return 0;
}

static void
start(struct app *app, unsigned i, bool stop)
{
	struct seat *seat = &app->seats[i];

	if (stop) {
		/* After an abort app_seats_fill() starts it again. */
		struct worker *old = seat->present;

		app_seat_unseat(&seat->present, worker_stop);
		/* The new one takes over who waits in its queue. */
		listeners_leave(app->apps->listeners, &old->holder);
	}
	/* Failing that, the seat stays behind, and any event tries again. */
	(void)app_seat_start(app, &seat->next, app->crew.target, i, true);
}

static void
promote(struct app *app, unsigned i)
{
	struct seat *seat = &app->seats[i];
	struct worker *old = seat->present;

	seat->present = seat->next;
	seat->present->present = true;
	seat->next = NULL;
	app_seat_retire(&old);
}

/* Its new workers have come up: it is what is stable from now on. */
static void
put_in_force(struct app *app)
{
	struct app_spec *old = app->crew.stable;

	app->crew.stable = app->crew.target;
	app->crew.target = NULL;
	old->on_trial = true;
	app->crew.stable->on_trial = false;
	app_spec_settle(app->crew.stable);
	app_leave_spec(app, old);
}

static void
finish(struct app *app)
{
	const char *name = app->crew.name;
	unsigned generation = app->crew.target->generation;

	app_spec_adjust(app->crew.target);
	switch (rollout_done(&app->rollout, app->crew.wanted)) {
	case ROLLOUT_BACK:
		log_app(LOG_LEVEL_WARNING, name,
		    "rolled back to generation %u", generation);
		app_spec_unref(app->crew.target);
		app->crew.target = NULL;
		break;
	case ROLLOUT_RESTART:
		log_app(LOG_LEVEL_INFO, name, "instance %u is restarted",
		    app->rollout.instance);
		put_in_force(app);
		break;
	case ROLLOUT_RELOAD:
	case ROLLOUT_NONE:
		log_app(LOG_LEVEL_INFO, name, "reload complete, generation %u",
		    generation);
		app->reloads_ok++;
		put_in_force(app);
		break;
	}
	app->over = app->failed = false;
}

/* Why instance `i` ends the rollout: to the log, and to whoever has asked. */
static void
tell_abort(struct app *app, unsigned i)
{
	const struct seat *seat = &app->seats[i];
	const struct worker *bad = seat->next;
	const char *did = "did not become ready";
	bool reload = app->rollout.kind != ROLLOUT_RESTART;
	struct strbuf why = STRBUF_INIT;

	if (app->rollout.kind == ROLLOUT_BACK) {
		log_app(LOG_LEVEL_ERROR, app->crew.name,
		    "the way back failed too, at instance %u: instances stay "
		    "as they are", i);
		return;
	}
	if (bad == NULL) {
		bad = seat->present;
		did = "became ready and then died again and again";
	}
	strbuf_printf(&why, "%s aborted: the new worker of instance %u %s",
	    reload ? "reload" : "restart", i, did);
	if (bad != NULL && bad->death != NULL)
		strbuf_printf(&why, " (%s)", bad->death);
	strbuf_printf(&why, "; generation %u %s", app->crew.stable->generation,
	    app->over ? "had ended before" :
	    app_ready_count(app) > 0 ? "keeps serving" : "stays");
	log_app(LOG_LEVEL_ERROR, app->crew.name, "%s",
	    why.failed ? "reload aborted" : why.text);
	app->reloads_aborted += reload;
	free(app->reload_error);
	app->reload_error = strbuf_take(&why);
	/* That it failed must not be lost with the words. */
	if (app->reload_error == NULL)
		app->reload_error = strdup("aborted");
	strbuf_free(&why);
}

/* What was stable had ended: nothing of it to go back to. */
static void
adopt_odd(struct app *app, const struct worker *odd)
{
	struct app_spec *serves = app_spec_ref(odd->spec);

	app_spec_unref(app->crew.stable);
	app->crew.stable = serves;
	serves->on_trial = false;
	app_spec_settle(serves);
	app->over = app->failed = false;
}

static void
go_back(struct app *app)
{
	log_app(LOG_LEVEL_WARNING, app->crew.name,
	    "rolling back the instances that had changed over");
	/* Seats that are empty by now get plain workers, which may crash as
	   they did before without being a failure of the way back. */
	app_seats_fill(app);
	app->crew.target = app_spec_ref(app->crew.stable);
}

static void
give_up_target(struct app *app, unsigned i, const struct rollout_view *view)
{
	struct app_spec *failed = app->crew.target;
	struct rollout_aborted aborted;

	tell_abort(app, i);
	for (unsigned k = 0; k < app->n_seats; k++)
		app_seat_retire(&app->seats[k].next);
	app->crew.target = NULL;
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->outdated = false;
	aborted = rollout_abort(&app->rollout, &app->crew.wanted, view,
	    app->over);
	app_spec_reclaim(app->crew.stable);
	app_spec_adjust(app->crew.stable);
	if (aborted.leave)
		app_leave_spec(app, failed);
	else
		app_spec_unref(failed);
	if (aborted.after == ROLLOUT_ADOPTS)
		adopt_odd(app, app->seats[aborted.odd].present);
	else if (aborted.after == ROLLOUT_RETURNS)
		go_back(app);
}

/* ---- what there is ---- */

static struct rollout_worker
facts_of(const struct app *app, const struct worker *w)
{
	return (struct rollout_worker){
		.state = w->fsm.state,
		.streak = w->fsm.history.streak,
		.relapsed = w->relapsed,
		.outdated = w->outdated,
		.of_target = w->spec == app->crew.target,
		.of_stable = w->spec == app->crew.stable,
	};
}

static struct rollout_seat
look_at_seat(const struct app *app, unsigned i)
{
	const struct seat *seat = &app->seats[i];
	struct rollout_worker present, next;

	if (seat->present != NULL)
		present = facts_of(app, seat->present);
	if (seat->next != NULL)
		next = facts_of(app, seat->next);
	return rollout_look(&app->rollout, i,
	    seat->present != NULL ? &present : NULL,
	    seat->next != NULL ? &next : NULL);
}

static unsigned
count_alive(const struct app *app)
{
	unsigned n = 0;

	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		n += rollout_takes_place(w->fsm.state);
	return n;
}

/* One decision, carried out; false when there is nothing more to do now. */
static bool
carry_out(struct app *app, const struct rollout_view *view)
{
	struct rollout_decision d = rollout_decide(view);
	unsigned i = (unsigned)d.seat;

	switch (d.what) {
	case ROLLOUT_WAIT:
		return false;
	case ROLLOUT_START:
		start(app, i, d.stop);
		return app->seats[i].next != NULL;
	case ROLLOUT_PROMOTE:
		promote(app, i);
		return true;
	case ROLLOUT_TRIM:
		app_seats_drop_last(app);
		return true;
	case ROLLOUT_ABORT:
		give_up_target(app, i, view);
		return app->crew.target != NULL;
	case ROLLOUT_DONE:
		finish(app);
		return false;
	}
	return false;
}

bool
app_rollout_step(struct app *app)
{
	struct rollout_view view;
	struct rollout_seat *seats;
	bool more;

	if (!app_seats_ensure(app, app->crew.wanted))
		return false;
	seats = calloc(app->n_seats, sizeof(*seats));
	if (seats == NULL)
		return false;
	for (unsigned i = 0; i < app->n_seats; i++)
		seats[i] = look_at_seat(app, i);
	view = (struct rollout_view){
		.seats = seats, .n_seats = app->n_seats,
		.n_wanted = app->crew.wanted, .n_alive = count_alive(app),
		.surge = app->crew.target->conf->max_surge,
	};
	more = carry_out(app, &view);
	free(seats);
	return more;
}
