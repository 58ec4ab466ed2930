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
#include "core/conf/conf_error.h"
#include "daemon/adopt/adopt.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/config/conf_load.h"
#include "daemon/config/reload.h"
#include "daemon/config/reload_apply.h"
#include "daemon/sockets/balancing.h"
#include "linux/child/sd_notify.h"
#include "linux/child/creds.h"
#include "linux/keeper/keeper_share.h"

#define ANSWERS_MAX (4 * 1024 * 1024)

/* A look-up that is under way; rs->under_way while there is one. */
struct reload {
	struct reloads *rs;
	struct creds_cache cache;
	int fd;			/* the child's answers */
	loop_handle handle;
	struct strbuf answers;
	struct reload_wish wish;
};

static void reload_free(struct reload *r);

static void
refuse(struct reloads *rs, struct conf_errors *errors, int code,
    const char *why)
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
	str_keep(&rs->refusal, errors->n > 0 ? errors->v[0].text : why);
	rs->refusal_errno = -code;
	rs->watch->refused(rs->watch_ctx, why, true);
}

static void
refuse_app(struct reloads *rs, const char *app, const char *why)
{
	log_app(LOG_LEVEL_ERROR, app, "its reload is refused: %s", why);
	rs->refused++;
	rs->watch->refused_app(rs->watch_ctx, app, why);
}

/* A name that is no good is nobody's business but of who has given it. -errno
   with words: nothing is left to be done. */
static int
check_names(struct reload *r, const struct config *new, struct error *err)
{
	struct strlist *apps = &r->wish.apps;
	bool whole = reload_wish_whole(&r->wish);
	size_t n = apps->n;

	apps->n = 0;
	for (size_t i = 0; i < n; i++) {
		char *name = apps->v[i];
		int code = reload_check_app(r->rs->apps, name, new, whole,
		    err);

		apps->v[i] = NULL;
		if (code == 0) {
			apps->v[apps->n++] = name;
			continue;
		}
		if (whole || apps->n > 0 || i + 1 < n) {
			refuse_app(r->rs, name, error_text(err));
			code = 0;
		}
		free(name);
		if (code < 0)
			return code;
	}
	return 0;
}

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_words(const struct strlist *a, const struct strlist *b)
{
	bool same = a->n == b->n;

	for (size_t i = 0; same && i < a->n; i++)
		same = strcmp(a->v[i], b->v[i]) == 0;
	return same;
}

static bool
same_settings(const struct config *a, const struct config *b)
{
	return a->log_level == b->log_level &&
	    a->log_format == b->log_format && same_text(a->log, b->log) &&
	    same_text(a->pidfile, b->pidfile) &&
	    a->stop_delay_ms == b->stop_delay_ms &&
	    a->control_auto == b->control_auto &&
	    same_text(a->control, b->control) &&
	    a->control_gid == b->control_gid &&
	    same_text(a->web, b->web) && same_words(&a->on_event, &b->on_event) &&
	    same_text(a->on_event_user, b->on_event_user);
}

static void
apply_settings(struct reloads *rs, const struct config *new)
{
	struct error err = ERROR_INIT;
	unsigned line;
	const char *file = config_file_of(new, new->log_line, &line);

	if (rs->log_level < 0)
		log_set_level((enum log_level)new->log_level);
	log_set_format((enum log_format)new->log_format);
	if (!same_text(rs->config->log, new->log)) {
		if (log_open(new->log, &err) < 0)
			log_error("%s:%u: log: %s; the log stays where it is",
			    file, line, error_text(&err));
		else
			keeper_has_log(new->log);
	}
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

static int
put_in_force(struct reload *r, struct config *new, struct error *err)
{
	struct reloads *rs = r->rs;
	struct reload_result result;
	bool whole = reload_wish_whole(&r->wish);
	int code;

	if (whole)
		rs->watch->applying(rs->watch_ctx);
	code = reload_apply(rs->apps, new, &r->wish, &result, err);
	if (code < 0)
		return code;
	if (whole) {
		result.settings = !same_settings(rs->config, new);
		apply_settings(rs, new);
		conf_tell_warnings(new, rs->config);
		config_unref(rs->config);
		rs->config = config_ref(new);
	}
	free(rs->refusal);
	rs->refusal = NULL;
	rs->refusal_errno = 0;
	rs->watch->applied(rs->watch_ctx, &result);
	return 0;
}

static void
apply(struct reload *r, struct config *new, struct conf_errors *errors)
{
	struct reloads *rs = r->rs;
	struct error err = ERROR_INIT;
	int code;

	apps_count_cpus(rs->apps, new);
	code = adopt_check(rs->adopt, new, &err);
	if (code == 0)
		code = balancing_check(rs->balancing, new, &err);
	if (code == 0)
		code = check_names(r, new, &err);
	if (code == 0)
		code = put_in_force(r, new, &err);
	if (code < 0)
		refuse(rs, errors, code, error_text(&err));
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
		refuse(rs, &errors, code, strerror(-code));
	else if (config == NULL)
		refuse(rs, &errors, -EINVAL, "the configuration has errors");
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
	strlist_free(&r->wish.apps);
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
	free(rs->refusal);
	rs->refusal = NULL;
}

static bool
has(const struct strlist *sl, const char *s)
{
	for (size_t i = 0; i < sl->n; i++)
		if (strcmp(sl->v[i], s) == 0)
			return true;
	return false;
}

/* The newest file counts: a look-up for an older one is dropped, and what it
   was for is for this one to do. */
static struct reload *
reload_new(struct reloads *rs, enum reload_scope scope, const char *app)
{
	struct reload *r = calloc(1, sizeof(*r));
	const struct reload_wish *old = rs->under_way != NULL ?
	    &rs->under_way->wish : NULL;

	if (r == NULL)
		return NULL;
	r->rs = rs;
	r->fd = -1;
	r->wish.all = scope == RELOAD_ALL || (old != NULL && old->all);
	r->wish.update = scope == RELOAD_CHANGED ||
	    (old != NULL && old->update);
	for (size_t i = 0; old != NULL && i < old->apps.n; i++)
		strlist_add(&r->wish.apps, old->apps.v[i]);
	if (scope == RELOAD_APP && !has(&r->wish.apps, app))
		strlist_add(&r->wish.apps, app);
	if (r->wish.apps.failed) {
		strlist_free(&r->wish.apps);
		free(r);
		return NULL;
	}
	return r;
}

void
reload_request(struct reloads *rs, enum reload_scope scope, const char *app)
{
	struct reload *r;

	if (rs->apps->stopping)
		return;
	r = reload_new(rs, scope, app);
	reload_cancel(rs);
	apps_count_reload(rs->apps);
	rs->reloading = true;
	sd_notify_send(rs->up, "RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)(mono_now().ns / 1000));
	sd_notify_status(rs->up, "STATUS=reloading");
	if (r == NULL) {
		struct conf_errors none = { .file = NULL };

		refuse(rs, &none, -ENOMEM, "out of memory");
		apps_touch(rs->apps);
		return;
	}
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
