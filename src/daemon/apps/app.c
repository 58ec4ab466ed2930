#include <stddef.h>
#include <string.h>

#include "daemon/apps/app.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

struct app *
app_of(struct crew *crew)
{
	return (struct app *)((char *)crew - offsetof(struct app, crew));
}

void
app_tell(const struct app *app, enum event_kind kind, const char *words)
{
	const struct apps *apps = app->apps;

	if (apps->watch != NULL && apps->watch->news != NULL)
		apps->watch->news(apps->watch_ctx, app, kind, words);
}

const char *
app_name(const struct app *app)
{
	return app->crew.name;
}

struct app_spec *
app_latest(const struct app *app)
{
	return app->crew.target != NULL ? app->crew.target : app->crew.stable;
}

static struct app *
find(const struct apps *apps, const char *name, bool stopping)
{
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		if (a->crew.stopping == stopping &&
		    strcmp(a->crew.name, name) == 0)
			return a;
	return NULL;
}

struct app *
apps_find(const struct apps *apps, const char *name)
{
	return find(apps, name, false);
}

bool
apps_lingers(const struct apps *apps, const char *name)
{
	return find(apps, name, true) != NULL;
}

void
app_touch(struct app *app)
{
	app->dirty = true;
	apps_touch(app->apps);
}

void
apps_touch(struct apps *apps)
{
	apps->dirty = true;
}

/* Half of what a turn may take. */
#define TIME_NS 2000000
#define LOOKS_NS INT64_C(1000000)

bool
apps_have_time(struct apps *apps)
{
	struct mono now = mono_now();

	if (apps->time_ends.ns == 0)
		apps->time_ends = (struct mono){ now.ns + TIME_NS };
	return mono_before(now, apps->time_ends);
}

bool
apps_have_looks(struct apps *apps)
{
	return loop_budget_left(apps->workers->loop, &apps->looks, LOOKS_NS);
}

/* In this order, and before all whose time comes while this turn lasts: where there
   is more to look at than time, those would come first again and again. */
void
apps_look_later(struct apps *apps, struct loop_timer *timer)
{
	struct mono due = { apps->looks.until.ns - LOOKS_NS + 1 };

	if (!mono_before(apps->look_late, due))
		due.ns = apps->look_late.ns + 1;
	apps->look_late = due;
	loop_timer_set(apps->workers->loop, timer, due);
}

void
app_later(struct app *app)
{
	struct apps *apps = app->apps;

	/* Most are so already, and share memory with those who were forked. */
	if (!app->dirty)
		app->dirty = true;
	if (mono_is_never(apps->go_on.due))
		apps->behind = app->crew.number;
	loop_timer_start(apps->workers->loop, &apps->go_on, 0);
}

void
app_go_on_later(struct app *app, bool got_on)
{
	struct apps *apps = app->apps;
	bool first = mono_is_never(apps->go_on.due);

	app_later(app);
	if (first && got_on)
		apps->behind = app->crew.number + 1;
}

static bool
take(bool *flag)
{
	bool was = *flag;

	*flag = false;
	return was;
}

bool
app_touched(struct app *app)
{
	return take(&app->dirty);
}

bool
apps_touched(struct apps *apps)
{
	return take(&apps->dirty);
}

bool
app_came_by(const struct app *app, uint64_t reload)
{
	return app->added_by >= reload || app->renewed_by >= reload;
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

bool
apps_want(const struct apps *apps, const struct listener *l)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (!a->crew.stopping &&
		    ((!a->over && app_spec_has(a->crew.stable, l)) ||
			app_spec_has(a->crew.target, l) ||
			is_seated_under(a, l)))
			return true;
	return false;
}

static void
close_doors(const struct app *app, const struct app_spec *spec,
    void (*how)(struct listener *))
{
	for (struct listener *l = app->apps->house.listeners->first; l != NULL;
	    l = l->next)
		if (app_spec_has(spec, l) && !apps_want(app->apps, l))
			how(l);
}

void
app_close_doors(const struct app *app, const struct app_spec *spec)
{
	close_doors(app, spec, listener_close_door);
}

void
app_refuse(const struct app *app)
{
	close_doors(app, app->crew.target, listener_refuse);
	close_doors(app, app->crew.stable, listener_refuse);
}
