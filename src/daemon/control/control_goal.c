#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/worker_fsm.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/reload.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_failures.h"
#include "daemon/control/control_goal.h"
#include "daemon/control/control_progress.h"
#include "daemon/control/control_setup.h"
#include "daemon/workers/worker.h"

void
control_goal_set(struct control_client *c, const struct control_goal *goal)
{
	c->op.goal = *goal;
}

/* ---- what is there ---- */

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

bool
control_goal_has_ended(const struct app *app)
{
	return app->over && app->crew.target == NULL;
}

/* ---- what will not be reached ---- */

bool
control_goal_fails_by_stop(struct control_client *c)
{
	const char *why = c->setup->program->why;

	if (!c->setup->apps->stopping)
		return false;
	control_client_fail(c, "failed", "clusterd is stopping%s%s",
	    why != NULL ? ": " : "", why != NULL ? why : "");
	return true;
}

/* Did the app come by the reload that was asked for, or after it? */
static bool
is_new(const struct control_client *c, const struct app *app)
{
	return c->op.goal.kind == CONTROL_GOAL_RELOADED &&
	    app->added_by >= c->op.goal.reload;
}

/* Has the update that was asked for, or a later one, scaled it? */
static bool
is_scaled(const struct control_client *c, const struct app *app)
{
	return c->op.request.verb == REQUEST_UPDATE &&
	    app->scaled_by >= c->op.goal.reload;
}

/* A scale-up that fails is not taken back: a longer wait, or a mended program,
   may be all that is missing. */
static void
put_scale_back(struct strbuf *sb, const struct control_client *c,
    const struct app *app)
{
	unsigned from = is_scaled(c, app) ? app->scaled_from :
	    c->op.goal.floor;
	const char *name = app->crew.name;

	if (app->crew.wanted > from)
		strbuf_printf(sb, "; %s goes on with %u instances wanted: "
		    "\"scale %s %u\" takes that back", name,
		    app->crew.wanted, name, from);
}

/* What stays as it is although the request has failed. `ended`: it is not tried
   again. */
static void
put_undo(struct strbuf *sb, const struct control_client *c,
    const struct app *app, bool ended)
{
	const char *name = app->crew.name;

	if (c->op.request.verb == REQUEST_SCALE || is_scaled(c, app))
		put_scale_back(sb, c, app);
	else if (is_new(c, app) || c->op.request.verb == REQUEST_START)
		strbuf_printf(sb, "; %s stays %s%s: \"stop %s\" %s", name,
		    is_new(c, app) ? "added" : "started",
		    ended ? "" : " and is tried again", name,
		    ended ? "takes that back" : "ends that");
}

/* One of those from this number on will never be: it is not restarted any more. */
static bool
put_end_of_one(struct strbuf *sb, const struct control_client *c,
    const struct app *app, unsigned from)
{
	if (app->crew.target != NULL)
		return false;
	for (unsigned i = from; i < app->crew.wanted && i < app->n_seats; i++) {
		const struct seat *seat = &app->seats[i];

		if (seat->present == NULL || seat_is_up(app, i) ||
		    !worker_state_final(seat->present->fsm.state))
			continue;
		strbuf_printf(sb, "%s[%u] is not restarted any more: %s",
		    app->crew.name, i,
		    seat->death != NULL ? seat->death : "it has failed");
		put_undo(sb, c, app, true);
		return true;
	}
	return false;
}

static void
note_failure(struct control_client *c, const struct app *app,
    struct strbuf *words)
{
	control_failures_add(&c->op.failures, app->crew.name,
	    words->failed || words->text == NULL ? "out of memory" :
	    words->text);
	strbuf_free(words);
}

/* What is wanted of it from that number on will never be reached: that is noted. */
static bool
fails(struct control_client *c, const struct app *app, unsigned from)
{
	struct strbuf sb = STRBUF_INIT;

	if (control_goal_has_ended(app) && app->failed)
		strbuf_printf(&sb, "every instance of %s has ended, at least "
		    "one of them badly", app->crew.name);
	else if (!put_end_of_one(&sb, c, app, from))
		return false;
	note_failure(c, app, &sb);
	return true;
}

/* Is there any failure? Then that is the answer. */
static bool
tell_failures(struct control_client *c)
{
	char *text;

	if (control_failures_count(&c->op.failures) == 0)
		return false;
	text = control_failures_text(&c->op.failures);
	control_client_fail(c, "failed", "%s", text != NULL ? text :
	    "out of memory");
	free(text);
	return true;
}

/* The apps that a reload has added, and those that are started, have no worker
   of before to fall back to, and neither has an instance that comes by a scale: what
   cannot become ready has failed at once. In a rollout that is decided by its end. */
static bool
needs(const struct control_client *c, const struct worker *w)
{
	const struct app *app = app_of(w->crew);

	if (!control_op_concerns(&c->op, w->crew->name) || !w->seated)
		return false;
	switch (c->op.request.verb) {
	case REQUEST_START:
	case REQUEST_SCALE:
		return w->instance >= c->op.goal.floor;
	case REQUEST_RELOAD:
	case REQUEST_UPDATE:
		if (is_scaled(c, app) && app->crew.target == NULL &&
		    w->instance >= app->scaled_from)
			return true;
		return is_new(c, app) && !app->came_up;
	default:
		return false;
	}
}

void
control_goal_ended(struct control_clients *clients, const struct worker *w,
    const struct worker_step *step, const char *words)
{
	bool early = step->from == WORKER_EXECING ||
	    step->from == WORKER_STARTING || step->from == WORKER_KILLED ||
	    step->from == WORKER_BACKOFF;
	struct control_client *c;

	if (!early || step->to == WORKER_ENDED ||
	    step->why == WORKER_WHY_ASKED)
		return;
	TAILQ_FOREACH(c, &clients->list, entry) {
		struct strbuf sb = STRBUF_INIT;

		if (!control_op_is_awaited(&c->op) || !needs(c, w))
			continue;
		strbuf_printf(&sb, "%s[%u] did not become ready: %s",
		    w->crew->name, w->instance, words);
		put_undo(&sb, c, app_of(w->crew), worker_state_final(step->to));
		note_failure(c, app_of(w->crew), &sb);
		/* What comes of the others is told with it. */
		if (control_op_names_app(&c->op))
			(void)tell_failures(c);
	}
}

void
control_goal_refused(struct control_clients *clients, const char *words,
    bool final)
{
	struct control_client *c;

	TAILQ_FOREACH(c, &clients->list, entry) {
		if (!c->op.busy || !c->op.goal.reading)
			continue;
		if (final)
			control_client_fail(c, "failed",
			    "reload refused, nothing was changed: %s", words);
		else if (control_client_unsent(c) < CONTROL_OUT_MAX)
			control_progress_note(c, words);
	}
}

void
control_goal_refused_app(struct control_clients *clients, const char *app,
    const char *words)
{
	struct control_client *c;

	TAILQ_FOREACH(c, &clients->list, entry)
		if (c->op.busy && c->op.goal.reading &&
		    control_op_names_app(&c->op) &&
		    control_op_concerns(&c->op, app))
			control_client_fail(c, "failed", "reload refused, "
			    "nothing was changed: %s", words);
}

void
control_goal_applied(struct control_clients *clients,
    const struct reload_result *result)
{
	struct control_client *c;

	TAILQ_FOREACH(c, &clients->list, entry)
		if (c->op.busy && c->op.goal.reading)
			c->op.goal.result = *result;
}

/* ---- whether it is reached ---- */

/* The request is for an instance that there is no more. */
static bool
fails_by_scale(struct control_client *c, const struct app *app)
{
	int instance = c->op.request.instance;

	if (instance < 0 || (unsigned)instance < app->crew.wanted)
		return false;
	control_client_fail(c, "failed", "%s has no instance %d any more",
	    app->crew.name, instance);
	return true;
}

/* What an update touches is known when it is in force. */
static bool
concerns(const struct control_client *c, const struct app *app)
{
	return c->op.request.verb == REQUEST_UPDATE ?
	    app->crew.stopping || app_came_by(app, c->op.goal.reload) :
	    control_op_concerns(&c->op, app->crew.name);
}

/* Is anybody of it left whom the others have replaced? Who was removed by a
   reload of everything is replaced by nobody. */
static bool
is_left(const struct control_client *c, const struct app *app)
{
	if (app->crew.stopping)
		return c->op.goal.kind == CONTROL_GOAL_RELOADED &&
		    !control_op_names_app(&c->op);
	return app_retires(app);
}

/* As a scale by request is waited for. */
static bool
is_scaling(struct control_client *c, const struct app *app)
{
	return is_scaled(c, app) && !fails(c, app, app->scaled_from) &&
	    (!is_up(app, app->scaled_from) ||
		(!app->over && app->n_seats != app->crew.wanted));
}

/* Is there something still to come of what the reload does with it? */
static bool
is_to_come(struct control_client *c, const struct app *app)
{
	if (control_failures_has(&c->op.failures, app->crew.name))
		return false;
	return app->crew.target != NULL || is_scaling(c, app) ||
	    (is_new(c, app) && !app->came_up);
}

static void
put_count(struct strbuf *sb, unsigned n, const char *what)
{
	if (n > 0)
		strbuf_printf(sb, "%s%u %s", sb->len > 0 ? ", " : "updated: ",
		    n, what);
}

static void
tell_updated(struct control_client *c)
{
	const struct reload_result *r = &c->op.goal.result;
	struct strbuf sb = STRBUF_INIT;

	put_count(&sb, r->rolled, "reloaded");
	put_count(&sb, r->renewed, "changed without new workers");
	put_count(&sb, r->scaled, "scaled");
	put_count(&sb, r->added, "added");
	put_count(&sb, r->removed, "removed");
	if (r->settings)
		strbuf_printf(&sb, "%s[clusterd]", sb.len > 0 ? ", " :
		    "updated: ");
	control_client_ok(c, sb.len == 0 ? "nothing has changed" :
	    sb.failed ? "updated" : sb.text);
	strbuf_free(&sb);
}

static void
tell_done(struct control_client *c)
{
	static const char *const done[REQUEST_VERBS] = {
		[REQUEST_RELOAD] = "reloaded",
		[REQUEST_RESTART] = "restarted",
		[REQUEST_START] = "started",
	};
	const char *text = done[c->op.request.verb];

	if (c->op.request.verb == REQUEST_UPDATE) {
		tell_updated(c);
		return;
	}
	/* Nobody was replaced: it is new. */
	if (c->op.goal.result.added > 0 && control_op_names_app(&c->op))
		text = "added";
	control_client_ok(c, text);
}

/* They have all come to their end, so that none of these is of a reload that was
   superseded. */
static void
note_aborted(struct control_client *c)
{
	for (const struct app *a = c->setup->apps->first; a != NULL;
	     a = a->next_app) {
		struct strbuf sb = STRBUF_INIT;

		if (a->crew.stopping || !concerns(c, a) ||
		    a->reload_error == NULL)
			continue;
		strbuf_printf(&sb, "%s: %s", a->crew.name, a->reload_error);
		note_failure(c, a, &sb);
	}
}

/* The rollouts of the apps that it concerns have ended, what was added is up,
   and those of before have gone. */
static void
check_rolled_out(struct control_client *c)
{
	const char *name = c->op.request.app;
	bool left = false;

	if (control_goal_fails_by_stop(c) || c->setup->reloads->under_way != NULL)
		return;
	if (control_op_names_app(&c->op) &&
	    apps_find(c->setup->apps, name) == NULL) {
		control_client_fail(c, "failed", "%s was stopped meanwhile",
		    name);
		return;
	}
	c->op.goal.reading = false;
	for (const struct app *a = c->setup->apps->first; a != NULL;
	     a = a->next_app) {
		if (!concerns(c, a))
			continue;
		left = left || is_left(c, a);
		if (a->crew.stopping)
			continue;
		if (fails_by_scale(c, a) || is_to_come(c, a))
			return;
	}
	note_aborted(c);
	if (!tell_failures(c) && !left)
		tell_done(c);
}

/* Of a scale or a start: nothing superfluous is left either. */
static void
check_up(struct control_client *c)
{
	const char *name = c->op.request.app;
	const struct app *app = apps_find(c->setup->apps, name);
	unsigned from = c->op.goal.floor, ready;
	char text[64];

	if (control_goal_fails_by_stop(c))
		return;
	if (app == NULL) {
		control_client_fail(c, "failed", "%s was stopped meanwhile",
		    name);
		return;
	}
	if (fails(c, app, from)) {
		(void)tell_failures(c);
		return;
	}
	if (!is_up(app, from) || app->n_seats != app->crew.wanted ||
	    app_retires(app))
		return;
	ready = app_ready_count(app);
	/* Others may have ended well, or be none of its concern. */
	snprintf(text, sizeof(text),
	    ready == app->crew.wanted ? "%u instance%s ready" :
	    "%u instance%s ready of %u",
	    ready, ready == 1 ? "" : "s", app->crew.wanted);
	control_client_ok(c, text);
}

/* So many are named. */
#define STOPPED_NAMED 3

/* Who was stopped by request is not waited for, but not passed over in silence
   either. */
static void
tell_all_up(struct control_client *c)
{
	const struct stopped_app *s = c->setup->apps->stopped;
	struct strbuf sb = STRBUF_INIT;
	size_t n = 0;

	strbuf_puts(&sb, "ready");
	if (control_op_names_app(&c->op))
		s = NULL;
	for (; s != NULL; s = s->next, n++)
		if (n < STOPPED_NAMED)
			strbuf_printf(&sb, "%s%s", n == 0 ? " (" : ", ",
			    s->conf->name);
	if (n > STOPPED_NAMED)
		strbuf_printf(&sb, " and %zu more", n - STOPPED_NAMED);
	if (n > 0)
		strbuf_printf(&sb, " %s stopped)", n == 1 ? "is" : "are");
	control_client_ok(c, sb.failed ? "ready" : sb.text);
	strbuf_free(&sb);
}

/* All of it, or as many as are asked for: then it may be in the midst of a
   rollout, and have some that will never be. */
static bool
has_enough(const struct app *app, unsigned min)
{
	unsigned n = 0;

	if (min == 0)
		return is_up(app, 0);
	for (unsigned i = 0; i < app->crew.wanted; i++)
		n += seat_is_up(app, i);
	return n >= min || n == app->crew.wanted;
}

/* Nobody comes any more who could make it enough: that is noted. */
static void
note_unless_enough(struct control_client *c, const struct app *app,
    unsigned min)
{
	unsigned may_come = 0;

	for (unsigned i = 0; i < app->crew.wanted; i++)
		may_come += i >= app->n_seats ||
		    app->seats[i].present == NULL || seat_is_up(app, i) ||
		    !worker_state_final(app->seats[i].present->fsm.state);
	if (min == 0 || may_come < min)
		(void)fails(c, app, 0);
}

static void
check_all_up(struct control_client *c)
{
	const struct app *first = c->setup->apps->first;
	const char *name = c->op.request.app;
	unsigned min = c->op.request.min;
	bool enough = true;

	if (control_goal_fails_by_stop(c) ||
	    (min == 0 && c->setup->reloads->under_way != NULL))
		return;
	if (control_op_names_app(&c->op) &&
	    apps_find(c->setup->apps, name) == NULL) {
		control_client_fail(c, "failed", "%s was stopped meanwhile",
		    name);
		return;
	}
	for (const struct app *a = first; a != NULL; a = a->next_app) {
		if (a->crew.stopping || !control_op_concerns(&c->op,
		    a->crew.name) || has_enough(a, min))
			continue;
		note_unless_enough(c, a, min);
		enough = false;
	}
	if (!tell_failures(c) && enough)
		tell_all_up(c);
}

static void
check_stopped(struct control_client *c)
{
	/* Of the program: its last words will be the answer. */
	if (control_op_names_app(&c->op) &&
	    !apps_lingers(c->setup->apps, c->op.request.app))
		control_client_ok(c, "stopped");
}

void
control_goal_check(struct control_client *c)
{
	static void (*const check[CONTROL_GOALS])(struct control_client *) = {
		[CONTROL_GOAL_RELOADED] = check_rolled_out,
		[CONTROL_GOAL_RESTARTED] = check_rolled_out,
		[CONTROL_GOAL_UP] = check_up,
		[CONTROL_GOAL_ALL_UP] = check_all_up,
		[CONTROL_GOAL_STOPPED] = check_stopped,
	};

	if (check[c->op.goal.kind] != NULL)
		check[c->op.goal.kind](c);
}
