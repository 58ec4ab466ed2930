#include <errno.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_braces.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"
#include "core/names/placeholder.h"

static bool
has_inet(const struct conf_app *app)
{
	for (size_t i = 0; i < app->n_listens; i++) {
		if (app->listens[i].kind != ADDRESS_UNIX)
			return true;
	}
	return false;
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

/* A brace that nothing will replace is a slip, not text. */
static void
check_braces(struct conf_keys *keys, const struct conf_app *app)
{
	static const enum conf_key_id ids[] = {
		CONF_KEY_COMMAND, CONF_KEY_ENV, CONF_KEY_DIRECTORY,
		CONF_KEY_STDOUT, CONF_KEY_STDERR,
	};
	const struct conf_seen *seen = keys->seen;
	bool fd = uses(app, CONF_KEY_COMMAND, PLACEHOLDER_FD);

	if (seen[CONF_KEY_PORT].bad || seen[CONF_KEY_LISTEN].bad)
		return;
	if (fd && app->n_listens == 0)
		conf_error_add(keys->errors,
		    conf_keys_line(keys, CONF_KEY_COMMAND), "command",
		    "{fd} is the number of a listening socket, but "
		    "the app has none; port or listen gives it one");
	else if (fd && app->handoff == CONF_HANDOFF_ADOPT)
		conf_error_add(keys->errors,
		    conf_keys_line(keys, CONF_KEY_COMMAND), "command",
		    "{fd} is the number of a listening socket, but "
		    "handoff = adopt passes none; env or auto does");
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (!has_inet(app) && uses(app, ids[i], PLACEHOLDER_PORT))
			conf_error_add(keys->errors,
			    conf_keys_line(keys, ids[i]),
			    conf_key_name(ids[i]), "{port} is the number of a "
			    "TCP or UDP port, but the app has none; port or "
			    "listen gives it one");
}

/* Names that a worker has although nobody sets them. */
static bool
is_set_by_us(const char *name, size_t len, const struct conf_app *app)
{
	static const char *const users[] = { "USER", "LOGNAME", "HOME" };

	if (strncmp(name, "CLUSTERD_", strlen("CLUSTERD_")) == 0)
		return true;
	if (len == 4 && (strncmp(name, "PORT", len) == 0 ||
	    strncmp(name, "HOST", len) == 0))
		return has_inet(app);
	for (size_t i = 0; app->user != NULL && i < 3; i++)
		if (strlen(users[i]) == len &&
		    strncmp(name, users[i], len) == 0)
			return true;
	return false;
}

/* All {env:NAME} of one text. */
static void
check_variables(struct conf_keys *keys, const struct conf_app *app,
    enum conf_key_id id, char *const *env, const char *text)
{
	size_t len;

	while ((text = placeholder_find_unset(text, env, &len)) != NULL) {
		const char *name = text + strlen("{env:");
		size_t n = len - strlen("{env:}");

		if (!is_set_by_us(name, n, app))
			conf_error_add(keys->errors, conf_keys_line(keys, id),
			    conf_key_name(id), "%.*s: there is no such "
			    "variable, in env, env_file or clusterd's own "
			    "environment", (int)(len < 60 ? len : 60), text);
		text += len;
	}
}

/* What a worker will have in its environment is known by now. */
static int
check_env_braces(struct conf_keys *keys, char *const *own,
    const struct conf_app *app)
{
	struct strlist env = STRLIST_INIT;
	bool failed;
	const struct strlist *const lists[] = { &app->env_file_entries,
		&app->env };

	for (; own != NULL && *own != NULL; own++)
		strlist_add(&env, *own);
	for (size_t i = 0; i < 2; i++)
		for (size_t k = 0; k < lists[i]->n; k++)
			strlist_add(&env, lists[i]->v[k]);
	for (size_t i = 0; !env.failed && i < app->command.n; i++)
		check_variables(keys, app, CONF_KEY_COMMAND, env.v,
		    app->command.v[i]);
	for (size_t i = 0; !env.failed && i < app->env.n; i++)
		check_variables(keys, app, CONF_KEY_ENV, env.v, app->env.v[i]);
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
