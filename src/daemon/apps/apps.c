#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_records.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/apps/app_autoscale.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/apps/app_listens.h"
#include "daemon/apps/app_order.h"
#include "daemon/apps/app_recycle.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_rollout_step_priv.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/seats.h"
#include "daemon/apps/stopped.h"
#include "daemon/life/group.h"
#include "daemon/life/life.h"
#include "daemon/life/life_again.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/listeners.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/workers/worker.h"

/* ---- an app's beginning and end ---- */

static struct app *
app_new(struct apps *apps, struct app_spec *spec, bool initial,
    const struct ledger_conf *again)
{
	struct app *app = calloc(1, sizeof(*app));
	struct app **end = &apps->first;

	if (app == NULL)
		return NULL;
	app->crew.name = strdup(spec->conf->name);
	if (app->crew.name == NULL) {
		free(app);
		return NULL;
	}
	app->apps = apps;
	app->crew.number = workers_number(apps->workers);
	app->crew.initial = initial;
	app->record = LEDGER_NOWHERE;
	/* It is given out again. */
	if (again != NULL && again->generation > 0)
		app->generation = again->generation - 1;
	if (app_autoscale_init(app) < 0 || app_rollout_init(app, spec) < 0) {
		app_autoscale_fini(app);
		free(app->crew.name);
		free(app);
		return NULL;
	}
	if (again != NULL)
		app_ledger_take_over(app, again);
	while (*end != NULL)
		end = &(*end)->next_app;
	*end = app;
	workers_enter(apps->workers, &app->crew);
	return app;
}

/* At the end of the turn, or in the next ones: see retire_some(). Nobody who dies until
   then is started again (daemon/life). */
static void
retire(struct app *app)
{
	app->to_retire = UINT64_MAX;
	app_touch(app);
}

/* It was about to under the supervisor before: as it was removed, or as it was
   stopped by request, or with the program. */
static void
leave_again(struct app *app, bool dismissed)
{
	app->crew.stopping = true;
	app->crew.dismissed = dismissed;
	app->waits = false;
	app_spec_supersede(app->crew.stable);
	seats_take_over(app);
	if (dismissed)
		app_refuse(app);
	else
		app_close_doors(app, app->crew.stable);
	steer_away_crew(app->apps->steering, &app->crew);
	retire(app);
}

/* `added_by`: the number of the reload; 0: none. */
static int
add(struct apps *apps, struct app_spec *spec, bool initial, uint64_t added_by,
    const struct ledger_conf *again)
{
	struct app *app = app_new(apps, spec, initial, again);

	if (app == NULL)
		return -ENOMEM;
	apps->n_added++;
	app->added_by = added_by;
	order_begin(app);
	if (again != NULL && (again->flags & LEDGER_LEAVES) != 0) {
		leave_again(app, (again->flags & LEDGER_DISMISSED) != 0);
		return 0;
	}
	if (life_next_left(apps->life, app->crew.name) != NULL) {
		seats_take_over(app);
	} else {
		log_app(LOG_LEVEL_INFO, app->crew.name,
		    "starting %u instance%s", app->crew.wanted,
		    app->crew.wanted == 1 ? "" : "s");
		app_tell(app, EVENT_ADDED, NULL);
	}
	seats_fill(app);
	app_touch(app);
	return 0;
}

void
apps_init(struct apps *apps, const struct apps_setup *setup)
{
	*apps = (struct apps){
		.workers = setup->workers,
		.steering = setup->steering,
		.review = setup->review,
		.life = setup->life,
		.watch = setup->watch,
		.watch_ctx = setup->watch_ctx,
		.house = {
			.listeners = setup->listeners,
			.outputs = setup->outputs,
		},
	};
}

/* Those that had no time are touched still. */
static void
go_on_due(void *ctx)
{
	apps_touch(ctx);
}

int
apps_open(struct apps *apps)
{
	int code = app_recycle_init(apps);

	return code < 0 ? code : loop_timer_init(apps->workers->loop,
	    &apps->go_on, go_on_due, apps);
}

void
apps_close(struct apps *apps)
{
	loop_timer_fini(apps->workers->loop, &apps->go_on);
	app_recycle_fini(apps);
}

int
apps_add(struct apps *apps, struct app_spec *spec, bool initial)
{
	return add(apps, spec, initial, initial ? 0 : apps->n_reloads, NULL);
}

int
apps_add_again(struct apps *apps, struct app_spec *spec,
    const struct ledger_conf *record)
{
	return add(apps, spec, true, 0, record);
}

static void
app_free(struct app *app)
{
	struct apps *apps = app->apps;
	struct app **p = &apps->first;

	while (*p != app)
		p = &(*p)->next_app;
	*p = app->next_app;
	app_ledger_drop(app);
	workers_leave(&app->crew);
	app_autoscale_fini(app);
	app_rollout_free(app);
	seats_free(app);
	/* Unless it was added again meanwhile, or may be started again. */
	if (apps_find(apps, app->crew.name) == NULL &&
	    stopped_find(apps, app->crew.name) == NULL)
		outputs_forget(apps->house.outputs, app->crew.name);
	free(app->wear_words);
	free(app->crew.name);
	free(app);
}

static void
leave(struct app *app)
{
	app->crew.stopping = true;
	app_ledger_note(app);
	order_note(app);
	app_tell(app, EVENT_REMOVED, NULL);
	app_spec_supersede(app->crew.stable);
	seats_leave(app);
}

/* One that waits until the old one is gone (max_surge = 0) does so still: it may
   be started for those who wait for it. */
static bool
waits_for_room(const struct app *app, const struct worker *w)
{
	return w->fsm.state == WORKER_IDLE && seats_leaves(app, w->instance);
}

/* At least one. The latest comes first in the list. */
static void
retire_some(struct app *app)
{
	bool any = false;

	for (struct worker *w = app->crew.workers; w != NULL; w = w->next) {
		if (w->number > app->to_retire)
			continue;
		if (app->apps->refusing ||
		    (any && !apps_have_time(app->apps))) {
			app_go_on_later(app, any);
			return;
		}
		any = true;
		app->to_retire = w->number - 1;
		if (!waits_for_room(app, w))
			worker_retire(w);
	}
	app->to_retire = 0;
}

static void
retire_late(struct app *app)
{
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->fsm.state == WORKER_IDLE && !waits_for_room(app, w))
			worker_retire(w);
}

void
apps_remove(struct app *app)
{
	if (app->crew.stopping)
		return;
	leave(app);
	app_close_doors(app, app->crew.target);
	app_close_doors(app, app->crew.stable);
	steer_away_crew(app->apps->steering, &app->crew);
	retire(app);
}

/* ---- stopped and started by request ---- */

int
apps_stop_one(struct app *app, struct error *err)
{
	/* What is in force, not what a rollout tries. */
	int code = stopped_put(app->apps, app->crew.stable->config,
	    app->crew.stable->conf);

	if (code < 0)
		return error_set(err, code, "out of memory");
	app->crew.dismissed = true;
	leave(app);
	/* Written down by now. */
	log_app(LOG_LEVEL_INFO, app->crew.name, "stopping, as asked");
	app_refuse(app);
	steer_away_crew(app->apps->steering, &app->crew);
	retire(app);
	return 0;
}

void
apps_provide_limits(struct apps *apps, const struct config *config,
    const bool *which)
{
	group_provide_limits(apps->life, config, which);
}

int
apps_start_one(struct apps *apps, const char *name, struct error *err)
{
	struct stopped_app *s = stopped_find(apps, name);
	struct app_spec *spec;
	int code = apps_check_listens(apps, s->conf, err);

	if (code == 0)
		code = app_spec_new(&apps->house, s->config, s->conf, &spec,
		    err);
	if (code < 0)
		return code;
	apps_provide_limits(apps, s->config, NULL);
	/* `name` may be that of the request, which is answered and gone after
	   this, if a worker could not even be spawned. */
	code = add(apps, spec, false, 0, NULL);
	app_spec_unref(spec);
	if (code < 0)
		return error_set(err, code, "out of memory");
	/* One of the two is there at each moment: with neither of them it would
	   begin as the program's configuration has it, or not at all. */
	app_ledger_note(apps_find(apps, s->conf->name));
	stopped_drop(apps, s);
	return 0;
}

/* ---- all of them ---- */

static void
stop(struct app *app)
{
	app->crew.stopping = true;
	app->to_retire = 0;
	seats_leave(app);
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		worker_stop(w);
	app_spec_shut(app->crew.stable, false);
	app_spec_shut(app->crew.target, false);
	app_touch(app);
}

void
apps_stop(struct apps *apps)
{
	apps->stopping = true;
	apps->refusing = false;
	order_end_at_once(apps);
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		stop(a);
	apps_touch(apps);
}

/* Whose end is not known is over by then. */
static int64_t
drain_ms(const struct app *app)
{
	int64_t most = 0;

	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->spec->conf->drain_timeout_ms > most)
			most = w->spec->conf->drain_timeout_ms;
	return most;
}

/* It finishes what it has, and is not to be started again. */
static void
dismiss(struct app *app)
{
	app->crew.dismissed = true;
	if (app->crew.stopping)
		app_ledger_note(app);
	else
		leave(app);
	retire(app);
}

/* Those that come after it have gone. */
static void
dismiss_held(struct app *app)
{
	struct apps *apps = app->apps;

	dismiss(app);
	apps->refusing = true;
	for (struct listener *l = apps->house.listeners->first; l != NULL;
	    l = l->next)
		if ((app_spec_has(app->crew.stable, l) ||
			app_spec_has(app->crew.target, l)) &&
		    !apps_want(apps, l))
			l->to_refuse = true;
}

int64_t
apps_drain(struct apps *apps)
{
	int64_t most = 0;
	bool all;

	apps->stopping = apps->refusing = true;
	order_end(apps);
	all = !order_holds(apps);
	for (struct app *a = apps->first; a != NULL; a = a->next_app) {
		int64_t ms = drain_ms(a);

		if (ms > most)
			most = ms;
		if (!a->held)
			dismiss(a);
	}
	for (struct listener *l = apps->house.listeners->first; l != NULL;
	    l = l->next)
		l->to_refuse = all || !apps_want(apps, l);
	apps_touch(apps);
	return most;
}

void
apps_are_stopping(struct apps *apps)
{
	apps->stopping = true;
}

void
apps_kill(struct apps *apps)
{
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		for (struct worker *w = a->crew.workers; w != NULL; w = w->next)
			worker_kill(w);
}

void
apps_scale(struct apps *apps, int by)
{
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		app_scale(a, by, NULL);
}

void
apps_count_reload(struct apps *apps)
{
	apps->n_reloads++;
}

void
apps_count_cpus(struct apps *apps, const struct config *config)
{
	apps->house.auto_instances = config->auto_instances;
}

/* ---- what workers do ---- */

void
apps_worker_stepped(struct worker *w, const struct worker_step *step)
{
	const struct apps *apps = app_of(w->crew)->apps;

	apps->watch->stepped(apps->watch_ctx, w, step);
	app_rollout_note_step(w, step);
	app_touch(app_of(w->crew));
}

void
apps_worker_ended(struct worker *w, const struct worker_step *step,
    enum restart_cause cause, const char *words)
{
	const struct apps *apps = app_of(w->crew)->apps;

	apps->watch->ended(apps->watch_ctx, w, step, words);
	seats_note_end(w, step, cause, words);
	app_rollout_note_end(w, step, cause);
	if (!app_of(w->crew)->came_up && w->seated)
		app_of(w->crew)->tried = true;
	/* What it alone has bound is served by nobody. */
	if (worker_state_final(step->to))
		adopt_review_soon(apps->review, w->crew);
}

void
apps_worker_finished(struct worker *w)
{
	app_rollout_note_finished(w);
}

void
apps_worker_health(void *ctx, struct worker *w, enum health_news news,
    const char *words)
{
	const struct apps *apps = ctx;

	if (news != HEALTH_WELL)
		apps->watch->health(apps->watch_ctx, w,
		    news != HEALTH_RECOVERED, words);
	app_touch(app_of(w->crew));
}

enum listener_fate
apps_listener_died(void *ctx, struct listener *l)
{
	struct apps *apps = ctx;
	struct error err = ERROR_INIT;
	int code;

	if (apps->stopping || !apps_want(apps, l))
		return LISTENER_UNWANTED;
	code = listener_renew(l, &err);
	if (code < 0)
		log_app(LOG_LEVEL_ERROR, l->app, "%s", error_text(&err));
	error_clear(&err);
	if (code < 0)
		return LISTENER_STAYS_DEAD;
	for (struct app *a = apps->first; a != NULL; a = a->next_app)
		app_note_deaf(a, l);
	return LISTENER_RENEWED;
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
		adopt_review_soon(app->apps->review, &app->crew);
	}
}

static bool
has_come_up(const struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct worker *w = app->seats[i].present;

		if (w == NULL || (!worker_ready(w) &&
		    !worker_state_final(w->fsm.state)))
			return false;
	}
	return app->n_seats > 0;
}

/* The app may be freed. */
static void
advance(struct app *app)
{
	free_retired(app);
	if (app->to_retire != 0)
		retire_some(app);
	/* A seat may have changed hands. */
	for (const struct worker *w = app->crew.workers; w != NULL &&
	    !app->apps->stopping; w = w->next)
		steer_note(app->apps->steering, w);
	if (app->crew.stopping) {
		if (app->to_retire == 0)
			retire_late(app);
		order_note(app);
		if (app->crew.workers == NULL)
			app_free(app);
		return;
	}
	if (app->apps->stopping) {
		if (order_lets_go(app))
			dismiss_held(app);
		return;
	}
	if (!order_goes_on(app)) {
		app_ledger_note(app);
		return;
	}
	app_rollout_turn(app);
	app_ledger_note(app);
	if (!app->came_up)
		app->came_up = has_come_up(app);
	order_note(app);
	app_recycle_turn(app);
	app_autoscale_turn(app);
}

static void
advance_some(struct apps *apps, uint64_t from, uint64_t to)
{
	for (struct app *a = apps->first, *next; a != NULL; a = next) {
		next = a->next_app;
		if (a->crew.number < from || a->crew.number >= to || !a->dirty)
			continue;
		if (!apps_have_time(apps))
			app_later(a);
		else if (app_touched(a))
			advance(a);
	}
}

/* Before anybody retires, whose clients they would be. At least of one. */
static void
refuse_some(struct apps *apps)
{
	bool any = false;

	for (struct listener *l = apps->house.listeners->first; l != NULL;
	    l = l->next) {
		if (!l->to_refuse)
			continue;
		if (any && !apps_have_time(apps))
			return;
		any = true;
		l->to_refuse = false;
		listener_refuse(l);
	}
	apps->refusing = false;
}

bool
apps_turn(struct apps *apps)
{
	const uint64_t behind = apps->behind;

	if (!apps_touched(apps))
		return false;
	if (apps->refusing)
		refuse_some(apps);
	/* Nobody is always the last one. */
	advance_some(apps, behind, UINT64_MAX);
	advance_some(apps, 0, behind);
	return true;
}

void
apps_end_turn(struct apps *apps)
{
	apps->time_ends = (struct mono){ .ns = 0 };
}

/* ---- how they are ---- */

void
apps_count(const struct apps *apps, unsigned *ret_ready, unsigned *ret_wanted)
{
	*ret_ready = *ret_wanted = 0;
	for (const struct app *a = apps->first; a != NULL; a = a->next_app) {
		*ret_ready += app_ready_count(a);
		*ret_wanted += a->crew.wanted;
	}
}

bool
apps_have_come_up(const struct apps *apps)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (!a->crew.stopping &&
		    ((!a->came_up && !a->tried) || a->crew.target != NULL))
			return false;
	return true;
}

void
apps_name_failed(const struct apps *apps, struct strbuf *sb)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (!a->crew.stopping && !a->came_up)
			strbuf_printf(sb, "%s%s", sb->len > 0 ? ", " : "",
			    a->crew.name);
}

bool
apps_have_retired(const struct apps *apps)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (a->to_retire != 0)
			return false;
	return !apps->refusing && !order_holds(apps);
}

bool
apps_are_over(const struct apps *apps, bool *ret_failed)
{
	bool failed = false;

	/* Somebody may want to start it again. */
	if (apps->stopped != NULL)
		return false;
	for (const struct app *a = apps->first; a != NULL; a = a->next_app) {
		if (a->crew.stopping || !a->over || a->crew.target != NULL ||
		    app_retires(a))
			return false;
		if (a->failed)
			failed = true;
	}
	*ret_failed = failed;
	return true;
}

bool
apps_only_killed_left(const struct apps *apps)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		for (const struct worker *w = a->crew.workers; w != NULL;
		    w = w->next)
			if (w->fsm.state != WORKER_KILLED)
				return false;
	return true;
}
