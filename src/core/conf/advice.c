#include "base/str.h"
#include "core/conf/advice.h"
#include "core/conf/advice_balance.h"
#include "core/conf/advice_command.h"
#include "core/conf/advice_env.h"
#include "core/conf/advice_files.h"
#include "core/conf/advice_inspect.h"
#include "core/conf/advice_own.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_host.h"
#include "core/conf/conf_keys.h"

void
advice_app(const struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app, struct conf_errors *warnings)
{
	const struct conf_seen *seen = keys->seen;
	unsigned n = host->auto_instances > 0 ? host->auto_instances : 1;

	advice_env(keys, warnings);
	if (seen[CONF_KEY_COMMAND].bad)
		return;
	advice_env_port(keys, app, warnings);
	advice_command(keys, app, warnings);
	if (!seen[CONF_KEY_INSTANCES].bad)
		advice_inspect(keys, app, conf_app_most_instances(app, n),
		    host->environ, warnings);
	advice_files(keys, host, app, warnings);
	advice_own_app(keys, host, app, warnings);
	advice_balance(keys, app, warnings);
}

/* So many are named. */
#define NAMED_MAX 8

void
advice_root(struct config *config, const struct conf_host *host)
{
	const struct conf_app *first = NULL;
	struct strbuf names = STRBUF_INIT;
	size_t n = 0;

	for (size_t i = 0; host->root && i < config->n_apps; i++) {
		const struct conf_app *app = &config->apps[i];

		if (app->user != NULL)
			continue;
		if (first == NULL)
			first = app;
		if (n++ < NAMED_MAX)
			strbuf_printf(&names, "%s%s", n > 1 ? ", " : "",
			    app->name);
	}
	if (n > NAMED_MAX)
		strbuf_printf(&names, " and %zu more", n - NAMED_MAX);
	if (n > 0 && !names.failed)
		conf_error_add(&config->warnings, first->line, NULL, "%s: "
		    "workers run as root: user = NAME%s has them run as "
		    "somebody else, and user = root says that it is meant",
		    names.text, first->line == 0 ? " in a file (-c)" : "");
	strbuf_free(&names);
}
