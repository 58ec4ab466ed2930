#include "core/conf/advice_balance.h"
#include "core/conf/conf.h"
#include "core/conf/conf_error.h"
#include "core/conf/conf_keys.h"

static const char *
why_no_slow_start(const struct conf_app *app)
{
	if (app->n_listens == 0)
		return "there are no listeners";
	if (!conf_app_listens_on(app, ADDRESS_TCP))
		return conf_app_listens_on(app, ADDRESS_UDP) ?
		    "it is for TCP, not for UDP and Unix listeners" :
		    "it is for TCP, and a Unix listener is shared";
	switch (app->balance) {
	case CONF_BALANCE_RANDOM:
	case CONF_BALANCE_SOURCE:
	case CONF_BALANCE_SHARED:
		return "balance has to be least-connections or round-robin";
	default:
		return NULL;
	}
}

void
advice_balance(const struct conf_keys *keys, const struct conf_app *app,
    struct conf_errors *warnings)
{
	const char *why;

	if (app->slow_start_ms == 0 || keys->seen[CONF_KEY_SLOW_START].bad ||
	    keys->seen[CONF_KEY_LISTEN].bad || keys->seen[CONF_KEY_PORT].bad ||
	    keys->seen[CONF_KEY_BALANCE].bad)
		return;
	why = why_no_slow_start(app);
	if (why != NULL)
		conf_error_add(warnings,
		    conf_keys_line(keys, CONF_KEY_SLOW_START), "slow_start",
		    "does nothing here: %s", why);
}
