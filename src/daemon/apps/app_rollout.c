#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_health.h"
#include "daemon/apps/app_order.h"
#include "daemon/apps/app_recycled.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_rollout_end_priv.h"
#include "daemon/apps/app_rollout_step_priv.h"
#include "daemon/apps/app_trials.h"
#include "daemon/apps/seats.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

int
app_rollout_init(struct app *app, struct app_spec *spec)
{
	int code = trials_init(app);

	if (code == 0)
		code = app_health_init(app);
	if (code < 0)
		return code;
	app_spec_try(spec, ++app->generation);
	rollout_put_in_force(app, app_spec_ref(spec));
	app->crew.wanted = spec->instances;
	return 0;
}

void
app_rollout_free(struct app *app)
{
	trials_fini(app);
	app_health_fini(app);
	app_spec_unref(app->crew.stable);
	app_spec_unref(app->crew.target);
	free(app->reload_error);
}

/* ---- its beginning ---- */

/* What is left of the rollouts before. */
static void
forget_last(struct app *app)
{
	free(app->reload_error);
	app->reload_error = NULL;
	rollout_forget_outdated(app);
}

/* Whoever was to come retires, and may have been the only one who serves an address
   that is new: its successor can be started when it has gone, and until then has the
   lanes for those who come. */
static void
put_successors(struct app *app, const struct app_spec *superseded)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->spec == superseded && seats_leaves_one(w) &&
		    w->instance < app->crew.wanted && w->instance < app->n_seats)
			seats_put_next(app, w->instance, app->crew.target);
}

void
app_roll(struct app *app, struct app_spec *spec)
{
	struct app_spec *superseded = app->crew.target;

	if (app->crew.target != NULL) {
		log_app(LOG_LEVEL_INFO, app->crew.name,
		    "the newer configuration supersedes the reload to "
		    "generation %u", app->crew.target->generation);
		seats_retire_next(app);
		app_health_superseded(app);
		app_recycled_superseded(app);
	}
	app->renewed_by = app->apps->n_reloads;
	app->crew.target = app_spec_ref(spec);
	app_spec_try(spec, ++app->generation);
	app_spec_follow(spec, app->crew.stable);
	forget_last(app);
	rollout_begin(&app->rollout, &app->crew.wanted,
	    rollout_number_of(app->crew.stable), rollout_number_of(spec));
	if (app->crew.wanted == 0)
		app->crew.wanted = app->rollout.stable_wanted;
	app->crew.wanted = app_spec_within(spec, app->crew.wanted);
	if (superseded != NULL)
		put_successors(app, superseded);
	app_spec_unref(superseded);
	order_begin(app);
	log_app(LOG_LEVEL_INFO, app->crew.name, "reloading, generation %u, %u "
	    "instance%s", spec->generation, app->crew.wanted,
	    app->crew.wanted == 1 ? "" : "s");
	app_tell(app, EVENT_RELOAD, NULL);
	app_touch(app);
}

/* Who has ended has nobody to scale, until it is started again. */
static bool
scale_renewed(struct app *app, unsigned to)
{
	unsigned from = app->crew.wanted;

	if (app->over || app->crew.stopping) {
		app->crew.wanted = to;
		return false;
	}
	app_scale(app, (int)to - (int)from, NULL);
	if (app->crew.wanted == from)
		return false;
	app->scaled_by = app->apps->n_reloads;
	app->scaled_from = from;
	return true;
}

bool
app_renew(struct app *app, struct config *config, const struct conf_app *conf,
    bool changed)
{
	struct app_spec *spec = app_latest(app);
	unsigned before = rollout_number_of(spec), after;

	if (changed)
		app->renewed_by = app->apps->n_reloads;
	/* What a reload before has failed of is over. */
	if (changed && app->crew.target == NULL) {
		free(app->reload_error);
		app->reload_error = NULL;
	}
	app_spec_renew(spec, config, conf);
	app_touch(app);
	after = rollout_number_of(spec);
	if (after == before || after == 0)
		after = app->crew.wanted;
	after = app_spec_within(spec, after);
	return after != app->crew.wanted && scale_renewed(app, after);
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
	app_tell(app, EVENT_RELOAD, NULL);
	app_touch(app);
}

/* Who adopts, and has not listened yet, will get the new one. */
void
app_note_deaf(struct app *app, const struct listener *l)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->pid != 0 && w->seated && app_spec_has(w->spec, l) &&
		    (w->spec->conf->handoff != CONF_HANDOFF_ADOPT ||
			worker_ready(w)))
			w->deaf_serial = w->serial;
	app_touch(app);
}

/* Without a rollout, which would see to it: the first one's begins. */
static bool
replace_deaf(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats && !app->over; i++) {
		struct worker *w = app->seats[i].present;

		if (w == NULL || !worker_is_deaf(w))
			continue;
		restart_one(app, i);
		/* Whatever comes of it, once is enough. */
		w->deaf_serial = 0;
		return true;
	}
	return false;
}

/* The same, of who is not well. */
static bool
replace_unwell(struct app *app)
{
	int i = app_health_choose(app);

	if (i < 0)
		return false;
	app_health_begin(app, (unsigned)i);
	restart_one(app, (unsigned)i);
	return true;
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

/* So many more or less as are within its range, if it has one. */
static int
within_range(const struct app *app, int by)
{
	const struct app_spec *spec = app_latest(app);
	int64_t n = (int64_t)app->crew.wanted + by;

	if (!spec->conf->scales)
		return by;
	return (int)app_spec_within(spec, n < 1 ? 1 : (unsigned)n) -
	    (int)app->crew.wanted;
}

void
app_scale(struct app *app, int by, const char *why)
{
	const char *how = "stays at";

	if (app->crew.stopping || app->over)
		return;
	if (rollout_scale(&app->rollout, &app->crew.wanted,
		within_range(app, by))) {
		how = "scaling to";
		app_tell(app, EVENT_SCALE, why);
		app_touch(app);
	}
	log_app(LOG_LEVEL_INFO, app->crew.name, "%s %u instance%s%s%s", how,
	    app->crew.wanted, app->crew.wanted == 1 ? "" : "s",
	    why != NULL ? ": " : "", why != NULL ? why : "");
}

/* ---- without one ---- */

/* Every seat at its end: nobody would accept. */
static void
check_over(struct app *app)
{
	bool failed = false;

	if (app->n_seats == 0)	/* no memory for them yet */
		return;
	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct worker *w = app->seats[i].present;

		if (w == NULL || !worker_state_final(w->fsm.state))
			return;
		if (w->fsm.state != WORKER_ENDED)
			failed = true;
	}
	app->over = true;
	app->failed = failed;
	if (failed)
		log_app(LOG_LEVEL_ERROR, app->crew.name,
		    "every instance has ended, at least one of them badly");
	else
		log_app(LOG_LEVEL_INFO, app->crew.name,
		    "every instance has ended well");
}

/* Clients are refused; as long as there are workers that still serve some,
   they are ignored. */
static void
close_over(struct app *app)
{
	if (app_retires(app))
		app_close_doors(app, app->crew.stable);
	else
		app_spec_shut(app->crew.stable, true);
}

/* As many steps as are to be done now; others wait for the next turn when this
   one has taken long. */
static void
step_on(struct app *app)
{
	while (app->crew.target != NULL && rollout_step(app))
		if (!apps_have_time(app->apps)) {
			app_go_on_later(app, true);
			break;
		}
}

/* Who waits for a dead one need not wait for the end of its successor's trial. */
static void
serve_waiting(struct app *app)
{
	for (unsigned i = 0; app->crew.target != NULL && i < app->n_seats; i++) {
		struct mono over;

		if (!trials_goes_well(app, i, &over) ||
		    !seats_serve_waiting(app, i, over))
			continue;
		if (!apps_have_time(app->apps)) {
			app_go_on_later(app, true);
			break;
		}
	}
}

void
app_rollout_turn(struct app *app)
{
	trials_look(app);
	/* A reload has its own instead of them. */
	if (app->rollout.kind != ROLLOUT_RELOAD)
		seats_start_idle(app);
	do
		step_on(app);
	while (app->crew.target == NULL && !app->apps->stopping &&
	    (replace_deaf(app) || replace_unwell(app)));
	serve_waiting(app);
	if (app->crew.target != NULL)
		return;
	seats_fill(app);
	seats_close_ended(app);
	if (!app->over)
		check_over(app);
	if (app->over)
		close_over(app);
}
