#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "core/conf/advice_own.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"
#include "core/names/address.h"

struct look {
	const struct conf_host *host;
	enum conf_key_id id;
	unsigned line;
	struct conf_errors *warnings;
};

/* Directories there are made when a machine, or a service, starts. */
static bool
is_of_runtime(const char *path)
{
	return str_starts(path, "/run/") || str_starts(path, "/var/run/");
}

static void
look_for(const struct look *l, const char *path)
{
	if (*path == '/' && strchr(path, '{') == NULL &&
	    !is_of_runtime(path) &&
	    l->host->look(l->host->ctx, path) == CONF_LOOK_NOTHING)
		conf_error_add(l->warnings, l->line, conf_key_name(l->id),
		    "there is no %.200s", path);
}

/* With the rights that it is run with. */
static void
look_for_program(const struct look *l, const char *path,
    const struct conf_creds *creds)
{
	struct error err = ERROR_INIT;

	look_for(l, path);
	if (*path == '/' && strchr(path, '{') == NULL && !is_of_runtime(path) &&
	    l->host->may_execute != NULL && l->host->may_execute(l->host->ctx,
	    path, "execute", creds, &err) < 0)
		conf_error_add(l->warnings, l->line, conf_key_name(l->id),
		    "%s", error_text(&err));
	error_clear(&err);
}

/* Nothing is removed that is no socket. */
static bool
is_taken(const struct look *l, const char *path)
{
	int found = *path == '/' && strchr(path, '{') == NULL ?
	    l->host->look(l->host->ctx, path) : CONF_LOOK_NOTHING;

	if (found == CONF_LOOK_FILE || found == CONF_LOOK_PROGRAM ||
	    found == CONF_LOOK_DIRECTORY)
		conf_error_add(l->warnings, l->line, conf_key_name(l->id),
		    "%s %.200s is there, and is no socket",
		    found == CONF_LOOK_DIRECTORY ? "the directory" : "the file",
		    path);
	return found != CONF_LOOK_NOTHING && found != CONF_LOOK_UNKNOWN;
}

/* Where a socket is to be made. */
static void
look_for_place(const struct look *l, const char *path)
{
	const char *slash = is_taken(l, path) ? NULL : strrchr(path, '/');
	char *dir = slash != NULL && slash > path && !is_of_runtime(path) ?
	    strndup(path, (size_t)(slash - path)) : NULL;

	if (dir != NULL)
		look_for(l, dir);
	free(dir);
}

/* As clusterd itself. */
static int
may_be_written(const struct look *l, const char *path, struct error *err)
{
	static const struct conf_creds own = { .set = false };

	return l->host->may_write != NULL && !is_of_runtime(path) ?
	    l->host->may_write(l->host->ctx, path, &own, err) : 0;
}

/* A link may be followed where that is opened. */
static void
look_whether_written(const struct look *l, const char *path)
{
	struct error err = ERROR_INIT;
	int code = may_be_written(l, path, &err);

	if (code < 0 && code != -ELOOP)
		conf_error_add(l->warnings, l->line, conf_key_name(l->id),
		    "%s", error_text(&err));
	error_clear(&err);
}

/* By a file that is made beside it, with a process ID as its suffix, which 0 is not. */
static void
look_whether_replaced(const struct look *l, const char *path)
{
	struct error err = ERROR_INIT;
	char *beside;

	if (asprintf(&beside, "%s.0", path) < 0)
		return;
	if (may_be_written(l, beside, &err) < 0)
		conf_error_add(l->warnings, l->line, conf_key_name(l->id),
		    "cannot replace %.200s as you: no file can be made beside "
		    "it", path);
	error_clear(&err);
	free(beside);
}

static void
look_at_pidfile(const struct look *l, const char *path)
{
	int found = l->host->look(l->host->ctx, path);

	if (found == CONF_LOOK_DIRECTORY)
		conf_error_add(l->warnings, l->line, conf_key_name(l->id),
		    "%.200s is a directory", path);
	else if (found == CONF_LOOK_NOTHING || found == CONF_LOOK_UNKNOWN)
		look_whether_written(l, path);
	else
		/* Whosever it is. */
		look_whether_replaced(l, path);
}

static struct look
begin(const struct conf_keys *keys, const struct conf_host *host,
    enum conf_key_id id, struct conf_errors *warnings)
{
	return (struct look){
		.host = host, .id = id, .line = conf_keys_line(keys, id),
		.warnings = warnings,
	};
}

void
advice_own(const struct conf_keys *keys, const struct conf_host *host,
    struct config *config)
{
	struct look l;

	if (!host->testing || host->look == NULL)
		return;
	l = begin(keys, host, CONF_KEY_LOG, &config->warnings);
	if (config->log != NULL)
		look_whether_written(&l, config->log);
	l = begin(keys, host, CONF_KEY_PIDFILE, &config->warnings);
	if (config->pidfile != NULL)
		look_at_pidfile(&l, config->pidfile);
	l = begin(keys, host, CONF_KEY_CONTROL, &config->warnings);
	if (config->control != NULL)
		look_for_place(&l, config->control);
	l = begin(keys, host, CONF_KEY_WEB_TOKEN_FILE, &config->warnings);
	if (config->web_token_file != NULL)
		look_for(&l, config->web_token_file);
	l = begin(keys, host, CONF_KEY_ON_EVENT, &config->warnings);
	if (config->on_event.n > 0)
		look_for_program(&l, config->on_event.v[0],
		    &config->on_event_creds);
}

void
advice_own_app(const struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app, struct conf_errors *warnings)
{
	struct look l = begin(keys, host, CONF_KEY_HEALTH, warnings);

	if (!host->testing || host->look == NULL)
		return;
	if (app->health_command.n > 0)
		look_for_program(&l, app->health_command.v[0], &app->creds);
	l.id = CONF_KEY_LISTEN;
	for (size_t i = 0; i < app->n_listens; i++) {
		l.line = app->listen_lines[i];
		if (app->listens[i].kind == ADDRESS_UNIX)
			look_for_place(&l, app->listens[i].path);
	}
}
