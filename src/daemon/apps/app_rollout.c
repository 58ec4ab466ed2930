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
begin(struct app *app, int only)
{
	app->rolling_back = false;
	app->only = only;
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
		    "the newer configuration "
		    "supersedes the reload to generation %u",
		    app->crew.target->generation);
		for (unsigned i = 0; i < app->n_seats; i++)
			app_seat_retire(&app->seats[i].next);
		/* Workers that have changed over stay until the new rollout
		   comes to their seats. */
		app_spec_unref(app->crew.target);
		app->crew.wanted = app->stable_wanted;
	}
	app->crew.target = app_spec_ref(spec);
	app_spec_try(spec, ++app->generation);
	begin(app, -1);
	/* A number that was changed by signal stays, unless the file's did
	   change too. */
	app->stable_wanted = app->crew.wanted;
	if (spec->instances != app->crew.stable->instances)
		app->crew.wanted = spec->instances;
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

	begin(app, (int)instance);
	if (w != NULL)
		w->outdated = true;
	app->crew.target = app_spec_ref(app->crew.stable);
	app->stable_wanted = app->crew.wanted;
	log_app(
	    LOG_LEVEL_INFO, app->crew.name, "restarting instance %u", instance);
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

static enum rollout_next
view_next(const struct worker *w)
{
	if (w == NULL)
		return ROLLOUT_NEXT_NONE;
	if (worker_ready(w) || w->fsm.state == WORKER_ENDED)
		return ROLLOUT_NEXT_READY;
	if (worker_state_final(w->fsm.state) || w->relapsed)
		return ROLLOUT_NEXT_FAILED;
	return ROLLOUT_NEXT_STARTING;
}

static void
view_seat(const struct app *app, const struct seat *seat,
    struct rollout_seat *ret)
{
	const struct worker *w = seat->present;

	*ret = (struct rollout_seat){ .next = view_next(seat->next) };
	if (w == NULL)
		return;
	/* Beside an instance that is restarted alone, the others are none of
	   its business. */
	if (app->only >= 0 && w->instance != (unsigned)app->only) {
		ret->on_target = ret->final = true;
		return;
	}
	ret->on_target = w->spec == app->crew.target && !w->outdated;
	ret->ready = worker_ready(w);
	if (app->rolling_back) {
		/* What had been stable may well crash, as it did before. */
		ret->final = ret->on_target || worker_state_final(w->fsm.state);
		return;
	}
	ret->final = w->fsm.state == WORKER_ENDED;
	/* One death may be anybody's fault, two in a row are the program's. */
	ret->relapsed = ret->on_target && (w->relapsed ||
	    w->fsm.state == WORKER_PARKED || w->fsm.state == WORKER_FAILED ||
	    w->fsm.history.streak >= 2);
}

/* Those that wait for their restart too: it may come at any moment. */
static unsigned
count_alive(const struct app *app)
{
	unsigned n = 0;

	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (worker_alive(w) || w->fsm.state == WORKER_BACKOFF)
			n++;
	return n;
}

static void
rollout_start(struct app *app, unsigned i)
{
	struct seat *seat = &app->seats[i];

	/* One that waits for its restart must not come up beside the new; after
	   an abort app_seats_fill() starts it again. */
	if (seat->present != NULL &&
	    seat->present->fsm.state == WORKER_BACKOFF) {
		struct worker *old = seat->present;

		app_seat_unseat(&seat->present, worker_stop);
		/* The new one takes over who waits in its queue. */
		listeners_leave(app->apps->listeners, &old->holder);
	}
	/* Failing that, the seat stays behind, and any event tries again. */
	(void)app_seat_start(app, &seat->next, app->crew.target, i, true);
}

static void
rollout_promote(struct app *app, unsigned i)
{
	struct seat *seat = &app->seats[i];
	struct worker *old = seat->present;

	seat->present = seat->next;
	seat->present->present = true;
	seat->next = NULL;
	app_seat_retire(&old);
}

static void
rollout_done(struct app *app)
{
	struct app_spec *old;

	app_spec_adjust(app->crew.target);
	if (app->rolling_back) {
		log_app(LOG_LEVEL_WARNING, app->crew.name,
		    "rolled back to generation %u",
		    app->crew.target->generation);
		app_spec_unref(app->crew.target);
	} else {
		if (app->only >= 0)
			log_app(LOG_LEVEL_INFO, app->crew.name,
			    "instance %d is "
			    "restarted",
			    app->only);
		else
			log_app(LOG_LEVEL_INFO, app->crew.name,
			    "reload complete, "
			    "generation %u",
			    app->crew.target->generation);
		app->reloads_ok += app->only < 0;
		old = app->crew.stable;
		app->crew.stable = app->crew.target;
		app_spec_supersede(old);
		app_spec_put_in_force(app->crew.stable);
		app->stable_wanted = app->crew.wanted;
		app->crew.target = NULL;
		app_leave_spec(app, old);
	}
	app->crew.target = NULL;
	app->rolling_back = false;
	app->over = app->failed = false;
}

/* A seated worker that runs (or does not run) under `spec`. */
static struct worker *
find_present(const struct app *app, const struct app_spec *spec, bool under)
{
	for (unsigned i = 0; i < app->n_seats; i++) {
		struct worker *w = app->seats[i].present;

		if (w != NULL && (w->spec == spec) == under)
			return w;
	}
	return NULL;
}

/* Why instance `i` ends the rollout: to the log, and to whoever has asked. */
static void
tell_abort(struct app *app, unsigned i)
{
	const struct seat *seat = &app->seats[i];
	const struct worker *bad = seat->next;
	const char *did = "did not become ready";
	const char *what = app->only >= 0 ? "restart" : "reload";
	struct strbuf why = STRBUF_INIT;

	if (app->rolling_back) {
		log_app(LOG_LEVEL_ERROR, app->crew.name,
		    "the way back failed too, "
		    "at instance %u: instances stay as they are",
		    i);
		return;
	}
	if (bad == NULL) {
		bad = seat->present;
		did = "became ready and then died again and again";
	}
	strbuf_printf(&why, "%s aborted: the new worker of instance %u %s",
	    what, i, did);
	if (bad != NULL && bad->death != NULL)
		strbuf_printf(&why, " (%s)", bad->death);
	strbuf_printf(&why, "; generation %u %s", app->crew.stable->generation,
	    app->over ? "had ended before" :
	    app_ready_count(app) > 0 ? "keeps serving" : "stays");
	log_app(LOG_LEVEL_ERROR, app->crew.name, "%s",
	    why.failed ? "reload aborted" : why.text);
	app->reloads_aborted += app->only < 0;
	free(app->reload_error);
	app->reload_error = strbuf_take(&why);
	/* That it failed must not be lost with the words. */
	if (app->reload_error == NULL)
		app->reload_error = strdup("aborted");
	strbuf_free(&why);
}

/*
 * Back to what is stable: first what has not changed over, at once; then, by
 * another rollout, the seats that have, be it to this target or to one that it
 * superseded.
 */
static void
rollout_abort(struct app *app, unsigned i)
{
	struct app_spec *failed = app->crew.target;
	bool gives_up = app->rolling_back;
	struct worker *odd;

	tell_abort(app, i);
	for (unsigned k = 0; k < app->n_seats; k++)
		app_seat_retire(&app->seats[k].next);
	app->crew.target = NULL;
	app->rolling_back = false;
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->outdated = false;
	app->only = -1;
	app->crew.wanted = app->stable_wanted;
	app_spec_reclaim(app->crew.stable);
	app_spec_adjust(app->crew.stable);
	if (!gives_up && find_present(app, failed, true) == NULL)
		app_leave_spec(app, failed);
	else
		app_spec_unref(failed);

	odd = find_present(app, app->crew.stable, false);
	if (gives_up || odd == NULL)
		return;
	if (app->over) {
		/* What was stable had ended: nothing of it to go back to. */
		struct app_spec *serves = app_spec_ref(odd->spec);

		app_spec_unref(app->crew.stable);
		app->crew.stable = serves;
		app_spec_put_in_force(serves);
		app->over = app->failed = false;
		return;
	}
	log_app(LOG_LEVEL_WARNING, app->crew.name,
	    "rolling back the instances that "
	    "had changed over");
	/* Seats that are empty by now get plain workers, which may crash as
	   they did before without being a failure of the way back. */
	app_seats_fill(app);
	app->crew.target = app_spec_ref(app->crew.stable);
	app->rolling_back = true;
}

/* One decision; false when there is nothing more to do now. */
bool
app_rollout_step(struct app *app)
{
	struct rollout_view view;
	struct rollout_seat *seats;
	struct rollout_decision d;

	if (!app_seats_ensure(app, app->crew.wanted))
		return false;
	seats = calloc(app->n_seats, sizeof(*seats));
	if (seats == NULL)
		return false;
	for (unsigned i = 0; i < app->n_seats; i++)
		view_seat(app, &app->seats[i], &seats[i]);
	view = (struct rollout_view){
		.seats = seats, .n_seats = app->n_seats,
		.n_wanted = app->crew.wanted, .n_alive = count_alive(app),
		.surge = app->crew.target->conf->max_surge,
	};
	d = rollout_decide(&view);
	free(seats);

	switch (d.what) {
	case ROLLOUT_WAIT:
		return false;
	case ROLLOUT_START:
		rollout_start(app, (unsigned)d.seat);
		return app->seats[d.seat].next != NULL;
	case ROLLOUT_PROMOTE:
		rollout_promote(app, (unsigned)d.seat);
		return true;
	case ROLLOUT_TRIM:
		app_seats_drop_last(app);
		return true;
	case ROLLOUT_ABORT:
		rollout_abort(app, (unsigned)d.seat);
		return app->crew.target != NULL;
	case ROLLOUT_DONE:
		rollout_done(app);
		return false;
	}
	return false;
}
