#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/spec_listen.h"

/* Before the words: where the listener is written. */
static void
say_where(const struct config *config, const struct conf_app *conf, size_t i,
    int code, struct error *err)
{
	struct error why = ERROR_INIT;
	bool known = config->file != NULL && conf->listen_lines != NULL &&
	    conf->listen_lines[i] > 0;

	if (err == NULL || !known)
		return;
	why = *err;
	*err = (struct error)ERROR_INIT;
	error_set(err, code, "%s:%u: %s: %s", config->file,
	    conf->listen_lines[i], i == 0 && conf->has_port ? "port" :
	    "listen", error_text(&why));
	error_clear(&why);
}

int
spec_listen(struct listeners *listeners, const struct config *config,
    const struct conf_app *conf, size_t position,
    struct listener **ret_listener, struct address *ret_bound,
    struct error *err)
{
	int code = listeners_acquire(listeners, conf, position, ret_listener,
	    err);

	if (code < 0)
		say_where(config, conf, position, code, err);
	else if (*ret_listener != NULL)
		*ret_bound = (*ret_listener)->bound;
	return code;
}
