#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/names/address.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_seats.h"
#include "daemon/spec/app_spec.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/listeners.h"
#include "daemon/steer/steer.h"
#include "daemon/apps/stopped.h"
#include "daemon/life/life.h"
#include "daemon/workers/worker.h"

/* ---- doors ---- */

/* A rollout that was superseded may have left seats under a spec of its own. */
static bool
is_seated_under(const struct app *app, const struct listener *l)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->seated && !worker_state_final(w->fsm.state) &&
		    app_spec_has(w->spec, l))
			return true;
	return false;
}

static bool
in_force(const struct apps *apps, const struct listener *l)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (!a->crew.stopping &&
		    ((!a->over && app_spec_has(a->crew.stable, l)) ||
			app_spec_has(a->crew.target, l) ||
			is_seated_under(a, l)))
			return true;
	return false;
}

/* Its workers retire, and serve what they have until they have finished; its
   listeners that nobody else has take no new clients. */
static void
close_doors(const struct app *app, const struct app_spec *spec)
{
	for (struct listener *l = app->apps->listeners->first; l != NULL;
	    l = l->next)
		if (app_spec_has(spec, l) && !in_force(app->apps, l))
			listener_close_door(l);
}

/* ---- seats ---- */

bool
app_seats_ensure(struct app *app, unsigned n)
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

void
app_seat_unseat(struct worker **place, void (*how)(struct worker *))
{
	struct worker *w = *place;

	*place = NULL;
	if (w == NULL)
		return;
	w->seated = w->present = false;
	/* No new connections from here on: to what a failed or superseded
	   target alone listened on, nobody else would be steered to. */
	close_doors(app_of(w->crew), w->spec);
	steer_all(app_of(w->crew)->apps->steering);
	how(w);
}

void
app_seat_retire(struct worker **place)
{
	app_seat_unseat(place, worker_retire);
}

void
app_seats_drop_last(struct app *app)
{
	struct seat *last = &app->seats[app->n_seats - 1];

	app_seat_retire(&last->next);
	app_seat_retire(&last->present);
	free(last->death);
	app->n_seats--;
}

bool
app_seat_start(struct app *app, struct worker **place, struct app_spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w =
	    worker_new(app->apps->life, &app->crew, spec, instance, trial);

	if (w == NULL) {
		log_about(LOG_LEVEL_ERROR, &(struct log_about){
		    .app = app->crew.name, .instance = (long)instance,
		}, "no memory for a worker");
		return false;
	}
	w->seated = true;
	w->present = !trial;
	*place = w;
	worker_start(w);
	return true;
}

void
app_seats_fill(struct app *app)
{
	if (app->over || !app_seats_ensure(app, app->crew.wanted))
		return;
	while (app->n_seats > app->crew.wanted)
		app_seats_drop_last(app);
	for (unsigned i = 0; i < app->n_seats; i++)
		if (app->seats[i].present == NULL && !app->apps->stopping &&
		    !app_seat_start(app, &app->seats[i].present,
			app->crew.stable, i, false))
			break;
}

/* ---- life of an app ---- */

int
app_add(struct apps *apps, struct app_spec *spec, bool initial)
{
	struct app *app = calloc(1, sizeof(*app));
	struct app **end = &apps->first;

	if (app == NULL)
		return -ENOMEM;
	app->crew.name = strdup(spec->conf->name);
	if (app->crew.name == NULL) {
		free(app);
		return -ENOMEM;
	}
	app->apps = apps;
	app->number = ++apps->workers->number;
	apps->n_added++;
	app->added_by = initial ? 0 : apps->n_reloads;
	app->only = -1;
	app->crew.initial = initial;
	app->generation = 1;
	app->crew.stable = app_spec_ref(spec);
	app_spec_try(spec, app->generation);
	app_spec_put_in_force(spec);
	app->crew.wanted = spec->instances;
	app->stable_wanted = app->crew.wanted;
	while (*end != NULL)
		end = &(*end)->next_app;
	*end = app;
	workers_enter(apps->workers, &app->crew);
	log_app(LOG_LEVEL_INFO, app->crew.name, "starting %u instance%s",
	    app->crew.wanted, app->crew.wanted == 1 ? "" : "s");
	app_seats_fill(app);
	app_touch(app);
	return 0;
}

static void
app_free(struct app *app)
{
	for (struct app **p = &app->apps->first; *p != NULL;
	     p = &(*p)->next_app)
		if (*p == app) {
			*p = app->next_app;
			break;
		}
	workers_leave(&app->crew);
	app_spec_unref(app->crew.stable);
	app_spec_unref(app->crew.target);
	for (unsigned i = 0; i < app->n_seats; i++)
		free(app->seats[i].death);
	/* Unless it was added again meanwhile, or may be started again. */
	if (app_find(app->apps, app->crew.name) == NULL &&
	    stopped_find(app->apps, app->crew.name) == NULL)
		out_tails_forget(&app->apps->outputs->in.tails, app->crew.name);
	free(app->seats);
	free(app->reload_error);
	free(app->crew.name);
	free(app);
}

void
app_leave_spec(struct app *app, struct app_spec *spec)
{
	close_doors(app, spec);
	app_spec_unref(spec);
}

/* No seat has anybody any more. */
static void
unseat_all(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++)
		free(app->seats[i].death);
	app->n_seats = 0;
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->seated = w->present = false;
}

void
app_remove(struct app *app)
{
	if (app->crew.stopping)
		return;
	app->crew.stopping = true;
	unseat_all(app);
	close_doors(app, app->crew.target);
	close_doors(app, app->crew.stable);
	steer_all(app->apps->steering);
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		worker_retire(w);
	app_touch(app);
}

void
app_stop(struct app *app)
{
	app->crew.stopping = true;
	unseat_all(app);
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		worker_stop(w);
	app_spec_shut(app->crew.stable, false);
	app_spec_shut(app->crew.target, false);
	app_touch(app);
}

void
app_kill(struct app *app)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		worker_kill(w);
}

struct app *
app_of(struct crew *crew)
{
	return (struct app *)((char *)crew - offsetof(struct app, crew));
}

void
app_worker_stepped(struct worker *w, const struct worker_step *step)
{
	const struct apps *apps = app_of(w->crew)->apps;

	apps->watch->stepped(apps->watch_ctx, w, step);
	app_touch(app_of(w->crew));
}

static void
keep_words(char **at, const char *words)
{
	free(*at);
	*at = strdup(words);
}

void
app_worker_ended(struct worker *w, const struct worker_step *step,
    enum restart_cause cause, const char *words)
{
	struct app *app = app_of(w->crew);
	struct seat *seat = w->seated && w->present ?
	    &app->seats[w->instance] : NULL;

	app->apps->watch->ended(app->apps->watch_ctx, w, step, words);
	if (seat == NULL)
		return;
	keep_words(&seat->death, words);
	seat->died = mono_now();
	if (step->why == WORKER_WHY_AGAIN || step->why == WORKER_WHY_NO_FORK)
		seat->restarts[cause]++;
}

void
app_touch(struct app *app)
{
	app->dirty = true;
	app->apps->dirty = true;
}

struct app *
app_find(struct apps *apps, const char *name)
{
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		if (!a->crew.stopping && strcmp(a->crew.name, name) == 0)
			return a;
	return NULL;
}

bool
app_lingers(const struct apps *apps, const char *name)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (a->crew.stopping && strcmp(a->crew.name, name) == 0)
			return true;
	return false;
}

/* Port 0 is another port each time. */
static const struct address *
find_common(const struct conf_app *a, const struct conf_app *b)
{
	for (size_t i = 0; i < a->n_listens; i++)
		for (size_t k = 0; k < b->n_listens; k++)
			if ((a->listens[i].kind == ADDRESS_UNIX ||
			    a->listens[i].port != 0) &&
			    address_equal(&a->listens[i], &b->listens[k]))
				return &a->listens[i];
	return NULL;
}

int
app_check_listens(const struct apps *apps, const struct conf_app *conf,
    struct error *err)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app) {
		const struct address *taken;
		char *text;

		if (a->crew.stopping || strcmp(a->crew.name, conf->name) == 0)
			continue;
		taken = find_common(conf, a->crew.stable->conf);
		if (taken == NULL && a->crew.target != NULL)
			taken = find_common(conf, a->crew.target->conf);
		if (taken == NULL)
			continue;
		text = address_format(taken);
		error_set(err, -EADDRINUSE, "%s is served by %s, which a "
		    "reload of all apps may change",
		    text != NULL ? text : "an address", a->crew.name);
		free(text);
		return -EADDRINUSE;
	}
	return 0;
}

bool
app_retires(const struct app *app)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
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
	unsigned wanted = clamp((int64_t)app->crew.wanted + by);

	if (app->crew.stopping || app->over)
		return;
	if (wanted == app->crew.wanted) {
		log_app(LOG_LEVEL_INFO, app->crew.name,
		    "stays at %u instance%s", app->crew.wanted,
		    app->crew.wanted == 1 ? "" : "s");
		return;
	}
	app->crew.wanted = wanted;
	app->stable_wanted = clamp((int64_t)app->stable_wanted + by);
	log_app(LOG_LEVEL_INFO, app->crew.name, "scaling to %u instance%s",
	    app->crew.wanted, app->crew.wanted == 1 ? "" : "s");
	app_touch(app);
}

/* ---- at the end of a turn ---- */

/* Retired workers whose process is gone. */
static void
free_retired(struct app *app)
{
	for (struct worker *w = app->crew.workers, *next; w != NULL; w = next) {
		next = w->next;
		if (w->seated || !worker_state_final(w->fsm.state))
			continue;
		worker_free(w);
		adopt_settle_soon(app->apps->adopt, &app->crew);
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
		log_app(LOG_LEVEL_ERROR, app->crew.name,
		    "every instance has ended, "
		    "at least one of them badly");
	} else {
		log_app(LOG_LEVEL_INFO, app->crew.name,
		    "every instance has ended well");
	}
}

/* Clients are refused; as long as there are workers that still serve some,
   they are ignored. */
static void
close_over(struct app *app)
{
	if (app_retires(app))
		close_doors(app, app->crew.stable);
	else
		app_spec_shut(app->crew.stable, true);
}

void
app_advance(struct app *app)
{
	app->dirty = false;
	free_retired(app);
	if (app->crew.stopping) {
		if (app->crew.workers == NULL)
			app_free(app);
		return;
	}
	while (app->crew.target != NULL && app_rollout_step(app))
		;
	if (app->crew.target == NULL) {
		app_seats_fill(app);
		if (!app->over)
			check_over(app);
		if (app->over)
			close_over(app);
	}
	if (!app->settled)
		check_settled(app);
}
