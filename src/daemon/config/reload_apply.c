#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_change.h"
#include "core/conf/conf_diff.h"
#include "core/control/unknown_app.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_ledger.h"
#include "daemon/apps/app_listens.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_specs.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/reload_apply.h"
#include "daemon/spec/app_spec.h"

bool
reload_wish_whole(const struct reload_wish *wish)
{
	return wish->all || wish->update;
}

static bool
names(const struct reload_wish *wish, const char *app)
{
	for (size_t i = 0; i < wish->apps.n; i++)
		if (strcmp(wish->apps.v[i], app) == 0)
			return true;
	return false;
}

static int
refuse_unknown(const char *name, const struct config *new, struct error *err)
{
	struct strlist names = STRLIST_INIT;
	struct strbuf others = STRBUF_INIT;
	int code;

	for (size_t i = 0; i < new->n_apps; i++)
		strlist_add(&names, new->apps[i].name);
	if (!names.failed)
		unknown_app_put_others(&others, name, &names);
	code = error_set(err, -ENOENT, "the file has no app \"%s\"%s", name,
	    others.text != NULL && !others.failed ? others.text : "");
	strbuf_free(&others);
	strlist_free(&names);
	return code;
}

int
reload_check_app(struct apps *apps, const char *name,
    const struct config *new, bool whole, struct error *err)
{
	const struct conf_app *conf = config_find_app(new, name);

	if (conf == NULL && apps_find(apps, name) == NULL)
		return refuse_unknown(name, new, err);
	if (conf == NULL)
		return error_set(err, -ENOENT, "the file has no app \"%s\" "
		    "any more%s", name,
		    whole ? "" : ": \"update\" removes it");
	if (stopped_find(apps, name) != NULL)
		return error_set(err, -ESRCH, "%s was stopped meanwhile",
		    name);
	return whole ? 0 : apps_check_listens(apps, conf, err);
}

/* ---- some apps alone ---- */


static int
add(struct apps *apps, struct app_spec *spec)
{
	int code = apps_add(apps, spec, false);

	if (code < 0)
		log_app(LOG_LEVEL_ERROR, spec->conf->name,
		    "no memory to add it");
	return code;
}

static void
roll_or_add(struct apps *apps, struct app_spec *spec,
    struct reload_result *result)
{
	struct app *app = apps_find(apps, spec->conf->name);

	if (app != NULL) {
		app_roll(app, spec);
		result->rolled++;
	} else if (add(apps, spec) == 0) {
		result->added++;
	}
}

/* The others, and the supervisor's own settings, stay as they are. */
static int
apply_some(struct apps *apps, struct config *new,
    const struct reload_wish *wish, struct reload_result *result,
    struct error *err)
{
	struct app_spec **specs = NULL;
	bool *which = calloc(new->n_apps + 1, sizeof(*which));
	int code = which == NULL ? error_set(err, -ENOMEM, "out of memory") :
	    0;

	for (size_t i = 0; code == 0 && i < new->n_apps; i++)
		which[i] = names(wish, new->apps[i].name);
	if (code == 0)
		code = app_specs_open(apps, new, which, &specs, err);
	/* It is accepted. */
	if (code == 0)
		apps_provide_limits(apps, new, which);
	for (size_t i = 0; code == 0 && i < new->n_apps; i++)
		if (specs[i] != NULL)
			roll_or_add(apps, specs[i], result);
	app_specs_free(specs, new->n_apps);
	free(which);
	return code;
}

/* ---- the whole file ---- */

struct plan {
	struct config now;	/* what is there; its apps are borrowed */
	struct conf_diff diff;
	enum conf_change *changes;	/* as new->apps, of those that are there */
	bool *opens;			/* … needs a spec */
};

/* Whichever reload has put it in force; those that are stopped by request,
   too. */
static int
list_present(const struct apps *apps, struct config *now)
{
	size_t n = 0;

	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		n++;
	for (const struct stopped_app *s = apps->stopped; s != NULL;
	    s = s->next)
		n++;
	now->apps = calloc(n + 1, sizeof(*now->apps));
	if (now->apps == NULL)
		return -ENOMEM;
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (!a->crew.stopping)
			now->apps[now->n_apps++] = *app_latest(a)->conf;
	for (const struct stopped_app *s = apps->stopped; s != NULL;
	    s = s->next)
		now->apps[now->n_apps++] = *s->conf;
	return 0;
}

static void
plan_free(struct plan *plan)
{
	conf_diff_free(&plan->diff);
	free(plan->now.apps);
	free(plan->changes);
	free(plan->opens);
}

/* Of an app that is in both. */
static int
compare(struct plan *plan, const struct conf_diff_row *row,
    const struct config *new, const struct reload_wish *wish)
{
	const struct conf_app *conf = &new->apps[row->new_app];
	enum conf_change *change = &plan->changes[row->new_app];

	*change = CONF_CHANGE_WORKERS;
	if (wish->all || names(wish, conf->name))
		return 0;
	return conf_change(&plan->now.apps[row->old_app], conf, change);
}

static int
plan_make(struct plan *plan, const struct apps *apps, const struct config *new,
    const struct reload_wish *wish)
{
	int code = list_present(apps, &plan->now);

	plan->changes = calloc(new->n_apps + 1, sizeof(*plan->changes));
	plan->opens = calloc(new->n_apps + 1, sizeof(*plan->opens));
	if (plan->changes == NULL || plan->opens == NULL)
		code = -ENOMEM;
	if (code == 0)
		code = conf_diff(&plan->now, new, &plan->diff);
	for (size_t i = 0; code == 0 && i < plan->diff.n_apps; i++) {
		const struct conf_diff_row *row = &plan->diff.apps[i];

		if (row->what == CONF_DIFF_ROLL)
			code = compare(plan, row, new, wish);
		if (row->what != CONF_DIFF_REMOVE)
			plan->opens[row->new_app] =
			    row->what == CONF_DIFF_ADD ||
			    plan->changes[row->new_app] ==
			    CONF_CHANGE_WORKERS;
	}
	return code;
}

/* One that is stopped is forgotten, which stopped_reload() does. */
static void
remove_app(struct app *app, struct reload_result *result)
{
	result->removed++;
	if (app == NULL)
		return;
	log_app(LOG_LEVEL_INFO, app_name(app), "removed, stopping");
	apps_remove(app);
}

/* Its workers stay. */
static void
renew(struct app *app, struct config *new, const struct conf_app *conf,
    bool changed, struct reload_result *result)
{
	if (app != NULL && changed)
		log_app(LOG_LEVEL_INFO, app_name(app),
		    "its new settings are in force, its workers stay");
	if (app != NULL && app_renew(app, new, conf, changed))
		result->scaled++;
	else
		result->renewed += changed;
}

static void
carry_out(const struct plan *plan, struct apps *apps, struct config *new,
    struct app_spec **specs, struct reload_result *result)
{
	for (size_t i = 0; i < plan->diff.n_apps; i++) {
		const struct conf_diff_row *row = &plan->diff.apps[i];
		size_t k = row->new_app;

		if (row->what == CONF_DIFF_REMOVE)
			remove_app(apps_find(apps,
			    plan->now.apps[row->old_app].name), result);
		/* A stopped one has no spec, and stays stopped. */
		else if (specs[k] != NULL)
			roll_or_add(apps, specs[k], result);
		else
			renew(apps_find(apps, new->apps[k].name), new,
			    &new->apps[k],
			    plan->changes[k] != CONF_CHANGE_NONE, result);
	}
}

static int
apply_whole(struct apps *apps, struct config *new,
    const struct reload_wish *wish, struct reload_result *result,
    struct error *err)
{
	struct plan plan = { .changes = NULL };
	struct app_spec **specs = NULL;
	int code = plan_make(&plan, apps, new, wish);

	if (code < 0)
		error_set(err, code, "out of memory");
	else
		code = app_specs_open(apps, new, plan.opens, &specs, err);
	if (code == 0) {
		log_info("%s: %zu listener%s kept, %zu opened, %zu to close",
		    wish->all ? "reloading" : "updating", plan.diff.n_keep,
		    plan.diff.n_keep == 1 ? "" : "s", plan.diff.n_open,
		    plan.diff.n_close);
		/* It is accepted. Under whoever comes after a death from here on,
		   what is yet to be added begins, and what is yet to be left out
		   stays as it is. With the old one in force, one that is stopped
		   and left out would begin. */
		app_ledger_program(apps, new);
		apps_provide_limits(apps, new, NULL);
		carry_out(&plan, apps, new, specs, result);
		stopped_reload(apps, new);
		app_specs_free(specs, new->n_apps);
	}
	plan_free(&plan);
	return code;
}

int
reload_apply(struct apps *apps, struct config *new,
    const struct reload_wish *wish, struct reload_result *ret_result,
    struct error *err)
{
	struct reload_result result = { .rolled = 0 };
	int code = reload_wish_whole(wish) ?
	    apply_whole(apps, new, wish, &result, err) :
	    apply_some(apps, new, wish, &result, err);

	if (code < 0)
		return code;
	apps_touch(apps);
	*ret_result = result;
	return 0;
}
