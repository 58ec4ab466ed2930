#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_braces.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"
#include "core/names/placeholder.h"

/* The first listener with a port, or NULL. */
static const struct address *
first_inet(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++) {
		if (app->listens[i].kind != ADDRESS_UNIX)
			return &app->listens[i];
	}
	return NULL;
}

/* One word of command, or another value of the key, that holds `which`. */
static bool
uses(const struct conf_app *app, enum conf_key_id id, enum placeholder which)
{
	const struct strlist *all = id == CONF_KEY_COMMAND ? &app->command :
	    &app->env;
	const char *one = id == CONF_KEY_DIRECTORY ? app->directory :
	    id == CONF_KEY_STDOUT ? app->out.path :
	    id == CONF_KEY_STDERR ? app->err.path : NULL;

	if (id != CONF_KEY_COMMAND && id != CONF_KEY_ENV)
		return one != NULL && placeholder_in(which, one);
	for (size_t i = 0; i < all->n; i++)
		if (placeholder_in(which, all->v[i]))
			return true;
	return false;
}

static void
check_fd(struct conf_keys *keys, const struct conf_app *app,
    enum conf_key_id id)
{
	if (!uses(app, id, PLACEHOLDER_FD))
		return;
	if (app->n_listens == 0)
		conf_error_add(keys->errors, conf_keys_line(keys, id),
		    conf_key_name(id), "{fd} is the number of a listening "
		    "socket, but the app has none; port or listen gives it "
		    "one");
	else if (app->handoff == CONF_HANDOFF_ADOPT)
		conf_error_add(keys->errors, conf_keys_line(keys, id),
		    conf_key_name(id), "{fd} is the number of a listening "
		    "socket, but handoff = adopt passes none; env or auto "
		    "does");
}

/* A brace that nothing will replace is a slip, not text. */
static void
check_braces(struct conf_keys *keys, const struct conf_app *app)
{
	static const enum conf_key_id ids[] = {
		CONF_KEY_COMMAND, CONF_KEY_ENV, CONF_KEY_DIRECTORY,
		CONF_KEY_STDOUT, CONF_KEY_STDERR,
	};
	const struct conf_seen *seen = keys->seen;

	if (seen[CONF_KEY_PORT].bad || seen[CONF_KEY_LISTEN].bad)
		return;
	check_fd(keys, app, CONF_KEY_COMMAND);
	check_fd(keys, app, CONF_KEY_ENV);
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (first_inet(app) == NULL && uses(app, ids[i], PLACEHOLDER_PORT))
			conf_error_add(keys->errors,
			    conf_keys_line(keys, ids[i]),
			    conf_key_name(ids[i]), "{port} is the number of a "
			    "TCP or UDP port, but the app has none; port or "
			    "listen gives it one");
}

static bool
is_name(const char *name, size_t len, const char *known)
{
	return strlen(known) == len && strncmp(name, known, len) == 0;
}

/* Names that a worker has before anything of the file's is set, although nobody
   sets them. */
static bool
is_set_first(const char *name, size_t len, const struct conf_app *app)
{
	static const char *const users[] = { "USER", "LOGNAME", "HOME" };
	const struct address *inet = first_inet(app);

	if (is_name(name, len, "CLUSTERD_WORKER_ID") ||
	    (inet != NULL && is_name(name, len, "PORT")) ||
	    (inet != NULL && inet->host != ADDRESS_HOST_ANY &&
	    is_name(name, len, "HOST")))
		return true;
	for (size_t i = 0; app->user != NULL && i < 3; i++)
		if (is_name(name, len, users[i]))
			return true;
	return false;
}

/* Those that it has in the end, but for LISTEN_PID, which nobody knows yet, and
   those with numbers in them. */
static bool
is_set_last(const char *name, size_t len, const struct conf_app *app)
{
	static const struct {
		const char *name;
		unsigned protocol;
		bool of_fds;
	} known[] = {
		{ "CLUSTERD_APP", CONF_FDP_CLUSTERD, false },
		{ "CLUSTERD_INSTANCE", CONF_FDP_CLUSTERD, false },
		{ "CLUSTERD_INSTANCES", CONF_FDP_CLUSTERD, false },
		{ "CLUSTERD_GENERATION", CONF_FDP_CLUSTERD, false },
		{ "CLUSTERD_FD", CONF_FDP_CLUSTERD, true },
		{ "LISTEN_FDS", CONF_FDP_SYSTEMD, true },
		{ "LISTEN_FDNAMES", CONF_FDP_SYSTEMD, true },
		{ "SERVER_STARTER_PORT", CONF_FDP_SERVER_STARTER, true },
		{ "SERVER_STARTER_GENERATION", CONF_FDP_SERVER_STARTER, true },
		{ "EINHORN_MASTER_PID", CONF_FDP_EINHORN, true },
		{ "EINHORN_CHILD_INDEX", CONF_FDP_EINHORN, true },
		{ "EINHORN_FD_COUNT", CONF_FDP_EINHORN, true },
		{ "NGINX", CONF_FDP_NGINX, true },
		{ "FPM_SOCKETS", CONF_FDP_PHP_FPM, true },
	};
	bool passes = app->n_listens > 0 &&
	    app->handoff != CONF_HANDOFF_ADOPT;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if ((conf_app_fd_protocols(app) & known[i].protocol) != 0 &&
		    (passes || !known[i].of_fds) &&
		    is_name(name, len, known[i].name))
			return true;
	return is_name(name, len, "NOTIFY_SOCKET") && conf_app_notifies(app);
}

/* All {env:NAME} of one text, with what is in `env` so far. */
static void
check_variables(struct conf_keys *keys, const struct conf_app *app,
    enum conf_key_id id, char *const *env, const char *text)
{
	size_t len;

	while ((text = placeholder_find_unset(text, env, &len)) != NULL) {
		const char *name = text + strlen("{env:");
		size_t n = len - strlen("{env:}");

		if (!is_set_first(name, n, app) && (id == CONF_KEY_ENV ||
		    !is_set_last(name, n, app)))
			conf_error_add(keys->errors, conf_keys_line(keys, id),
			    conf_key_name(id), "%.*s: there is no such "
			    "variable, in env%s, env_file or clusterd's own "
			    "environment", (int)(len < 60 ? len : 60), text,
			    id == CONF_KEY_ENV ? " before it" : "");
		text += len;
	}
}

/* What a worker will have in its environment is known by now; it is made in
   this order (core/worker/worker_env). */
static int
check_env_braces(struct conf_keys *keys, char *const *own,
    const struct conf_app *app)
{
	struct strlist env = STRLIST_INIT;
	bool failed;

	for (; own != NULL && *own != NULL; own++)
		if (conf_env_passes_on(app, *own))
			strlist_add(&env, *own);
	for (size_t i = 0; i < app->env_file_entries.n; i++)
		strlist_add(&env, app->env_file_entries.v[i]);
	for (size_t i = 0; !env.failed && i < app->env.n; i++) {
		check_variables(keys, app, CONF_KEY_ENV, env.v, app->env.v[i]);
		strlist_add(&env, app->env.v[i]);
	}
	for (size_t i = 0; !env.failed && i < app->command.n; i++)
		check_variables(keys, app, CONF_KEY_COMMAND, env.v,
		    app->command.v[i]);
	failed = env.failed;
	strlist_free(&env);
	return failed ? -ENOMEM : 0;
}

int
conf_braces_check(struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app)
{
	check_braces(keys, app);
	return check_env_braces(keys, host->environ, app);
}
