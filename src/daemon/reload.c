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
#include "core/conf.h"
#include "core/conf_diff.h"
#include "daemon/adopt.h"
#include "daemon/app.h"
#include "daemon/app_rollout.h"
#include "daemon/app_spec.h"
#include "daemon/conf_load.h"
#include "daemon/reload.h"
#include "daemon/supervisor.h"
#include "linux/cpus.h"
#include "linux/creds.h"

#define ANSWERS_MAX (4 * 1024 * 1024)

/* A look-up that is under way; sup->reload while there is one. */
struct reload {
	struct supervisor *sup;
	struct creds_cache cache;
	int fd;			/* the child's answers */
	loop_handle handle;
	struct strbuf answers;
};

static void reload_free(struct reload *r);

static void
refuse(struct conf_errors *errors, const char *why)
{
	conf_errors_sort(errors);
	for (size_t i = 0; i < errors->n; i++)
		log_error("%s", errors->v[i].text);
	if (errors->dropped > 0)
		log_error("and %zu more errors", errors->dropped);
	log_error("reload refused, nothing was changed: %s", why);
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
apply_settings(struct supervisor *sup, const struct config *new)
{
	struct error err = ERROR_INIT;

	if (sup->log_level < 0)
		log_set_level((enum log_level)new->log_level);
	if (!same_text(sup->config->log, new->log) &&
	    log_open(new->log, &err) < 0)
		log_error("%s; the log stays where it is", error_text(&err));
	if (!same_text(sup->config->pidfile, new->pidfile))
		log_warning("pidfile: a change takes effect at the next "
		    "start");
	error_clear(&err);
}

static void
apply_plan(struct supervisor *sup, const struct conf_diff *diff,
    struct app_spec **specs)
{
	for (size_t i = 0; i < diff->n_apps; i++) {
		const struct conf_diff_row *row = &diff->apps[i];
		struct app_spec *spec = row->new_app != CONF_DIFF_NONE ?
		    specs[row->new_app] : NULL;
		struct app *app = row->old_app == CONF_DIFF_NONE ? NULL :
		    app_find(sup, sup->config->apps[row->old_app].name);

		switch (row->what) {
		case CONF_DIFF_REMOVE:
			if (app != NULL) {
				log_app(LOG_LEVEL_INFO, app->name,
				    "removed, stopping");
				app_remove(app);
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
			if (app_add(sup, spec, false) < 0)
				log_app(LOG_LEVEL_ERROR, spec->conf->name,
				    "no memory to add it");
			break;
		}
	}
}

static void
apply(struct supervisor *sup, struct config *new, struct conf_errors *errors)
{
	struct app_spec **specs = NULL;
	struct error err = ERROR_INIT;
	struct conf_diff diff;

	sup->auto_instances = cpus_available();
	if (adopt_check(sup, new, &err) < 0 ||
	    balancing_check(&sup->listeners.balancing, new, &err) < 0 ||
	    app_specs_open(sup, new, &specs, &err) < 0) {
		refuse(errors, error_text(&err));
		error_clear(&err);
		return;
	}
	error_clear(&err);
	if (conf_diff(sup->config, new, &diff) < 0) {
		refuse(errors, "out of memory");
	} else {
		log_info("reloading: %zu listener%s kept, %zu opened, %zu to "
		    "close", diff.n_keep, diff.n_keep == 1 ? "" : "s",
		    diff.n_open, diff.n_close);
		apply_settings(sup, new);
		apply_plan(sup, &diff, specs);
		conf_diff_free(&diff);
		config_unref(sup->config);
		sup->config = config_ref(new);
		sup->dirty = true;
	}
	app_specs_free(specs, new->n_apps);
}

static void answers_ready(void *ctx, uint32_t events);

static int
look_up(struct supervisor *sup, struct reload *r)
{
	int code = creds_lookup_start(&r->cache, &r->fd);

	if (code == 0)
		code = loop_add(sup->loop, r->fd, EPOLLIN, false,
		    answers_ready, r, &r->handle);
	return code;
}

/* Read and check; then apply, or refuse, or wait for a look-up. */
static void
load(struct supervisor *sup, struct reload *r)
{
	struct conf_errors errors = { .file = sup->origin->file };
	struct config *config = NULL;
	int code = conf_load(sup->origin, &r->cache, &config, &errors);

	if (code == 0 && creds_cache_pending(&r->cache)) {
		code = look_up(sup, r);
		conf_errors_free(&errors);
		if (code == 0)
			return;
	}
	if (code < 0)
		refuse(&errors, strerror(-code));
	else if (config == NULL)
		refuse(&errors, "the configuration has errors");
	else
		apply(sup, config, &errors);
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
	loop_del(r->sup->loop, &r->handle);
	fd_close(&r->fd);
	creds_lookup_finish(&r->cache, r->answers.text, r->answers.len);
	strbuf_free(&r->answers);
	load(r->sup, r);
}

static void
reload_free(struct reload *r)
{
	/* The turn's end tells those who wait for READY=1. */
	r->sup->dirty = true;
	r->sup->reload = NULL;
	loop_del(r->sup->loop, &r->handle);
	fd_close(&r->fd);
	creds_cache_free(&r->cache);
	strbuf_free(&r->answers);
	free(r);
}

void
reload_request(struct supervisor *sup)
{
	struct reload *r;

	if (sup->stopping)
		return;
	/* The newest file counts: a look-up for an older one is dropped. */
	reload_cancel(sup);
	sup->reloading = true;
	sd_notify_send(&sup->up, "RELOADING=1\nMONOTONIC_USEC=%lld\n"
	    "STATUS=reloading", (long long)(mono_now().ns / 1000));
	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		log_error("reload refused, nothing was changed: out of memory");
		sup->dirty = true;
		return;
	}
	r->sup = sup;
	r->fd = -1;
	sup->reload = r;
	load(sup, r);
}

void
reload_cancel(struct supervisor *sup)
{
	if (sup->reload != NULL)
		reload_free(sup->reload);
}
