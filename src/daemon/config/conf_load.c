#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_check.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_include.h"
#include "core/conf/conf_kept.h"
#include "core/conf/conf_source.h"
#include "core/conf/conf_web.h"
#include "daemon/config/conf_load.h"
#include "linux/child/creds.h"
#include "linux/file/file.h"
#include "linux/ledger/kept_text.h"
#include "linux/file/log_file.h"
#include "linux/file/look.h"
#include "linux/file/pattern.h"
#include "linux/file/place.h"
#include "linux/file/rights.h"
#include "linux/process/contained.h"
#include "linux/process/cpus.h"

/* What a configuration is checked with; of a text that was in force before, what it was
   checked with then. */
struct world {
	struct creds_cache *cache;
	struct conf_kept kept;
};

static int
copy(const char *text, size_t len, char **ret_text, size_t *ret_len)
{
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return -ENOMEM;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*ret_text = copy;
	*ret_len = len;
	return 0;
}

static int
read_env_file(void *ctx, const char *path, char **ret_text, size_t *ret_len,
    struct error *err)
{
	struct world *world = ctx;
	const char *text;
	size_t len;
	/* It may lie where the app's user may put what he likes. */
	int code = conf_kept_find_file(&world->kept, path, &text, &len) ?
	    copy(text, len, ret_text, ret_len) :
	    file_read_trusted(path, CONF_ENV_FILE_MAX, ret_text, ret_len, err);

	if (code == 0)
		conf_kept_add_file(&world->kept, path, *ret_text, *ret_len);
	return code;
}

/* ---- what is included ---- */

/* Kept under a name that no pattern has. */
static char *
identify(void *ctx, const char *path)
{
	struct world *world = ctx;
	struct strlist id = STRLIST_INIT;
	struct strbuf name = STRBUF_INIT;
	char *real = NULL;

	strbuf_printf(&name, "=%s", path);
	if (name.failed) {
		strbuf_free(&name);
		return NULL;
	}
	if (conf_kept_find_list(&world->kept, name.text, &id) && id.n == 1) {
		real = strdup(id.v[0]);
	} else {
		real = realpath(path, NULL);
		strlist_add(&id, real != NULL ? real : path);
		if (real == NULL)
			real = strdup(path);
	}
	conf_kept_add_list(&world->kept, name.text, &id);
	strlist_free(&id);
	strbuf_free(&name);
	return real;
}

static int
read_included(void *ctx, const char *path, size_t max, char **ret_text,
    size_t *ret_len, struct error *err)
{
	struct world *world = ctx;
	const char *text;
	size_t len;
	int code = conf_kept_find_file(&world->kept, path, &text, &len) ?
	    copy(text, len, ret_text, ret_len) :
	    file_read(path, max, ret_text, ret_len, err);

	if (code == 0)
		conf_kept_add_file(&world->kept, path, *ret_text, *ret_len);
	return code;
}

static int
list_included(void *ctx, const char *pattern, struct strlist *ret_paths,
    struct error *err)
{
	struct world *world = ctx;
	int code = conf_kept_find_list(&world->kept, pattern, ret_paths) ? 0 :
	    pattern_list(pattern, ret_paths, err);

	if (code == 0)
		conf_kept_add_list(&world->kept, pattern, ret_paths);
	return ret_paths->failed ? -ENOMEM : code;
}

/* ---- the rest of the world ---- */

static int
find_creds(void *ctx, const char *user, const char *group,
    struct conf_creds *ret, struct error *err)
{
	struct world *world = ctx;
	int code = conf_kept_find_creds(&world->kept, user, group, ret);

	if (code == 0)
		code = creds_cache_find(world->cache, user, group, ret, err);
	if (code >= 0)
		conf_kept_add_creds(&world->kept, user, group, ret);
	return code < 0 ? code : 0;
}

static int
may_become(void *ctx, const struct conf_creds *creds, struct error *err)
{
	bool same = (creds->name == NULL || creds->uid == geteuid()) &&
	    creds->gid == getegid();

	(void)ctx;
	if (same || creds_privileged())
		return 0;
	return error_set(err, -EPERM, "running workers as somebody else takes "
	    "root, or CAP_SETUID, CAP_SETGID and CAP_KILL");
}

static int
look(void *ctx, const char *path)
{
	(void)ctx;
	return look_at(path);
}

static int
may_write(void *ctx, const char *path, const struct conf_creds *creds,
    struct error *err)
{
	(void)ctx;
	return log_file_may_open(path, creds, err);
}

static int
may_execute(void *ctx, const char *path, const char *what,
    const struct conf_creds *creds, struct error *err)
{
	(void)ctx;
	return rights_may_execute(path, what, creds, err);
}

/* `waiting`: for a file system that does not answer, too. */
static int
check(const struct conf_origin *origin, const struct conf_source *source,
    struct world *world, bool waiting, struct config **ret_config,
    struct conf_errors *errors)
{
	char *cwd = waiting ? place_cwd() : NULL;
	const struct conf_host host = {
		.ctx = world,
		.base_dir = origin->base_dir,
		.environ = environ,
		.auto_instances = cpus_available(),
		.read_file = read_env_file,
		.find_creds = find_creds,
		.may_become = may_become,
		.into_log = origin->background,
		.cwd = cwd,
		.testing = origin->testing,
		.root = geteuid() == 0 && !process_is_contained(),
		.look = waiting ? look : NULL,
		.may_write = waiting ? may_write : NULL,
		.may_execute = waiting ? may_execute : NULL,
	};
	struct config *config = NULL;
	int code = conf_check(source, &host, &config, errors);

	free(cwd);
	if (code < 0)
		return code;
	if (creds_cache_pending(world->cache)) {
		config_unref(config);
		config = NULL;
	}
	*ret_config = config;
	return 0;
}

/* Nothing else is to be had than a text, and what it was read with. */
#define KEPT_MAX	((size_t)256 << 20)

static int
keep(const struct conf_kept *kept, const char *text, size_t len)
{
	struct strbuf all = STRBUF_INIT;
	int fd;

	strbuf_add(&all, text, len);
	strbuf_putc(&all, '\0');
	if (kept->now.len > 0)
		strbuf_add(&all, kept->now.text, kept->now.len);
	fd = all.failed || kept->now.failed ? -ENOMEM :
	    kept_text_new(all.text, all.len);
	strbuf_free(&all);
	return fd;
}

/* For the supervisor that may come after this one. Without it that one goes by what
   is in the file then. */
static void
keep_text(struct config *config, const struct conf_origin *origin,
    const struct conf_kept *kept, const char *text, size_t len)
{
	int fd = origin->kept != 0 ? origin->kept : keep(kept, text, len);

	if (fd < 0)
		return;
	config->text = fd;
	config->close_text = fd_close;
}

/* Beside our own program, also where that has been replaced since. NULL: there is
   none, or no memory; what was `kept` has the app, wherever the program is. */
static char *
find_web(bool kept)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	if (n <= 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (slash == NULL || asprintf(&path, "%.*s/" CONF_WEB_APP,
	    (int)(slash - self), self) < 0)
		return NULL;
	if (kept || access(path, X_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static int
find_user(void *ctx, const char *user, struct error *err)
{
	struct conf_creds creds = { .set = false };
	int code = find_creds(ctx, user, NULL, &creds, err);

	conf_creds_free(&creds);
	return code;
}

static int
add_web(const struct conf_origin *origin, struct conf_source *source,
    struct world *world, unsigned *ret_left_out, struct conf_errors *errors)
{
	char *program = find_web(origin->kept != 0);
	const struct conf_web web = {
		.program = program,
		.file = origin->path,
		.base_dir = origin->base_dir,
		.root = geteuid() == 0,
		.find_user = find_user,
		.ctx = world,
	};
	int code = conf_web_add(source, &web, ret_left_out, errors);

	free(program);
	return code;
}

static int
load(const struct conf_origin *origin, struct creds_cache *cache, bool waiting,
    struct config **ret_config, struct conf_errors *errors)
{
	struct conf_source source = { .sections = NULL };
	struct world world = { .cache = cache, .kept = CONF_KEPT_INIT };
	struct error err = ERROR_INIT;
	char *text;
	size_t len;
	unsigned left_out = 0;
	int code;

	*ret_config = NULL;
	if (origin->source != NULL) {
		code = check(origin, origin->source, &world, waiting,
		    ret_config, errors);
		conf_kept_free(&world.kept);
		return code;
	}
	code = origin->kept != 0 ?
	    kept_text_read(origin->kept, KEPT_MAX, &text, &len) :
	    file_read(origin->path, CONF_FILE_MAX, &text, &len, &err);
	if (code < 0) {
		conf_error_add(errors, 0, NULL, "%s", err.text != NULL ?
		    error_text(&err) : strerror(-code));
		error_clear(&err);
		return code == -ENOMEM ? code : 0;
	}
	if (origin->kept != 0)
		len = conf_kept_split(&world.kept, text, len);
	code = conf_include_read(text, len, origin->path, origin->base_dir,
	    &(struct conf_include_host){
		.ctx = &world, .list = list_included,
		.identify = identify, .read = read_included,
	    }, &source, errors);
	if (code == 0)
		code = add_web(origin, &source, &world, &left_out, errors);
	if (code == 0)
		code = check(origin, &source, &world, waiting, ret_config,
		    errors);
	if (code == 0 && *ret_config != NULL && left_out != 0)
		conf_error_add(&(*ret_config)->warnings, left_out,
		    (*ret_config)->web != NULL ? "web" : "agent", "left out: " CONF_WEB_APP " is not installed beside "
		    "clusterd");
	if (code == 0 && *ret_config != NULL)
		keep_text(*ret_config, origin, &world.kept, text, len);
	conf_kept_free(&world.kept);
	free(text);
	errors->places = NULL;
	conf_source_free(&source);
	return code;
}

int
conf_load(const struct conf_origin *origin, struct creds_cache *cache,
    struct config **ret_config, struct conf_errors *errors)
{
	return load(origin, cache, false, ret_config, errors);
}

int
conf_load_wait(const struct conf_origin *origin, struct config **ret_config,
    struct conf_errors *errors)
{
	struct creds_cache cache = CREDS_CACHE_INIT;
	/* Of what was in force already people were warned. */
	const bool first = origin->kept == 0;
	int code = load(origin, &cache, first, ret_config, errors);

	/* An answer may give rise to another question, but names are few. */
	while (code == 0 && creds_cache_pending(&cache)) {
		conf_errors_free(errors);
		code = creds_lookup_wait(&cache);
		if (code == 0)
			code = load(origin, &cache, first, ret_config, errors);
	}
	creds_cache_free(&cache);
	return code;
}

void
conf_tell_warnings(const struct config *config, const struct config *old)
{
	const struct conf_errors *w = &config->warnings;
	size_t dropped = w->dropped;

	for (size_t i = 0; i < w->n; i++)
		if (old == NULL || !conf_errors_have(&old->warnings, &w->v[i]))
			log_warning("%s", w->v[i].text);
	if (dropped > 0 && (old == NULL || dropped != old->warnings.dropped))
		log_warning("and %zu more warnings", dropped);
}
