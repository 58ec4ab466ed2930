#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/spec_listen.h"
#include "daemon/spec/spec_own.h"

static void
release(struct spec_own *own)
{
	if (own == NULL)
		return;
	for (size_t i = 0; own->listeners != NULL && i < own->conf.n_listens;
	    i++)
		listeners_release(own->listeners[i]);
	conf_view_free(&own->conf);
	free(own->listeners);
	free(own->bound);
	free(own->taken);
	free(own);
}

static int
own_new(struct listeners *listeners, const struct config *config,
    const struct conf_app *conf, unsigned instance, struct spec_own **ret_own,
    struct error *err)
{
	struct spec_own *own = calloc(1, sizeof(*own));
	size_t n = conf->n_listens;
	int code;

	if (own == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = conf_view(conf, instance, &own->conf, err);
	if (code < 0) {
		free(own);
		return code;
	}
	own->listeners = calloc(n, sizeof(*own->listeners));
	own->bound = calloc(n, sizeof(*own->bound));
	own->taken = calloc(n, sizeof(*own->taken));
	if (own->listeners == NULL || own->bound == NULL || own->taken == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; code == 0 && i < n; i++)
		if (conf_listen_is_own(conf, i))
			code = spec_listen(listeners, config, &own->conf, i,
			    &own->listeners[i], &own->bound[i], err);
	if (code < 0)
		release(own);
	else
		*ret_own = own;
	return code;
}

static int
reserve(struct spec_owns *owns, size_t n)
{
	struct spec_own **more;

	if (n <= owns->n)
		return 0;
	more = reallocarray(owns->v, n, sizeof(struct spec_own *));
	if (more == NULL)
		return -ENOMEM;
	owns->v = more;
	while (owns->n < n)
		more[owns->n++] = NULL;
	return 0;
}

struct spec_own *
spec_own_find(const struct spec_owns *owns, long instance)
{
	return instance >= 0 && (size_t)instance < owns->n ?
	    owns->v[instance] : NULL;
}

static void
enlist(const struct spec_own *own)
{
	for (size_t i = 0; i < own->conf.n_listens; i++)
		if (own->listeners[i] != NULL)
			listener_enlist(own->listeners[i], &own->conf, i);
}

/* Those that were shut. */
static int
open_again(struct spec_own *own, struct listeners *listeners,
    const struct config *config, const struct conf_app *conf, struct error *err)
{
	int code = 0;

	for (size_t i = 0; code == 0 && i < own->conf.n_listens; i++)
		if (conf_listen_is_own(conf, i) && own->listeners[i] == NULL)
			code = spec_listen(listeners, config, &own->conf, i,
			    &own->listeners[i], &own->bound[i], err);
	return code;
}

int
spec_own_seat(struct spec_owns *owns, struct listeners *listeners,
    const struct config *config, const struct conf_app *conf, unsigned instance,
    bool runs, struct error *err)
{
	struct spec_own *own = spec_own_find(owns, instance);
	int code;

	if (!conf_has_own_listens(conf))
		return 0;
	if (own != NULL) {
		code = own->closed ? open_again(own, listeners, config, conf,
		    err) : 0;
		if (code == 0 && own->closed)
			enlist(own);
		own->closed = own->closed && code < 0;
		return code;
	}
	if (reserve(owns, (size_t)instance + 1) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	code = own_new(listeners, config, conf, instance, &owns->v[instance],
	    err);
	/* Of a spec that runs already: scaled. */
	if (code == 0 && runs)
		enlist(owns->v[instance]);
	return code;
}

void
spec_own_unseat(struct spec_owns *owns, unsigned instance)
{
	struct spec_own *own = spec_own_find(owns, instance);

	if (own == NULL || own->closed)
		return;
	own->closed = true;
	for (size_t i = 0; i < own->conf.n_listens; i++)
		if (own->listeners[i] != NULL)
			listener_close_door(own->listeners[i]);
}

void
spec_own_vacate(struct spec_owns *owns, unsigned instance)
{
	struct spec_own *own = spec_own_find(owns, instance);

	if (own == NULL || own->closed)
		return;
	own->closed = true;
	for (size_t i = 0; i < own->conf.n_listens; i++) {
		listeners_release(own->listeners[i]);
		own->listeners[i] = NULL;
		own->bound[i] = (struct address){ .kind = ADDRESS_TCP };
		own->taken[i] = false;
	}
}

void
spec_own_enlist(const struct spec_owns *owns)
{
	for (size_t i = 0; i < owns->n; i++)
		if (owns->v[i] != NULL)
			enlist(owns->v[i]);
}

void
spec_own_renew(struct spec_owns *owns, const struct conf_app *conf)
{
	for (size_t i = 0; i < owns->n; i++)
		if (owns->v[i] != NULL)
			conf_view_renew(&owns->v[i]->conf, conf);
}

void
spec_own_shut(struct spec_owns *owns, bool all)
{
	for (size_t k = 0; k < owns->n; k++) {
		struct spec_own *own = owns->v[k];

		for (size_t i = 0; own != NULL && i < own->conf.n_listens;
		    i++) {
			struct listener *l = own->listeners[i];

			if (l == NULL || (!all && l->forsaken))
				continue;
			listeners_release(l);
			own->listeners[i] = NULL;
		}
	}
}

void
spec_own_free(struct spec_owns *owns)
{
	for (size_t i = 0; i < owns->n; i++)
		release(owns->v[i]);
	free(owns->v);
	*owns = (struct spec_owns){ .n = 0 };
}
