#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/worker/worker_fsm.h"
#include "daemon/apps/app.h"
#include "daemon/spec/app_spec.h"
#include "daemon/control/control.h"
#include "daemon/config/reload.h"
#include "daemon/apps/stopped.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/workers/worker.h"

/* ---- what is there ---- */

static bool
names_app(const struct control_client *c)
{
	return c->op.request.app[0] != '\0';
}

/* Does the request concern this app? */
static bool
concerns(const struct control_client *c, const char *app)
{
	return !names_app(c) || strcmp(c->op.request.app, app) == 0;
}

/* The app that the request names and that runs; NULL: the answer says why
   there is none. */
static struct app *
find_running(struct control_client *c)
{
	const char *name = c->op.request.app;
	struct app *app = app_find(c->control->apps, name);

	if (app != NULL)
		return app;
	if (c->control->apps->stopping)
		control_fail(c, "failed", "clusterd is stopping");
	else if (stopped_find(c->control->apps, name) != NULL)
		control_fail(c, "failed", "%s is stopped: \"start %s\" starts "
		    "it", name, name);
	else
		control_fail(c, "unknown", "there is no app \"%s\"", name);
	return NULL;
}

static bool
seat_is_up(const struct app *app, unsigned i)
{
	const struct worker *w = i < app->n_seats ? app->seats[i].present :
	    NULL;

	return w != NULL && (worker_ready(w) || w->fsm.state == WORKER_ENDED);
}

/* Every instance that is wanted, from number `from` on, is ready or has ended
   well. */
static bool
is_up(const struct app *app, unsigned from)
{
	for (unsigned i = from; i < app->crew.wanted; i++)
		if (!seat_is_up(app, i))
			return false;
	return app->crew.target == NULL;
}

/* One of these will never be: it is not restarted any more. The answer says
   so then. */
static bool
fails_for_good(struct control_client *c, const struct app *app, unsigned from)
{
	if (app->crew.target != NULL)
		return false;
	for (unsigned i = from; i < app->crew.wanted && i < app->n_seats; i++) {
		const struct seat *seat = &app->seats[i];

		if (seat->present == NULL || seat_is_up(app, i) ||
		    !worker_state_final(seat->present->fsm.state))
			continue;
		control_fail(c, "failed", "%s[%u] is not restarted any more: "
		    "%s", app->crew.name, i, seat->death != NULL ? seat->death :
		    "it has failed");
		return true;
	}
	return false;
}

/* Every instance has ended, and no rollout is about to change that. */
static bool
has_ended(const struct app *app)
{
	return app->over && app->crew.target == NULL;
}

/* ---- progress ---- */

static bool
tells(const struct control_client *c, const struct app *app)
{
	return c->busy && c->op.check != NULL && concerns(c, app->crew.name) &&
	    c->out.len - c->sent < CONTROL_OUT_ENOUGH;
}

static void
tell_app(struct control_client *c, const struct app *app)
{
	answer_begin(&c->out, ANSWER_PROGRESS, "app");
	answer_put(&c->out, "app", app->crew.name);
	control_put_app(&c->out, app);
	answer_end(&c->out);
}

static void
tell_apps(struct control_client *c)
{
	for (const struct app *a = c->control->apps->first; a != NULL;
	     a = a->next_app)
		if (!a->crew.stopping && tells(c, a))
			tell_app(c, a);
}

void
control_worker_stepped(void *ctx, const struct worker *w,
    const struct worker_step *step)
{
	struct control *control = ctx;
	struct control_client *c;

	/* Its pid comes with the next step. */
	if (step->from == step->to || step->to == WORKER_EXECING)
		return;
	TAILQ_FOREACH(c, &control->clients, entry) {
		if (!tells(c, app_of(w->crew)))
			continue;
		answer_begin(&c->out, ANSWER_PROGRESS, "instance");
		control_put_worker(&c->out, w);
		if (step->why != WORKER_WHY_NOTHING)
			answer_put(&c->out, "why",
			    worker_reason_text(step->why));
		answer_end(&c->out);
		tell_app(c, app_of(w->crew));
	}
}

/* ---- what may go wrong while something is waited for ---- */

/* The apps that a reload has added, and those that are started, have no worker
   of before to fall back to: what cannot become ready is told at once. */
static bool
fails_by(const struct control_client *c, const struct worker *w)
{
	switch (c->op.request.verb) {
	case REQUEST_START:
	case REQUEST_SCALE:
		return concerns(c, w->crew->name) && w->seated &&
		    w->instance >= c->op.floor;
	case REQUEST_RELOAD:
		return concerns(c, w->crew->name) && w->seated &&
		       app_of(w->crew)->added_by >= c->op.reload &&
		       !app_of(w->crew)->settled;
	default:
		return false;
	}
}

void
control_worker_died(void *ctx, const struct worker *w,
    const struct worker_step *step, const char *words)
{
	struct control *control = ctx;
	bool early = step->from == WORKER_EXECING ||
	    step->from == WORKER_STARTING || step->from == WORKER_KILLED ||
	    step->from == WORKER_BACKOFF;
	struct control_client *c;

	TAILQ_FOREACH(c, &control->clients, entry) {
		/* The end of who was asked to end is a step like others. */
		if (step->why != WORKER_WHY_ASKED &&
		    tells(c, app_of(w->crew))) {
			char text[512];

			snprintf(text, sizeof(text), "%s[%u]: %s",
			    w->crew->name, w->instance, words);
			answer_begin(&c->out, ANSWER_PROGRESS, "note");
			answer_put(&c->out, "text", text);
			answer_end(&c->out);
		}
		if (early && c->busy && c->op.check != NULL &&
		    step->to != WORKER_ENDED &&
		    step->why != WORKER_WHY_ASKED && fails_by(c, w))
			control_fail(c, "failed", "%s[%u] did not become "
			    "ready: %s", w->crew->name, w->instance, words);
	}
}

void
control_reload_refused(void *ctx, const char *words, bool final)
{
	struct control *control = ctx;
	struct control_client *c;

	TAILQ_FOREACH(c, &control->clients, entry) {
		if (!c->busy || !c->op.reading)
			continue;
		if (!final && c->out.len - c->sent >= CONTROL_OUT_MAX)
			continue;
		if (!final) {
			answer_begin(&c->out, ANSWER_PROGRESS, "note");
			answer_put(&c->out, "text", words);
			answer_end(&c->out);
			continue;
		}
		control_fail(c, "failed", "reload refused, nothing was "
		    "changed: %s", words);
	}
}

/* ---- waiting ---- */

static bool
is_trimmed(const struct control_client *c, const struct app *app)
{
	return c->op.request.instance >= 0 &&
	    (unsigned)c->op.request.instance >= app->crew.wanted;
}

/* The rollouts of the apps that it concerns have ended, and what was added is
   up. */
static void
check_reload(struct control_client *c)
{
	static const char *const done[REQUEST_VERBS] = {
		[REQUEST_RELOAD] = "reloaded",
		[REQUEST_RESTART] = "restarted",
		[REQUEST_START] = "started",
	};
	const struct app *bad = NULL;

	if (c->control->apps->stopping) {
		control_fail(c, "failed", "clusterd is stopping");
		return;
	}
	if (names_app(c) &&
	    app_find(c->control->apps, c->op.request.app) == NULL) {
		control_fail(c, "failed", "%s was stopped meanwhile",
		    c->op.request.app);
		return;
	}
	if (c->control->reloads->under_way != NULL)
		return;
	c->op.reading = false;
	for (const struct app *a = c->control->apps->first; a != NULL;
	     a = a->next_app) {
		if (a->crew.stopping || !concerns(c, a->crew.name))
			continue;
		if (is_trimmed(c, a)) {
			control_fail(c, "failed", "%s has no instance %d any "
			    "more", a->crew.name, c->op.request.instance);
			return;
		}
		if (a->crew.target != NULL ||
		    (a->added_by >= c->op.reload && !a->settled))
			return;
		if (a->reload_error != NULL && bad == NULL)
			bad = a;
	}
	if (bad != NULL)
		control_fail(c, "failed", "%s: %s", bad->crew.name,
		    bad->reload_error);
	else
		control_ok(c, done[c->op.request.verb]);
}

/* Of a scale or a start: nothing superfluous is left either. */
static void
check_up(struct control_client *c)
{
	const struct app *app = app_find(c->control->apps, c->op.request.app);

	if (c->control->apps->stopping || app == NULL) {
		control_fail(c, "failed", "%s was stopped meanwhile",
		    c->op.request.app);
	} else if (has_ended(app) && app->failed) {
		control_fail(c, "failed", "every instance of %s has ended, at "
		    "least one of them badly", app->crew.name);
	} else if (fails_for_good(c, app, c->op.floor)) {
		return;
	} else if (is_up(app, c->op.floor) &&
		   app->n_seats == app->crew.wanted && !app_retires(app)) {
		unsigned ready = app_ready_count(app);
		char text[64];

		/* Others may have ended well, or be none of its concern. */
		snprintf(text, sizeof(text), ready == app->crew.wanted ?
		    "%u instance%s ready" : "%u instance%s ready of %u",
		    ready, ready == 1 ? "" : "s", app->crew.wanted);
		control_ok(c, text);
	}
}

static void
check_wait(struct control_client *c)
{
	if (c->control->apps->stopping) {
		control_fail(c, "failed", "clusterd is stopping");
		return;
	}
	if (c->control->reloads->under_way != NULL)
		return;
	for (const struct app *a = c->control->apps->first; a != NULL;
	     a = a->next_app) {
		if (!a->crew.stopping && has_ended(a) && a->failed) {
			control_fail(c, "failed", "every instance of %s has "
			    "ended, at least one of them badly", a->crew.name);
			return;
		}
		if (!a->crew.stopping && fails_for_good(c, a, 0))
			return;
	}
	for (const struct app *a = c->control->apps->first; a != NULL;
	     a = a->next_app)
		if (!a->crew.stopping && !is_up(a, 0))
			return;
	control_ok(c, "ready");
}

static void
check_stop(struct control_client *c)
{
	/* Of the program: control_close() has the last word. */
	if (names_app(c) && !app_lingers(c->control->apps,
	    c->op.request.app))
		control_ok(c, "stopped");
}

/* ---- doing ---- */

static void
begin_reload(struct control_client *c)
{
	if (names_app(c) && find_running(c) == NULL)
		return;
	c->op.check = check_reload;
	c->op.reading = true;
	c->op.reload = c->control->apps->n_reloads + 1;
	reload_request(
	    c->control->reloads, names_app(c) ? c->op.request.app : NULL);
	if (c->busy)
		tell_apps(c);
}

static void
begin_restart(struct control_client *c)
{
	const struct request *r = &c->op.request;
	struct app *app = find_running(c);
	struct error err = ERROR_INIT;
	int code;

	if (app == NULL)
		return;
	if (r->instance >= 0 && (unsigned)r->instance >= app->n_seats) {
		control_fail(c, "unknown", "%s has instances 0 to %u",
		    app->crew.name, app->n_seats - 1);
		return;
	}
	c->op.check = check_reload;
	c->op.reload = UINT64_MAX;
	code = app_restart(app, r->instance, &err);
	if (code < 0)
		control_fail(c, "failed", "%s: %s", app->crew.name,
		    error_text(&err));
	else
		tell_apps(c);
	error_clear(&err);
}

/* How many more it is; false: answered. */
static bool
scale_by(struct control_client *c, const struct app *app, int *ret_by)
{
	const struct request *r = &c->op.request;
	int amount = (int)r->amount, wanted = (int)app->crew.wanted;
	int by = r->scale == REQUEST_SCALE_UP ? amount :
	    r->scale == REQUEST_SCALE_DOWN ? -amount : amount - wanted;

	if (has_ended(app)) {
		control_fail(c, "failed", "every instance of %s has ended: "
		    "\"restart %s\" starts it", app->crew.name, app->crew.name);
	} else if (wanted + by < 1) {
		control_fail(c, "failed", "%s has %d instance%s, and one is "
		    "the least: \"stop %s\" stops it", app->crew.name, wanted,
		    wanted == 1 ? "" : "s", app->crew.name);
	} else if (wanted + by > CONF_INSTANCES_MAX) {
		control_fail(c, "failed", "%s has %d instance%s, and %d is "
		    "the most", app->crew.name, wanted, wanted == 1 ? "" : "s",
		    CONF_INSTANCES_MAX);
	} else {
		*ret_by = by;
		return true;
	}
	return false;
}

static void
begin_scale(struct control_client *c)
{
	struct app *app = find_running(c);
	int by;

	if (app == NULL || !scale_by(c, app, &by))
		return;
	c->op.check = check_up;
	c->op.floor = app->crew.wanted;
	app_scale(app, by);
	tell_apps(c);
}

static void
begin_stop(struct control_client *c)
{
	struct error err = ERROR_INIT;
	struct app *app;

	c->op.check = check_stop;
	if (!names_app(c)) {
		c->control->stop(c->control->stop_ctx);
		return;
	}
	/* Once more is no error. */
	app = stopped_find(c->control->apps, c->op.request.app) == NULL ?
	    find_running(c) : NULL;
	if (app != NULL && stopped_put(app, &err) < 0)
		control_fail(c, "failed", "%s: %s", app->crew.name,
		    error_text(&err));
	error_clear(&err);
}

static void
begin_start(struct control_client *c)
{
	const char *name = c->op.request.app;
	struct error err = ERROR_INIT;
	struct app *app = app_find(c->control->apps, name);

	c->op.check = check_up;
	if (app != NULL && app->over) {
		c->op.check = check_reload;
		c->op.reload = UINT64_MAX;
		if (has_ended(app) && app_restart(app, -1, &err) < 0)
			control_fail(c, "failed", "%s: %s", name,
			    error_text(&err));
	} else if (app == NULL &&
		   stopped_find(c->control->apps, name) == NULL) {
		control_fail(c, "unknown", "there is no app \"%s\"", name);
	} else if (app == NULL &&
		   stopped_start(c->control->apps, name, &err) < 0) {
		control_fail(c, "failed", "%s: %s", name, error_text(&err));
	}
	if (c->busy)
		tell_apps(c);
	error_clear(&err);
}

static void
begin_wait(struct control_client *c)
{
	c->op.check = check_wait;
	tell_apps(c);
}

static void
begin_status(struct control_client *c)
{
	c->op.more = control_status_more;
}

static void
begin_logs(struct control_client *c)
{
	c->op.more = control_logs_more;
}

void
control_op_begin(struct control_client *c)
{
	static void (*const begin[REQUEST_VERBS])(struct control_client *) = {
		[REQUEST_STATUS] = begin_status,
		[REQUEST_RELOAD] = begin_reload,
		[REQUEST_RESTART] = begin_restart,
		[REQUEST_SCALE] = begin_scale,
		[REQUEST_STOP] = begin_stop,
		[REQUEST_START] = begin_start,
		[REQUEST_LOGS] = begin_logs,
		[REQUEST_FOLLOW] = begin_logs,
		[REQUEST_WAIT] = begin_wait,
	};
	bool changes = c->op.request.verb == REQUEST_RELOAD ||
	    c->op.request.verb == REQUEST_RESTART ||
	    c->op.request.verb == REQUEST_SCALE ||
	    c->op.request.verb == REQUEST_START;

	if (changes && c->control->apps->stopping) {
		control_fail(c, "failed", "clusterd is stopping");
		return;
	}
	begin[c->op.request.verb](c);
	/* It may be done already; else a turn with news will tell. */
	if (c->busy && c->op.check != NULL)
		c->control->apps->dirty = true;
}
