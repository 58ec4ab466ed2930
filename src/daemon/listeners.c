#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf.h"
#include "core/conf_diff.h"
#include "daemon/listeners.h"

static struct socket_options
options_of(const struct conf_app *app)
{
	return (struct socket_options){
		.backlog = app->backlog,
		.mode = app->socket_mode,
		.uid = app->socket_uid,
		.gid = app->socket_gid,
	};
}

static struct listener *
find(struct listeners *ls, const struct conf_app *app, size_t position)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		if (l->lanes[0].fd >= 0 && conf_same_listener(l->app,
		    l->position, &l->address, app->name, position,
		    &app->listens[position]))
			return l;
	return NULL;
}

static void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	for (size_t i = 0; i < l->n_lanes; i++)
		fd_close(&l->lanes[i].fd);
	free(l->lanes);
	free(l->app);
	address_free(&l->address);
	address_free(&l->bound);
	free(l);
}

static struct listener *
listener_new(const struct conf_app *app, size_t position)
{
	struct listener *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->position = position;
	l->lanes = calloc(1, sizeof(*l->lanes));
	l->app = strdup(app->name);
	if (l->lanes == NULL || l->app == NULL ||
	    address_copy(&app->listens[position], &l->address) < 0) {
		listener_free(l);
		return NULL;
	}
	l->lanes[0].fd = -1;
	l->n_lanes = 1;
	return l;
}

/* A socket that the supervisor above us holds for this address, or a new one. */
static int
open_lane(struct listeners *ls, struct listener *l, const struct conf_app *app,
    struct error *err)
{
	const struct socket_options options = options_of(app);
	int fd = listen_fds_take(&ls->passed, &l->address);
	int code;

	if (fd < 0)
		return socket_listen(&l->address, &options, &l->lanes[0].fd,
		    &l->bound, &l->file, err);

	l->passed = true;
	l->lanes[0].fd = fd;
	code = socket_address(fd, &l->bound);
	if (code < 0)
		return error_set(err, code, "socket passed in LISTEN_FDS: %s",
		    strerror(-code));
	return socket_adjust(fd, &l->bound, &l->file, &options, err);
}

static void
announce(const struct listener *l, const struct conf_app *app)
{
	char *name = address_format_numeric(&l->bound);
	unsigned most = socket_somaxconn();

	log_info("%s: listening on %s%s%s", app->name,
	    l->bound.kind == ADDRESS_UDP ? "udp:" :
	    l->bound.kind == ADDRESS_UNIX ? "unix:" : "",
	    name != NULL ? name : "?",
	    l->passed ? " (socket passed by the supervisor above)" : "");
	if (!l->passed && l->address.host == ADDRESS_HOST_ANY &&
	    l->address.kind != ADDRESS_UNIX &&
	    l->bound.host == ADDRESS_HOST_IPV4)
		log_warning("%s: there is no IPv6 here, %s serves IPv4 alone",
		    app->name, name != NULL ? name : "?");
	if (most > 0 && app->backlog > most &&
	    l->bound.kind != ADDRESS_UDP)
		log_warning("%s: the kernel cuts backlog %u to %u, raise "
		    "net.core.somaxconn", app->name, app->backlog, most);
	free(name);
}

int
listeners_acquire(struct listeners *ls, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err)
{
	struct listener *l = find(ls, app, position);
	int code;

	if (l == NULL) {
		l = listener_new(app, position);
		if (l == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		code = open_lane(ls, l, app, err);
		if (code < 0) {
			listener_free(l);
			return code;
		}
		l->next = ls->first;
		ls->first = l;
		announce(l, app);
	}
	l->refs++;
	*ret_listener = l;
	return 0;
}

static void
shut(struct listener *l)
{
	/* The file first: whoever finds the path then can still connect. */
	if (!l->passed && l->lanes[0].fd >= 0)
		socket_unlink(&l->bound, &l->file);
	for (size_t i = 0; i < l->n_lanes; i++)
		fd_close(&l->lanes[i].fd);
}

void
listeners_release(struct listeners *ls, struct listener *l)
{
	if (l == NULL || --l->refs > 0)
		return;
	for (struct listener **p = &ls->first; *p != NULL; p = &(*p)->next)
		if (*p == l) {
			*p = l->next;
			break;
		}
	if (l->lanes[0].fd >= 0) {
		char *name = address_format_numeric(&l->bound);

		log_info("%s: no longer listening on %s", l->app,
		    name != NULL ? name : "?");
		free(name);
	}
	shut(l);
	listener_free(l);
}

void
listeners_shut(struct listeners *ls)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		shut(l);
}

void
listener_adjust(struct listener *l, const struct conf_app *app)
{
	const struct socket_options options = options_of(app);
	struct error err = ERROR_INIT;

	if (l->passed || l->lanes[0].fd < 0)
		return;
	for (size_t i = 0; i < l->n_lanes; i++)
		if (socket_adjust(l->lanes[i].fd, &l->bound, &l->file,
		    &options, &err) < 0)
			log_warning("%s: %s", app->name, error_text(&err));
	error_clear(&err);
}

const struct lane *
listener_lane(const struct listener *l, unsigned instance)
{
	/* One lane for all. */
	(void)instance;
	return &l->lanes[0];
}
