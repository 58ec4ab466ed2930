#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf.h"
#include "core/rollout.h"
#include "daemon/adopt.h"
#include "daemon/app.h"
#include "daemon/app_spec.h"
#include "daemon/steer.h"
#include "daemon/supervisor.h"
#include "daemon/worker.h"

/* ---- doors ---- */

/* A rollout that was superseded may have left seats under a spec of its own. */
static bool
is_seated_under(const struct app *app, const struct listener *l)
{
	for (const struct worker *w = app->workers; w != NULL; w = w->next)
		if (w->seated && !worker_state_final(w->fsm.state) &&
		    app_spec_has(w->spec, l))
			return true;
	return false;
}

static bool
in_force(const struct supervisor *sup, const struct listener *l)
{
	for (const struct app *a = sup->apps; a != NULL; a = a->next_app)
		if (!a->stopping && ((!a->over && app_spec_has(a->stable, l)) ||
		    app_spec_has(a->target, l) || is_seated_under(a, l)))
			return true;
	return false;
}

/* Its workers retire, and serve what they have until they have finished; its
   listeners that nobody else has take no new clients. */
static void
close_doors(const struct app *app, const struct app_spec *spec)
{
	for (struct listener *l = app->sup->listeners.first; l != NULL;
	    l = l->next)
		if (app_spec_has(spec, l) && !in_force(app->sup, l))
			listener_close_door(l);
}

/* ---- seats ---- */

/* At least n places; new ones are empty. */
static bool
ensure_seats(struct app *app, unsigned n)
{
	struct seat *seats;

	if (n <= app->n_seats)
		return true;
	seats = reallocarray(app->seats, n, sizeof(*seats));
	if (seats == NULL)
		return false;
	for (unsigned i = app->n_seats; i < n; i++)
		seats[i] = (struct seat){ .present = NULL };
	app->seats = seats;
	app->n_seats = n;
	return true;
}

/* Take a worker from its seat, to finish what it has or to stop at once;
   app_advance() frees it. */
static void
unseat(struct worker **place, void (*how)(struct worker *))
{
	struct worker *w = *place;

	*place = NULL;
	if (w == NULL)
		return;
	w->seated = false;
	/* No new connections from here on: to what a failed or superseded
	   target alone listened on, nobody else would be steered to. */
	close_doors(w->app, w->spec);
	steer_all(w->app->sup);
	how(w);
}

static void
retire(struct worker **place)
{
	unseat(place, worker_retire);
}

static void
drop_last_seat(struct app *app)
{
	struct seat *last = &app->seats[app->n_seats - 1];

	retire(&last->next);
	retire(&last->present);
	app->n_seats--;
}

/* Put a new worker of `spec` into a place and start it. */
static bool
seat_worker(struct app *app, struct worker **place, struct app_spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w = worker_new(app, spec, instance, trial);

	if (w == NULL) {
		log_about(LOG_LEVEL_ERROR, &(struct log_about){
		    .app = app->name, .instance = (long)instance,
		}, "no memory for a worker");
		return false;
	}
	w->seated = true;
	*place = w;
	worker_start(w);
	return true;
}

/* Outside a rollout: every wanted seat has a worker, the others have none. */
static void
fill_seats(struct app *app)
{
	if (app->over || !ensure_seats(app, app->wanted))
		return;
	while (app->n_seats > app->wanted)
		drop_last_seat(app);
	for (unsigned i = 0; i < app->n_seats; i++)
		if (app->seats[i].present == NULL &&
		    !app->sup->stopping &&
		    !seat_worker(app, &app->seats[i].present, app->stable, i,
		    false))
			break;
}

/* ---- life of an app ---- */

int
app_add(struct supervisor *sup, struct app_spec *spec, bool initial)
{
	struct app *app = calloc(1, sizeof(*app));
	struct app **end = &sup->apps;

	if (app == NULL)
		return -ENOMEM;
	app->name = strdup(spec->conf->name);
	if (app->name == NULL) {
		free(app);
		return -ENOMEM;
	}
	app->sup = sup;
	app->initial = initial;
	app->generation = spec->generation = 1;
	app->stable = app_spec_ref(spec);
	app_spec_enlist(spec);
	app->wanted = spec->instances;
	app->stable_wanted = app->wanted;
	while (*end != NULL)
		end = &(*end)->next_app;
	*end = app;
	log_app(LOG_LEVEL_INFO, app->name, "starting %u instance%s",
	    app->wanted, app->wanted == 1 ? "" : "s");
	fill_seats(app);
	app_touch(app);
	return 0;
}

static void
app_free(struct app *app)
{
	for (struct app **p = &app->sup->apps; *p != NULL; p = &(*p)->next_app)
		if (*p == app) {
			*p = app->next_app;
			break;
		}
	app_spec_unref(app->stable);
	app_spec_unref(app->target);
	free(app->seats);
	free(app->name);
	free(app);
}

/* The app does without it: a reference less. */
static void
leave_spec(struct app *app, struct app_spec *spec)
{
	close_doors(app, spec);
	app_spec_unref(spec);
}

/* No seat has anybody any more. */
static void
unseat_all(struct app *app)
{
	app->n_seats = 0;
	for (struct worker *w = app->workers; w != NULL; w = w->next)
		w->seated = false;
}

void
app_remove(struct app *app)
{
	if (app->stopping)
		return;
	app->stopping = true;
	unseat_all(app);
	close_doors(app, app->target);
	close_doors(app, app->stable);
	steer_all(app->sup);
	for (struct worker *w = app->workers; w != NULL; w = w->next)
		worker_retire(w);
	app_touch(app);
}

void
app_stop(struct app *app)
{
	app->stopping = true;
	unseat_all(app);
	for (struct worker *w = app->workers; w != NULL; w = w->next)
		worker_stop(w);
	app_spec_shut(app->stable, false);
	app_spec_shut(app->target, false);
	app_touch(app);
}

void
app_kill(struct app *app)
{
	for (struct worker *w = app->workers; w != NULL; w = w->next)
		worker_kill(w);
}

void
app_touch(struct app *app)
{
	app->dirty = true;
	app->sup->dirty = true;
}

struct app *
app_find(struct supervisor *sup, const char *name)
{
	for (struct app *a = sup->apps; a != NULL; a = a->next_app)
		if (!a->stopping && strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

bool
app_retires(const struct app *app)
{
	for (const struct worker *w = app->workers; w != NULL; w = w->next)
		if (!w->seated && !worker_state_final(w->fsm.state))
			return true;
	return false;
}

unsigned
app_ready_count(const struct app *app)
{
	unsigned n = 0;

	for (unsigned i = 0; i < app->n_seats; i++)
		if (app->seats[i].present != NULL &&
		    worker_ready(app->seats[i].present))
			n++;
	return n;
}

static unsigned
clamp(int64_t n)
{
	return n < 1 ? 1 : n > CONF_INSTANCES_MAX ? CONF_INSTANCES_MAX :
	    (unsigned)n;
}

void
app_scale(struct app *app, int by)
{
	unsigned wanted = clamp((int64_t)app->wanted + by);

	if (app->stopping || app->over)
		return;
	if (wanted == app->wanted) {
		log_app(LOG_LEVEL_INFO, app->name, "stays at %u instance%s",
		    app->wanted, app->wanted == 1 ? "" : "s");
		return;
	}
	app->wanted = wanted;
	app->stable_wanted = clamp((int64_t)app->stable_wanted + by);
	log_app(LOG_LEVEL_INFO, app->name, "scaling to %u instance%s",
	    app->wanted, app->wanted == 1 ? "" : "s");
	app_touch(app);
}

/* ---- rollout ---- */

void
app_roll(struct app *app, struct app_spec *spec)
{
	if (app->target != NULL) {
		log_app(LOG_LEVEL_INFO, app->name, "the newer configuration "
		    "supersedes the reload to generation %u",
		    app->target->generation);
		for (unsigned i = 0; i < app->n_seats; i++)
			retire(&app->seats[i].next);
		/* Workers that have changed over stay until the new rollout
		   comes to their seats. */
		app_spec_unref(app->target);
		app->wanted = app->stable_wanted;
	}
	spec->generation = ++app->generation;
	app->target = app_spec_ref(spec);
	app_spec_enlist(spec);
	app->rolling_back = false;
	/* A number that was changed by signal stays, unless the file's did
	   change too. */
	app->stable_wanted = app->wanted;
	if (spec->instances != app->stable->instances)
		app->wanted = spec->instances;
	log_app(LOG_LEVEL_INFO, app->name, "reloading, generation %u, %u "
	    "instance%s", spec->generation, app->wanted,
	    app->wanted == 1 ? "" : "s");
	app_touch(app);
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
	ret->on_target = w->spec == app->target;
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

	for (const struct worker *w = app->workers; w != NULL; w = w->next)
		if (worker_alive(w) || w->fsm.state == WORKER_BACKOFF)
			n++;
	return n;
}

static void
rollout_start(struct app *app, unsigned i)
{
	struct seat *seat = &app->seats[i];

	/* One that waits for its restart must not come up beside the new; after
	   an abort fill_seats() starts it again. */
	if (seat->present != NULL &&
	    seat->present->fsm.state == WORKER_BACKOFF) {
		struct worker *old = seat->present;

		unseat(&seat->present, worker_stop);
		/* The new one takes over who waits in its queue. */
		listeners_leave(&app->sup->listeners, old);
	}
	/* Failing that, the seat stays behind, and any event tries again. */
	(void)seat_worker(app, &seat->next, app->target, i, true);
}

static void
rollout_promote(struct app *app, unsigned i)
{
	struct seat *seat = &app->seats[i];
	struct worker *old = seat->present;

	seat->present = seat->next;
	seat->next = NULL;
	retire(&old);
}

static void
rollout_done(struct app *app)
{
	struct app_spec *old;

	app_spec_adjust(app->target);
	if (app->rolling_back) {
		log_app(LOG_LEVEL_WARNING, app->name, 
		    "rolled back to generation %u", app->target->generation);
		app_spec_unref(app->target);
	} else {
		log_app(LOG_LEVEL_INFO, app->name, 
		    "reload complete, generation %u", app->target->generation);
		old = app->stable;
		app->stable = app->target;
		app->stable_wanted = app->wanted;
		app->target = NULL;
		leave_spec(app, old);
	}
	app->target = NULL;
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

static void
log_abort(const struct app *app, unsigned i)
{
	const struct worker *w = app->seats[i].present;
	bool was_ready = w != NULL && w->spec == app->target;

	if (app->rolling_back)
		log_app(LOG_LEVEL_ERROR, app->name, "the way back failed too, "
		    "at instance %u: instances stay as they are", i);
	else
		log_app(LOG_LEVEL_ERROR, app->name, "reload aborted: the new "
		    "worker of instance %u %s; generation %u %s", i, was_ready ?
		    "became ready and then died again and again" :
		    "did not become ready", app->stable->generation,
		    app->over ? "had ended before" : "keeps serving");
}

/*
 * Back to what is stable: first what has not changed over, at once; then, by
 * another rollout, the seats that have, be it to this target or to one that it
 * superseded.
 */
static void
rollout_abort(struct app *app, unsigned i)
{
	struct app_spec *failed = app->target;
	bool gives_up = app->rolling_back;
	struct worker *odd;

	log_abort(app, i);
	for (unsigned k = 0; k < app->n_seats; k++)
		retire(&app->seats[k].next);
	app->target = NULL;
	app->rolling_back = false;
	app->wanted = app->stable_wanted;
	app_spec_reclaim(app->stable);
	app_spec_adjust(app->stable);
	if (!gives_up && find_present(app, failed, true) == NULL)
		leave_spec(app, failed);
	else
		app_spec_unref(failed);

	odd = find_present(app, app->stable, false);
	if (gives_up || odd == NULL)
		return;
	if (app->over) {
		/* What was stable had ended: nothing of it to go back to. */
		struct app_spec *serves = app_spec_ref(odd->spec);

		app_spec_unref(app->stable);
		app->stable = serves;
		app->over = app->failed = false;
		return;
	}
	log_app(LOG_LEVEL_WARNING, app->name, "rolling back the instances that "
	    "had changed over");
	/* Seats that are empty by now get plain workers, which may crash as
	   they did before without being a failure of the way back. */
	fill_seats(app);
	app->target = app_spec_ref(app->stable);
	app->rolling_back = true;
}

/* One decision; false when there is nothing more to do now. */
static bool
rollout_step(struct app *app)
{
	struct rollout_view view;
	struct rollout_seat *seats;
	struct rollout_decision d;

	if (!ensure_seats(app, app->wanted))
		return false;
	seats = calloc(app->n_seats, sizeof(*seats));
	if (seats == NULL)
		return false;
	for (unsigned i = 0; i < app->n_seats; i++)
		view_seat(app, &app->seats[i], &seats[i]);
	view = (struct rollout_view){
		.seats = seats, .n_seats = app->n_seats,
		.n_wanted = app->wanted, .n_alive = count_alive(app),
		.surge = app->target->conf->max_surge,
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
		drop_last_seat(app);
		return true;
	case ROLLOUT_ABORT:
		rollout_abort(app, (unsigned)d.seat);
		return app->target != NULL;
	case ROLLOUT_DONE:
		rollout_done(app);
		return false;
	}
	return false;
}

/* ---- at the end of a turn ---- */

/* Retired workers whose process is gone. */
static void
free_retired(struct app *app)
{
	for (struct worker *w = app->workers, *next; w != NULL; w = next) {
		next = w->next;
		if (w->seated || !worker_state_final(w->fsm.state))
			continue;
		worker_free(w);
		adopt_settle_soon(app);
	}
}

static void
check_settled(struct app *app)
{
	if (app->n_seats == 0)
		return;
	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct worker *w = app->seats[i].present;

		if (w == NULL || (!worker_ready(w) &&
		    !worker_state_final(w->fsm.state)))
			return;
	}
	app->settled = true;
}

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
	if (failed) {
		app->failed = true;
		log_app(LOG_LEVEL_ERROR, app->name, "every instance has ended, "
		    "at least one of them badly");
	} else {
		log_app(LOG_LEVEL_INFO, app->name, 
		    "every instance has ended well");
	}
}

/* Clients are refused; as long as there are workers that still serve some,
   they are ignored. */
static void
close_over(struct app *app)
{
	if (app_retires(app))
		close_doors(app, app->stable);
	else
		app_spec_shut(app->stable, true);
}

void
app_advance(struct app *app)
{
	app->dirty = false;
	free_retired(app);
	if (app->stopping) {
		if (app->workers == NULL)
			app_free(app);
		return;
	}
	while (app->target != NULL && rollout_step(app))
		;
	if (app->target == NULL) {
		fill_seats(app);
		if (!app->over)
			check_over(app);
		if (app->over)
			close_over(app);
	}
	if (!app->settled)
		check_settled(app);
}
