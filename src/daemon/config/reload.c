#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_diff.h"
#include "daemon/adopt/adopt.h"
#include "core/conf/conf_error.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_specs.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/conf_load.h"
#include "daemon/config/reload.h"
#include "daemon/sockets/balancing.h"
#include "daemon/spec/app_spec.h"
#include "linux/child/sd_notify.h"
#include "linux/child/creds.h"

#define ANSWERS_MAX (4 * 1024 * 1024)

/* A look-up that is under way; rs->under_way while there is one. */
struct reload {
	struct reloads *rs;
	struct creds_cache cache;
	int fd;			/* the child's answers */
	loop_handle handle;
	struct strbuf answers;
	char *only;		/* the app that is reloaded; NULL: all */
};

static void reload_free(struct reload *r);

static void
refuse(struct reloads *rs, struct conf_errors *errors, const char *why)
{
	conf_errors_sort(errors);
	for (size_t i = 0; i < errors->n; i++) {
		log_error("%s", errors->v[i].text);
		rs->watch->refused(rs->watch_ctx, errors->v[i].text, false);
	}
	if (errors->dropped > 0)
		log_error("and %zu more errors", errors->dropped);
	log_error("reload refused, nothing was changed: %s", why);
	rs->refused++;
	rs->watch->refused(rs->watch_ctx, why, true);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
apply_settings(struct reloads *rs, const struct config *new)
{
	struct error err = ERROR_INIT;

	if (rs->log_level < 0)
		log_set_level((enum log_level)new->log_level);
	log_set_format((enum log_format)new->log_format);
	if (!same_text(rs->config->log, new->log) &&
	    log_open(new->log, &err) < 0)
		log_error("%s; the log stays where it is", error_text(&err));
	if (!same_text(rs->config->pidfile, new->pidfile))
		log_warning("pidfile: a change takes effect at the next "
		    "start");
	if (rs->config->control_auto != new->control_auto ||
	    !same_text(rs->config->control, new->control))
		log_warning("control: a change takes effect at the next "
		    "start");
	if (rs->config->control_gid != new->control_gid)
		log_warning("control_group: a change takes effect at the "
		    "next start");
	error_clear(&err);
}

static void
apply_plan(struct reloads *rs, const struct conf_diff *diff,
    struct app_spec **specs)
{
	for (size_t i = 0; i < diff->n_apps; i++) {
		const struct conf_diff_row *row = &diff->apps[i];
		struct app_spec *spec = row->new_app != CONF_DIFF_NONE ?
		    specs[row->new_app] : NULL;
		struct app *app = row->old_app == CONF_DIFF_NONE ? NULL :
		    apps_find(rs->apps, rs->config->apps[row->old_app].name);

		switch (row->what) {
		case CONF_DIFF_REMOVE:
			if (app != NULL) {
				log_app(LOG_LEVEL_INFO, app_name(app),
				    "removed, stopping");
				apps_remove(app);
			}
			break;
		case CONF_DIFF_ROLL:
			if (app != NULL) {
				app_roll(app, spec);
				break;
			}
			/* Its addition had failed: again. */
			__attribute__((fallthrough));
		case CONF_DIFF_ADD:
			/* A stopped one has none, and stays stopped. */
			if (spec != NULL && apps_add(rs->apps, spec, false) < 0)
				log_app(LOG_LEVEL_ERROR, spec->conf->name,
				    "no memory to add it");
			break;
		}
	}
}

/* One app alone: the others, and the supervisor's own settings, stay as they
   are until all are reloaded. */
static int
apply_one(struct reloads *rs, const char *name, struct config *new,
    struct error *err)
{
	const struct conf_app *conf = config_find_app(new, name);
	struct app *app = apps_find(rs->apps, name);
	struct app_spec *spec;
	int code;

	if (conf == NULL)
		return error_set(err, -ENOENT, "the file has no app \"%s\" "
		    "any more: a reload of all apps removes it", name);
	if (app == NULL)
		return error_set(err, -ESRCH, "%s was stopped meanwhile",
		    name);
	code = apps_check_listens(rs->apps, conf, err);
	if (code == 0)
		code = app_spec_new(&rs->apps->house, new, conf, &spec, err);
	if (code < 0)
		return code;
	app_roll(app, spec);
	app_spec_unref(spec);
	apps_touch(rs->apps);
	return 0;
}

static int
apply_all(struct reloads *rs, struct config *new, struct error *err)
{
	struct app_spec **specs = NULL;
	struct conf_diff diff;
	int code;

	rs->watch->applying(rs->watch_ctx);
	code = app_specs_open(rs->apps, new, &specs, err);
	if (code < 0)
		return code;
	code = conf_diff(rs->config, new, &diff);
	if (code < 0) {
		error_set(err, code, "out of memory");
	} else {
		log_info("reloading: %zu listener%s kept, %zu opened, %zu to "
		    "close", diff.n_keep, diff.n_keep == 1 ? "" : "s",
		    diff.n_open, diff.n_close);
		apply_settings(rs, new);
		apply_plan(rs, &diff, specs);
		conf_diff_free(&diff);
		stopped_reload(rs->apps, new);
		config_unref(rs->config);
		rs->config = config_ref(new);
		apps_touch(rs->apps);
	}
	app_specs_free(specs, new->n_apps);
	return code;
}

static void
apply(struct reload *r, struct config *new, struct conf_errors *errors)
{
	struct reloads *rs = r->rs;
	struct error err = ERROR_INIT;
	int code;

	apps_count_cpus(rs->apps);
	code = adopt_check(rs->adopt, new, &err);
	if (code == 0)
		code = balancing_check(rs->balancing, new, &err);
	if (code == 0)
		code = r->only != NULL ? apply_one(rs, r->only, new, &err) :
		    apply_all(rs, new, &err);
	if (code < 0)
		refuse(rs, errors, error_text(&err));
	error_clear(&err);
}

static void answers_ready(void *ctx, uint32_t events);

static int
look_up(struct reloads *rs, struct reload *r)
{
	int code = creds_lookup_start(&r->cache, &r->fd);

	if (code == 0)
		code = loop_add(rs->loop, r->fd, EPOLLIN, false,
		    answers_ready, r, &r->handle);
	return code;
}

/* Read and check; then apply, or refuse, or wait for a look-up. */
static void
load(struct reloads *rs, struct reload *r)
{
	struct conf_errors errors = { .file = rs->origin->file };
	struct config *config = NULL;
	int code = conf_load(rs->origin, &r->cache, &config, &errors);

	if (code == 0 && creds_cache_pending(&r->cache)) {
		code = look_up(rs, r);
		conf_errors_free(&errors);
		if (code == 0)
			return;
	}
	if (code < 0)
		refuse(rs, &errors, strerror(-code));
	else if (config == NULL)
		refuse(rs, &errors, "the configuration has errors");
	else
		apply(r, config, &errors);
	config_unref(config);
	conf_errors_free(&errors);
	reload_free(r);
}

static void
answers_ready(void *ctx, uint32_t events)
{
	struct reload *r = ctx;
	char chunk[4096];
	ssize_t n = read(r->fd, chunk, sizeof(chunk));

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0 && r->answers.len < ANSWERS_MAX) {
		strbuf_add(&r->answers, chunk, (size_t)n);
		return;
	}
	loop_del(r->rs->loop, &r->handle);
	fd_close(&r->fd);
	creds_lookup_finish(&r->cache, r->answers.text, r->answers.len);
	strbuf_free(&r->answers);
	load(r->rs, r);
}

static void
reload_free(struct reload *r)
{
	/* The turn's end tells those who wait for READY=1. */
	apps_touch(r->rs->apps);
	r->rs->under_way = NULL;
	loop_del(r->rs->loop, &r->handle);
	fd_close(&r->fd);
	creds_cache_free(&r->cache);
	strbuf_free(&r->answers);
	free(r->only);
	free(r);
}

void
reload_init(struct reloads *rs, const struct reload_setup *setup)
{
	*rs = (struct reloads){
		.apps = setup->apps,
		.adopt = setup->adopt,
		.balancing = setup->balancing,
		.up = setup->up,
		.origin = setup->origin,
		.watch = setup->watch,
		.watch_ctx = setup->watch_ctx,
		.log_level = setup->log_level,
		.config = config_ref(setup->config),
	};
}

void
reload_open(struct reloads *rs, struct loop *loop)
{
	rs->loop = loop;
}

void
reload_fini(struct reloads *rs)
{
	reload_cancel(rs);
	config_unref(rs->config);
	rs->config = NULL;
}

void
reload_request(struct reloads *rs, const char *app)
{
	struct reload *r;

	if (rs->apps->stopping)
		return;
	/* The newest file counts: a look-up for an older one is dropped, and
	   if that was for more than this, this is for all too. */
	if (rs->under_way != NULL && app != NULL &&
	    (rs->under_way->only == NULL ||
		strcmp(rs->under_way->only, app) != 0))
		app = NULL;
	reload_cancel(rs);
	apps_count_reload(rs->apps);
	rs->reloading = true;
	sd_notify_send(rs->up, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)(mono_now().ns / 1000));
	sd_notify_status(rs->up, "STATUS=reloading");
	r = calloc(1, sizeof(*r));
	if (r != NULL && app != NULL && (r->only = strdup(app)) == NULL) {
		free(r);
		r = NULL;
	}
	if (r == NULL) {
		struct conf_errors none = { .file = NULL };

		refuse(rs, &none, "out of memory");
		apps_touch(rs->apps);
		return;
	}
	r->rs = rs;
	r->fd = -1;
	rs->under_way = r;
	load(rs, r);
}

void
reload_cancel(struct reloads *rs)
{
	if (rs->under_way != NULL)
		reload_free(rs->under_way);
}

void
reload_told(struct reloads *rs)
{
	rs->reloading = false;
}
