#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/abort_words.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_health.h"
#include "daemon/apps/app_order.h"
#include "daemon/apps/app_recycled.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_trials.h"
#include "daemon/apps/seats.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

/* ---- configurations ---- */

/* A reference becomes what is stable. */
static void
put_in_force(struct app *app, struct app_spec *spec)
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

int
app_rollout_init(struct app *app, struct app_spec *spec)
{
	int code = trials_init(app);

	if (code == 0)
		code = app_health_init(app);
	if (code < 0)
		return code;
	app_spec_try(spec, ++app->generation);
	put_in_force(app, app_spec_ref(spec));
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

/* The number that the configuration has; 0: a range, in which it scales. */
static unsigned
number_of(const struct app_spec *spec)
{
	return spec->conf->scales ? 0 : spec->instances;
}

static void
forget_outdated(struct app *app)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->outdated = false;
	for (unsigned i = 0; i < app->n_seats; i++)
		app->seats[i].anew = false;
}

/* What is left of the rollouts before. */
static void
forget_last(struct app *app)
{
	free(app->reload_error);
	app->reload_error = NULL;
	forget_outdated(app);
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
	    number_of(app->crew.stable), number_of(spec));
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

void
app_renew(struct app *app, struct config *config, const struct conf_app *conf,
    bool changed)
{
	struct app_spec *spec = app_latest(app);
	unsigned before = number_of(spec), after;

	if (changed)
		app->renewed_by = app->apps->n_reloads;
	/* What a reload before has failed of is over. */
	if (changed && app->crew.target == NULL) {
		free(app->reload_error);
		app->reload_error = NULL;
	}
	app_spec_renew(spec, config, conf);
	app_touch(app);
	after = number_of(spec);
	if (after == before || after == 0)
		after = app->crew.wanted;
	after = app_spec_within(spec, after);
	if (after == app->crew.wanted)
		return;
	/* Who has ended has nobody to scale, until it is started again. */
	if (app->over)
		app->crew.wanted = after;
	else
		app_scale(app, (int)after - (int)app->crew.wanted, NULL);
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

/* ---- its end ---- */

/* Its new workers have come up: it is what is stable from now on. */
static void
take_target(struct app *app)
{
	struct app_spec *old = app->crew.stable;

	app_spec_supersede(old);	/* unless it is the same */
	put_in_force(app, app->crew.target);
	app->crew.target = NULL;
	leave(app, old);
}

static void
finish(struct app *app)
{
	const char *name = app->crew.name;
	unsigned generation = app->crew.target->generation;

	app_spec_adjust(app->crew.target);
	switch (rollout_done(&app->rollout)) {
	case ROLLOUT_BACK:
		log_app(LOG_LEVEL_WARNING, name,
		    "rolled back to generation %u", generation);
		take_target(app);
		break;
	case ROLLOUT_RESTART:
		log_app(LOG_LEVEL_INFO, name, "instance %u is restarted",
		    app->rollout.instance);
		app_health_taken(app);
		app_recycled_taken(app);
		take_target(app);
		break;
	case ROLLOUT_RELOAD:
	case ROLLOUT_NONE:
		log_app(LOG_LEVEL_INFO, name, "reload complete, generation %u",
		    generation);
		app->reloads_ok++;
		take_target(app);
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
	put_in_force(app, app_spec_ref(odd->spec));
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
	if (number_of(spec) != 0 &&
	    number_of(spec) != number_of(app->crew.stable))
		app->crew.wanted = spec->instances;
	app->crew.wanted = app_spec_within(spec, app->crew.wanted);
	app->crew.target = app_spec_ref(spec);
}

static void
give_up_target(struct app *app, unsigned i, const struct rollout_view *view)
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
	forget_outdated(app);
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

/* ---- step by step ---- */

static struct rollout_worker
facts_of(const struct app *app, const struct worker *w)
{
	const struct app_spec *stable = app->crew.stable;

	return (struct rollout_worker){
		.state = w->fsm.state,
		.trial = trials_verdict(app, w),
		.generation = w->spec->generation,
		.newer = !w->spec->failed &&
		    w->spec->generation > stable->generation,
		.streak = w->fsm.history.streak,
		.relapsed = w->relapsed,
		.outdated = w->outdated || worker_is_deaf(w),
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
	/* Once is enough: it may have done that itself. */
	if (seat->next != NULL && seat->anew)
		next.outdated = false;
	return rollout_look(&app->rollout, i,
	    seat->present != NULL ? &present : NULL,
	    seat->next != NULL ? &next : NULL);
}

static void
count_worker(const struct worker *w, struct rollout_view *view)
{
	if (w == NULL)
		return;
	view->n_alive += rollout_takes_place(w->fsm.state);
	view->n_leaving += !w->seated && w->finished &&
	    rollout_leaves(w->fsm.state);
}

static void
discount_worker(const struct worker *w, struct rollout_view *view)
{
	struct rollout_view one = { .n_alive = 0 };

	count_worker(w, &one);
	view->n_alive -= one.n_alive;
	view->n_leaving -= one.n_leaving;
}

static bool
start(struct app *app, unsigned i, bool stop)
{
	/* After an abort seats_fill() starts it again. */
	if (stop)
		seats_vacate(app, i);
	/* Failing that, the seat stays behind, and any event tries again. */
	(void)seats_start_next(app, i, app->crew.target);
	return app->seats[i].next != NULL;
}

/* What is wanted still is begun anew. */
static void
drop(struct app *app, unsigned i)
{
	if (i < app->crew.wanted) {
		worker_log(LOG_LEVEL_INFO, app->seats[i].next, "is replaced: "
		    "its listener was shut down before it was ready");
		app->seats[i].anew = true;
	}
	seats_drop_next(app, i);
}

/* What comes of a decision. */
enum more {
	MORE_NONE,	/* nothing more to do now */
	MORE_SEAT,	/* nothing but its seat has changed */
	MORE_ALL,
};

static enum more
carry_out(struct app *app, const struct rollout_view *view,
    const struct rollout_decision *d)
{
	unsigned i = (unsigned)d->seat;

	switch (d->what) {
	case ROLLOUT_WAIT:
		return MORE_NONE;
	case ROLLOUT_START:
		return start(app, i, d->stop) ? MORE_SEAT : MORE_NONE;
	case ROLLOUT_VACATE:
		seats_make_room(app, i, app->crew.target);
		return MORE_ALL;
	case ROLLOUT_DROP:
		drop(app, i);
		return MORE_SEAT;
	case ROLLOUT_PROMOTE:
		seats_promote(app, i);
		return MORE_SEAT;
	case ROLLOUT_TRIM:
		seats_drop_last(app);
		return MORE_ALL;
	case ROLLOUT_ABORT:
		give_up_target(app, i, view);
		return app->crew.target != NULL ? MORE_ALL : MORE_NONE;
	case ROLLOUT_DONE:
		finish(app);
		return MORE_NONE;
	}
	return MORE_NONE;
}

static void
note_leaving(const struct app *app, struct rollout_seat *seats)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (seats_leaves_one(w) && w->instance < app->n_seats)
			seats[w->instance].leaving = true;
}

static void
look_at_all(const struct app *app, struct rollout_seat *seats,
    struct rollout_view *view)
{
	const unsigned surge = app->crew.target->conf->max_surge;

	for (unsigned i = 0; i < app->n_seats; i++)
		seats[i] = look_at_seat(app, i);
	if (surge == 0)
		note_leaving(app, seats);
	*view = (struct rollout_view){
		.seats = seats, .n_seats = app->n_seats,
		.n_wanted = app->crew.wanted, .surge = surge,
		.trial = trials_canary_ms(app) > 0,
		.alone = app->rollout.kind == ROLLOUT_RESTART,
		.slow = trials_any_slow(app),
		.unproven = app->crew.target != app->crew.stable,
		.deaths = app->rollout.deaths, .died = app->rollout.died,
		.idle = app->rollout.idle,
	};
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		count_worker(w, view);
}

/* A step, and what it makes of the view of its seat: of hundreds not all are looked
   at again. The workers are there until the turn's end. */
static enum more
take_step(struct app *app, struct rollout_seat *seats,
    struct rollout_view *view)
{
	struct rollout_decision d = rollout_decide(view);
	const struct seat *seat = &app->seats[d.seat], was = *seat;
	enum more more;

	discount_worker(was.present, view);
	discount_worker(was.next, view);
	more = carry_out(app, view, &d);
	if (more != MORE_SEAT)
		return more;
	count_worker(was.present, view);
	count_worker(was.next, view);
	if (seat->next != was.next)
		count_worker(seat->next, view);
	seats[d.seat] = look_at_seat(app, (unsigned)d.seat);
	view->idle = app->rollout.idle;
	return more;
}

/* As many as there is time for. */
static enum more
take_steps(struct app *app, struct rollout_seat *seats)
{
	struct rollout_view view;
	enum more more;

	look_at_all(app, seats, &view);
	/* Without room beside the old ones each step depends on who has left. */
	do
		more = take_step(app, seats, &view);
	while (more == MORE_SEAT && view.surge > 0 &&
	    apps_have_time(app->apps));
	return more;
}

/* False when there is nothing more to do now. */
static bool
step(struct app *app)
{
	struct rollout_seat *seats;
	enum more more;

	if (!seats_ensure(app, app->crew.wanted))
		return false;
	seats = calloc(app->n_seats, sizeof(*seats));
	if (seats == NULL)
		return false;
	more = take_steps(app, seats);
	free(seats);
	return more != MORE_NONE;
}

void
app_rollout_note_step(struct worker *w, const struct worker_step *step)
{
	struct app *app = app_of(w->crew);

	if (app->crew.target == NULL || w->seated || step->from == step->to)
		return;
	if (step->to == WORKER_DRAINING)
		w->retired = mono_now();
	else if (step->from == WORKER_DRAINING && !w->finished)
		rollout_note_retired(&app->rollout, false);
}

void
app_rollout_note_finished(struct worker *w)
{
	struct app *app = app_of(w->crew);

	if (app->crew.target == NULL || w->seated)
		return;
	rollout_note_retired(&app->rollout,
	    mono_ms_between(w->retired, mono_now()) < ROLLOUT_SOON_MS);
	/* It may have waited for its place. */
	app_touch(app);
}

/* Those that died after they had changed over; a worker that has done its share
   and makes place for a fresh one is no fault. */
void
app_rollout_note_end(struct worker *w, const struct worker_step *step,
    enum restart_cause cause)
{
	struct app *app = app_of(w->crew);

	if (!w->seated || app->seats[w->instance].present != w ||
	    w->spec != app->crew.target || step->to == WORKER_ENDED ||
	    step->why == WORKER_WHY_NO_FORK || (cause == RESTART_CAUSE_EXIT &&
		w->fsm.history.streak == 0))
		return;
	rollout_note_death(&app->rollout, w->instance);
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
	while (app->crew.target != NULL && step(app))
		if (!apps_have_time(app->apps)) {
			app_go_on_later(app, true);
			break;
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
	if (app->crew.target != NULL)
		return;
	seats_fill(app);
	seats_close_ended(app);
	if (!app->over)
		check_over(app);
	if (app->over)
		close_over(app);
}
