#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/reload.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_goal.h"
#include "daemon/control/control_order.h"
#include "daemon/control/control_progress.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_unknown.h"
#include "linux/keeper/keeper_share.h"

/* The supervisor above us knows already that there will be no other one. */
static bool
comes_too_late_to_reload(struct control_client *c)
{
	if (!c->setup->program->leaving)
		return control_goal_fails_by_stop(c);
	control_client_fail(c, "failed", "clusterd is going down");
	return true;
}

/* The app that the request names and that runs; NULL: the answer says why
   there is none. */
static struct app *
find_running(struct control_client *c)
{
	const char *name = c->op.request.app;
	struct app *app = apps_find(c->setup->apps, name);

	if (app != NULL || control_goal_fails_by_stop(c))
		return app;
	if (stopped_find(c->setup->apps, name) != NULL)
		control_client_fail(c, "failed",
		    "%s is stopped: \"start %s\" starts it", name, name);
	else
		control_unknown_app(c, name);
	return NULL;
}

/* NULL: the answer says why there is none. */
static struct app *
find_changeable(struct control_client *c)
{
	return control_goal_fails_by_stop(c) ? NULL : find_running(c);
}

/* The answer where an app could not be changed. */
static void
fail_for(struct control_client *c, const char *app, const struct error *err)
{
	control_client_fail(c, "failed", "%s: %s", app, error_text(err));
}

static void
set_goal(struct control_client *c, enum control_goal_kind kind)
{
	control_goal_set(c, &(struct control_goal){ .kind = kind });
}

static void
begin_reload(struct control_client *c, enum reload_scope scope,
    const char *app)
{
	uint64_t number = c->setup->apps->n_reloads + 1;

	control_goal_set(c, &(struct control_goal){
		.kind = CONTROL_GOAL_RELOADED,
		.reading = true,
		.reload = number,
	});
	reload_request(c->setup->reloads, scope, app);
	if (scope == RELOAD_CHANGED)
		control_progress_renewed(c, number);
	else
		control_progress_apps(c);
}

void
control_order_reload(struct control_client *c)
{
	const char *name = c->op.request.app;

	if (comes_too_late_to_reload(c))
		return;
	if (!control_op_names_app(&c->op))
		begin_reload(c, RELOAD_ALL, NULL);
	/* One that is not there may be new in the file. */
	else if (stopped_find(c->setup->apps, name) == NULL ||
	    find_running(c) != NULL)
		begin_reload(c, RELOAD_APP, name);
}

void
control_order_update(struct control_client *c)
{
	if (!comes_too_late_to_reload(c))
		begin_reload(c, RELOAD_CHANGED, NULL);
}

void
control_order_restart(struct control_client *c)
{
	int instance = c->op.request.instance;
	struct app *app = find_changeable(c);
	struct error err = ERROR_INIT;

	if (app == NULL)
		return;
	if (instance >= 0 && (unsigned)instance >= app->n_seats) {
		control_client_fail(c, "unknown", "%s has instances 0 to %u",
		    app->crew.name, app->n_seats - 1);
		return;
	}
	set_goal(c, CONTROL_GOAL_RESTARTED);
	if (app_restart(app, instance, &err) < 0)
		fail_for(c, app->crew.name, &err);
	control_progress_apps(c);
	error_clear(&err);
}

static bool
within_range(const struct app *app, int n)
{
	return app_spec_within(app_latest(app), (unsigned)n) == (unsigned)n;
}

/* How many more it is; false: answered. */
static bool
scale_by(struct control_client *c, const struct app *app, int *ret_by)
{
	const struct request *r = &c->op.request;
	const char *name = app->crew.name;
	int amount = (int)r->amount, wanted = (int)app->crew.wanted;
	int by = r->scale == REQUEST_SCALE_UP ? amount :
	    r->scale == REQUEST_SCALE_DOWN ? -amount : amount - wanted;

	if (control_goal_has_ended(app)) {
		control_client_fail(c, "failed",
		    "every instance of %s has ended: \"restart %s\" starts it",
		    name, name);
	} else if (wanted + by < 1) {
		control_client_fail(c, "failed",
		    "%s has %d instance%s, and one is the least: \"stop %s\" "
		    "stops it", name, wanted, wanted == 1 ? "" : "s", name);
	} else if (wanted + by > CONF_INSTANCES_MAX) {
		control_client_fail(c, "failed",
		    "%s has %d instance%s, and %d is the most", name, wanted,
		    wanted == 1 ? "" : "s", CONF_INSTANCES_MAX);
	} else if (!within_range(app, wanted + by)) {
		control_client_fail(c, "failed",
		    "%s has %d instance%s, and its range is %u..%u", name,
		    wanted, wanted == 1 ? "" : "s",
		    app_latest(app)->instances, app_latest(app)->most);
	} else {
		*ret_by = by;
		return true;
	}
	return false;
}

void
control_order_scale(struct control_client *c)
{
	struct app *app = find_changeable(c);
	int by;

	if (app == NULL || !scale_by(c, app, &by))
		return;
	control_goal_set(c, &(struct control_goal){
		.kind = CONTROL_GOAL_UP, .floor = app->crew.wanted,
	});
	app_scale(app, by, NULL);
	control_progress_apps(c);
}

void
control_order_stop(struct control_client *c)
{
	struct error err = ERROR_INIT;
	struct app *app = NULL;

	set_goal(c, CONTROL_GOAL_STOPPED);
	if (!control_op_names_app(&c->op)) {
		c->setup->stop(c->setup->stop_ctx);
		return;
	}
	/* Once more is no error. */
	if (stopped_find(c->setup->apps, c->op.request.app) == NULL)
		app = find_running(c);
	if (app != NULL && apps_stop_one(app, &err) < 0)
		fail_for(c, app->crew.name, &err);
	error_clear(&err);
}

void
control_order_stopped(struct control_client *c)
{
	if (!c->setup->program->failed)
		control_client_ok(c, "stopped");
}

/* One that is configured, and of which nothing runs. */
static void
start_stopped(struct control_client *c, const char *name)
{
	struct error err = ERROR_INIT;

	set_goal(c, CONTROL_GOAL_UP);
	if (stopped_find(c->setup->apps, name) == NULL)
		control_unknown_app(c, name);
	else if (apps_start_one(c->setup->apps, name, &err) < 0)
		fail_for(c, name, &err);
	error_clear(&err);
}

/* One whose instances have all come to their end. */
static void
start_ended(struct control_client *c, struct app *app)
{
	struct error err = ERROR_INIT;

	set_goal(c, CONTROL_GOAL_RESTARTED);
	if (control_goal_has_ended(app) && app_restart(app, -1, &err) < 0)
		fail_for(c, app->crew.name, &err);
	error_clear(&err);
}

void
control_order_start(struct control_client *c)
{
	const char *name = c->op.request.app;
	struct app *app = apps_find(c->setup->apps, name);

	if (control_goal_fails_by_stop(c))
		return;
	if (app == NULL)
		start_stopped(c, name);
	else if (app->over)
		start_ended(c, app);
	else
		set_goal(c, CONTROL_GOAL_UP);
	control_progress_apps(c);
}

void
control_order_wait(struct control_client *c)
{
	if (control_op_names_app(&c->op) && find_running(c) == NULL)
		return;
	set_goal(c, CONTROL_GOAL_ALL_UP);
	control_progress_apps(c);
}

/* The keeper has the last word then; that it does not come to that is said here, by
   control_upgrade_failed(). */
void
control_order_upgrade(struct control_client *c)
{
	int code;

	if (comes_too_late_to_reload(c))
		return;
	code = keeper_upgrade(c->fd);
	if (code < 0)
		control_client_fail(c, "failed", "upgrade: %s",
		    keeper_upgrade_words(code));
}
