#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_order.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

static const struct strlist *
names_of(const struct app *app)
{
	return &app_latest(app)->conf->after;
}

static bool
names(const struct app *app, const struct app *other)
{
	const struct strlist *list = names_of(app);

	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->v[i], other->crew.name) == 0)
			return true;
	return false;
}

/* Does `app` come after `other`, if by others between them? */
static bool
leads_to(struct app *app, const struct app *other)
{
	const struct strlist *list = names_of(app);

	app->mark = app->apps->marks;
	for (size_t i = 0; i < list->n; i++) {
		struct app *next = apps_find(app->apps, list->v[i]);

		if (next == other || (next != NULL &&
		    next->mark != app->apps->marks && leads_to(next, other)))
			return true;
	}
	return false;
}

static bool
is_in_circle(struct app *app, struct app *other)
{
	app->apps->marks++;
	return leads_to(other, app);
}

/* Will it be ready, as far as one can tell, and is it not yet? */
static bool
is_pending(const struct app *app)
{
	return app->crew.target != NULL || (!app->came_up && !app->tried);
}

void
order_begin(struct app *app)
{
	app->waits = names_of(app)->n > 0;
	app->told_waits = false;
	if (app->waits)
		app->apps->ordered = true;
}

static void
tell_waits(struct app *app, const struct app *other)
{
	if (app->told_waits)
		return;
	app->told_waits = true;
	/* It would be the end of the program, and of others. */
	app->crew.initial = false;
	log_app(LOG_LEVEL_INFO, app->crew.name, "waits for %s",
	    other->crew.name);
}

bool
order_goes_on(struct app *app)
{
	const struct strlist *list = names_of(app);

	for (size_t i = 0; app->waits && i < list->n; i++) {
		struct app *other = apps_find(app->apps, list->v[i]);

		if (other == NULL || !is_pending(other) ||
		    is_in_circle(app, other))
			continue;
		tell_waits(app, other);
		return false;
	}
	if (app->waits && app->told_waits)
		log_app(LOG_LEVEL_INFO, app->crew.name, "goes on");
	app->waits = false;
	return true;
}

/* ---- at a stop ---- */

static bool
has_worker_left(const struct app *app)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (!worker_state_final(w->fsm.state) &&
		    w->fsm.state != WORKER_IDLE &&
		    w->fsm.state != WORKER_KILLED)
			return true;
	return false;
}

static bool
is_needed(struct app *app)
{
	for (struct app *a = app->apps->first; a != NULL; a = a->next_app)
		if (a != app && names(a, app) && has_worker_left(a) &&
		    !is_in_circle(a, app))
			return true;
	return false;
}

void
order_end(struct apps *apps)
{
	if (!apps->ordered)
		return;
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		a->held = !a->crew.stopping && is_needed(a);
}

void
order_end_at_once(struct apps *apps)
{
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		a->held = false;
}

bool
order_lets_go(struct app *app)
{
	if (app->held)
		app->held = is_needed(app);
	return !app->held;
}

bool
order_holds(const struct apps *apps)
{
	const struct app *a = apps->ordered ? apps->first : NULL;

	for (; a != NULL; a = a->next_app)
		if (a->held)
			return true;
	return false;
}

/* ---- both ---- */

void
order_note(struct app *app)
{
	struct app *a = app->apps->ordered ? app->apps->first : NULL;

	for (; a != NULL; a = a->next_app)
		if (a != app && (a->held || (a->waits &&
		    (app->crew.stopping || !is_pending(app)))))
			app_touch(a);
}
