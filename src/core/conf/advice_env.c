#include <stdint.h>
#include <string.h>

#include "base/num.h"
#include "core/conf/advice_env.h"
#include "core/conf/advice_value.h"
#include "core/conf/conf.h"
#include "core/conf/conf_env.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_instance.h"
#include "core/conf/conf_keys.h"
#include "core/conf/conf_source.h"
#include "core/names/address.h"
#include "core/names/placeholder.h"

void
advice_env(const struct conf_keys *keys, struct conf_errors *warnings)
{
	const struct conf_entry *entry = keys->seen[CONF_KEY_ENV].entry;

	if (entry == NULL || keys->seen[CONF_KEY_ENV].bad)
		return;
	for (size_t i = 0; i < entry->lines.n; i++) {
		const char *line = entry->lines.v[i];
		size_t len = strcspn(line, "=");
		const char *why = line[len] == '=' ?
		    advice_value(line + len + 1, len, false) : NULL;

		if (why != NULL)
			conf_error_add(warnings, entry->numbers[i], "env",
			    "%.*s: %s", (int)(len < 60 ? len : 60), line, why);
	}
}

/* It has to come to a port, and to one of those listeners by words or by the trap. */
static bool
needs_port(const struct conf_app *app)
{
	for (size_t i = 0; i < app->command.n; i++)
		if (placeholder_in(PLACEHOLDER_PORT, app->command.v[i]) ||
		    placeholder_in(PLACEHOLDER_FD, app->command.v[i]))
			return false;
	for (size_t i = 0; i < app->env.n; i++)
		if (placeholder_in(PLACEHOLDER_PORT, app->env.v[i]) ||
		    placeholder_in(PLACEHOLDER_FD, app->env.v[i]))
			return false;
	return app->handoff != CONF_HANDOFF_ENV;
}

void
advice_env_port(const struct conf_keys *keys, const struct conf_app *app,
    struct conf_errors *warnings)
{
	const char *said = conf_env_said(app, "PORT");
	bool by_file = said != NULL && conf_env_said(&(struct conf_app){
		.env = app->env }, "PORT") == NULL;
	enum conf_key_id id = by_file ? CONF_KEY_ENV_FILE : CONF_KEY_ENV;
	uint64_t number;
	unsigned port = 0;

	if (said == NULL || !num_parse(said, 1, UINT16_MAX, &number) ||
	    !needs_port(app))
		return;
	for (size_t i = 0; i < app->n_listens; i++) {
		const struct address *a = &app->listens[i];

		/* Of one for each instance, or that the kernel chooses, the number
		   is not known here. */
		if (conf_listen_is_own(app, i) || a->port == number ||
		    (a->kind != ADDRESS_UNIX && a->port == 0))
			return;
		if (port == 0 && a->kind == ADDRESS_TCP)
			port = a->port;
	}
	if (port != 0)
		conf_error_add(warnings, conf_keys_line(keys, id),
		    conf_key_name(id), "PORT is %u there, and the app listens on "
		    "%u: without that entry its workers would be told PORT=%u",
		    (unsigned)number, port, port);
}
