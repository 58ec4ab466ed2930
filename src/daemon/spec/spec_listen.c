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
	const char *file;
	unsigned line;
	bool known = config->file != NULL && conf->listen_lines != NULL &&
	    conf->listen_lines[i] > 0;

	if (err == NULL || !known)
		return;
	why = *err;
	*err = (struct error)ERROR_INIT;
	file = config_file_of(config, conf->listen_lines[i], &line);
	error_set(err, code, "%s:%u: %s: %s", file, line,
	    i == 0 && conf->has_port ? "port" : "listen", error_text(&why));
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
