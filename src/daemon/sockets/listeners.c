#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/sockets/adoption.h"
#include "core/conf/conf.h"
#include "core/conf/conf_diff.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listeners.h"
#include "linux/socket/unix_socket.h"

void
listeners_init(struct listeners *ls, struct loop *loop)
{
	ls->loop = loop;
	ls->inotify = -1;
	balancing_init(&ls->balancing);
}

void
listeners_fini(struct listeners *ls)
{
	loop_del(ls->loop, &ls->inotify_handle);
	fd_close(&ls->inotify);
	balancing_fini(&ls->balancing);
}

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

bool
listener_is_open(const struct listener *l)
{
	return l->lanes.v[0]->fd >= 0;
}

/* For the same place of the configuration, and open. */
static bool
is_for(const struct listener *l, const struct conf_app *app, size_t position)
{
	return listener_is_open(l) && conf_same_listener(l->app, l->position,
	    &l->address, app->name, position, &app->listens[position]);
}

/*
 * What cannot be mended and has to be opened anew: a Unix listener whose file
 * is gone, with both its names, or that was shut down; a TCP lane that a worker
 * has connected to somewhere while it was not listening.
 */
static bool
is_lost(const struct listener *l)
{
	if (l->passed)
		return false;
	if (l->bound.kind == ADDRESS_UNIX)
		return l->dead || unix_socket_restore(l->bound.path,
		    &l->file) == -ENOENT;
	return l->bound.kind == ADDRESS_TCP && !l->listening &&
	    socket_is_connected(l->lanes.v[0]->fd);
}

/* How well an open listener serves as the first for a place; 0: it does not. */
static int
fitness(const struct listener *l, const struct conf_app *app, size_t position)
{
	const struct address *written = &app->listens[position];
	bool exact = listener_is_open(l) &&
	    strcmp(l->app, app->name) == 0 &&
	    address_equal(&l->bound, written);

	/* Who asks for nothing could not ask for the written one again. */
	if (l->derived && !exact && app->handoff == CONF_HANDOFF_ENV)
		return 0;
	if ((!exact && !is_for(l, app, position)) ||
	    !adoption_may_keep(app, position, &l->bound) || is_lost(l))
		return 0;
	if (!l->forsaken && !l->beside)
		return 3;
	/* What servers have left for another address, or asked for beside. */
	return exact ? 2 : l->beside ? 0 : 1;
}

static struct listener *
find(struct listeners *ls, const struct conf_app *app, size_t position)
{
	struct listener *best = NULL;
	int best_fitness = 0;

	for (struct listener *l = ls->first; l != NULL; l = l->next) {
		int f = fitness(l, app, position);

		if (f > best_fitness) {
			best = l;
			best_fitness = f;
		}
	}
	return best;
}

static void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	lanes_free(l);
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
	l->app = strdup(app->name);
	if (lanes_init(l) < 0 || l->app == NULL ||
	    address_copy(&app->listens[position], &l->address) < 0) {
		listener_free(l);
		return NULL;
	}
	l->watch = -1;
	l->told_shut.ns = -LANES_TELL_MS * INT64_C(1000000);
	l->backlog = app->backlog;
	return l;
}

/* Bound; a Unix listener listens, too. */
static int
open_socket(struct listeners *ls, struct listener *l,
    const struct address *address, const struct socket_options *options,
    struct error *err)
{
	struct socket_options o = *options;
	int *fd = &l->lanes.v[0]->fd;
	int code;

	o.bind_only = true;
	/* First alone: a stranger on the port is found out. */
	code = socket_listen(address, &o, fd, &l->bound, &l->file, err);
	if (code == -EADDRINUSE &&
	    lanes_make_room(ls, l->app, address, l, true)) {
		error_clear(err);
		o.beside = true;
		code = socket_listen(address, &o, fd, &l->bound, &l->file,
		    err);
		(void)lanes_make_room(ls, l->app, address, l, false);
	}
	l->listening = code == 0 && l->bound.kind != ADDRESS_TCP;
	return code;
}

/* A socket that the supervisor above us holds for this address, or a new one.
 */
static int
open_lane(struct listeners *ls, struct listener *l, const struct conf_app *app,
    struct error *err)
{
	const struct socket_options options = options_of(app);
	int fd = listen_fds_take(&ls->passed, &l->address);
	int code;

	if (fd < 0)
		return open_socket(ls, l, &l->address, &options, err);

	l->passed = l->listening = true;
	l->lanes.v[0]->fd = fd;
	code = socket_address(fd, &l->bound);
	if (code < 0)
		return error_set(err, code, "socket passed in LISTEN_FDS: %s",
		    strerror(-code));
	return socket_adjust(fd, &l->bound, &l->file, &options, err);
}

static void
announce(const struct listener *l, const struct conf_app *app,
    const char *why)
{
	const struct address_text name = address_text_numeric(&l->bound);
	unsigned most = socket_somaxconn();

	log_app(LOG_LEVEL_INFO, app->name, "listening on %s%s%s",
	    l->bound.kind == ADDRESS_UDP ? "udp:" :
	    l->bound.kind == ADDRESS_UNIX ? "unix:" : "",
	    name.s,
	    l->passed ? " (socket passed by the supervisor above)" : why);
	if (!l->passed && !l->derived &&
	    l->address.host == ADDRESS_HOST_ANY &&
	    l->address.kind != ADDRESS_UNIX &&
	    l->bound.host == ADDRESS_HOST_IPV4)
		log_app(LOG_LEVEL_WARNING, app->name, "there is no IPv6 here, "
		    "%s serves IPv4 alone", name.s);
	if (most > 0 && app->backlog > most &&
	    l->bound.kind != ADDRESS_UDP)
		log_app(LOG_LEVEL_WARNING, app->name, "the kernel cuts backlog "
		    "%u to %u, raise net.core.somaxconn", app->backlog, most);
}

/* What is not asked for by name need not be. */
static int
put_in_force(struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts, struct error *err)
{
	struct balancing *b = &l->all->balancing;
	enum balance balance = balancing_choose(b, app, l, accepts);
	struct error why = ERROR_INIT;
	int code;

	l->lanes.expected = conf_app_instances(app, 1);
	code = lanes_set_balance(l, balance, &why);
	if (code == 0)
		return 0;
	if (app->balance == CONF_BALANCE_AUTO) {
		log_app(LOG_LEVEL_WARNING, app->name, "balance = %s failed, it "
		    "is random now: %s", balance_name(balance),
		    error_text(&why));
		code = lanes_set_balance(l, BALANCE_RANDOM, err);
	} else {
		error_set(err, code, "%s: balance = %s failed: %s", app->name,
		    balance_name(balance), error_text(&why));
	}
	error_clear(&why);
	return code;
}

/* Into the list, with the balance in force that the app asks for. */
static int
enter(struct listeners *ls, struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts, struct error *err)
{
	l->all = ls;
	l->next = ls->first;
	ls->first = l;
	if (l->passed && app->balance != CONF_BALANCE_AUTO &&
	    app->balance != CONF_BALANCE_SHARED)
		log_app(LOG_LEVEL_WARNING, app->name, "its socket is passed by "
		    "the supervisor above, and so it is shared: balance does "
		    "not apply");
	lanes_enter(l);
	listener_file_watch(l);
	return put_in_force(l, app, accepts, err);
}

static int
begin(struct listener *l, const struct conf_app *app, const char *why,
    struct error *err)
{
	int code;

	if (l->listening)
		return 0;
	code = lanes_start(l);
	if (code < 0)
		return error_set(err, code, "cannot listen on %s: %s",
		    address_text(&l->bound).s, strerror(-code));
	l->listening = true;
	announce(l, app, why);
	return 0;
}

/* A reload may move an address from one app to another. */
static void
belong_to(struct listener *l, const struct conf_app *app, size_t position)
{
	char *name = strcmp(l->app, app->name) == 0 ? NULL :
	    strdup(app->name);

	l->position = position;
	if (name == NULL)
		return;
	free(l->app);
	l->app = name;
}

static void
shut(struct listener *l)
{
	listener_file_unwatch(l);
	/* The file first: whoever finds the path then can still connect. */
	if (!l->passed && listener_is_open(l))
		socket_unlink(&l->bound, &l->file);
	lanes_close(l);
}

static void
leave_list(struct listener *l)
{
	struct listener **p = &l->all->first;

	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
}

/* The last reference is gone, or there never was one. */
static void
discard(struct listener *l)
{
	leave_list(l);
	shut(l);
	listener_free(l);
}

/* Opened for the place of the configuration, and listening. */
static int
open_listener(struct listeners *ls, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err)
{
	struct listener *l = listener_new(app, position);
	int code;

	if (l == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = open_lane(ls, l, app, err);
	if (code < 0) {
		listener_free(l);
		return code;
	}
	code = enter(ls, l, app, BALANCE_ACCEPTS_UNKNOWN, err);
	if (code == 0 && l->listening)
		announce(l, app, "");
	else if (code == 0)
		code = begin(l, app, "", err);
	if (code < 0)
		discard(l);
	else
		*ret_listener = l;
	return code;
}

int
listeners_acquire(struct listeners *ls, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err)
{
	struct listener *l = find(ls, app, position);
	int code = l != NULL ? 0 : open_listener(ls, app, position, &l, err);

	if (code < 0)
		return code;
	l->refs++;
	*ret_listener = l;
	return 0;
}

void
listener_enlist(struct listener *l, const struct conf_app *app,
    size_t position)
{
	struct error err = ERROR_INIT;

	l->forsaken = false;
	if (l->door_closed) {
		if (l->door_filter)
			(void)lanes_close_door(l, false);
		l->door_closed = l->door_filter = false;
		(void)lanes_start(l);
	}
	belong_to(l, app, position);
	/* It may be one that the last generation's program did not serve. */
	if (begin(l, app, "", &err) < 0)
		log_app(LOG_LEVEL_ERROR, app->name, "%s", error_text(&err));
	error_clear(&err);
}

static struct listener *
find_bound(struct listeners *ls, const struct conf_app *app, size_t position,
    const struct address *target)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		if (is_for(l, app, position) &&
		    address_equal(&l->bound, target))
			return l;
	return NULL;
}

/* Bound for what a server asks for. */
static int
derive(struct listeners *ls, const struct conf_app *app, size_t position,
    const struct address *target, enum balance_accepts accepts,
    struct listener **ret_listener, struct error *err)
{
	const struct socket_options options = options_of(app);
	struct listener *l = listener_new(app, position);
	int code;

	if (l == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = open_socket(ls, l, target, &options, err);
	if (code < 0) {
		listener_free(l);
		return code;
	}
	l->beside = l->derived = true;
	l->listening = false;	/* UDP: not announced yet */
	code = enter(ls, l, app, accepts, err);
	if (code < 0)
		discard(l);
	else
		*ret_listener = l;
	return code;
}

int
listeners_derive(struct listeners *ls, const struct conf_app *app,
    size_t position, const struct address *target,
    enum balance_accepts accepts, struct listener **ret_listener,
    struct error *err)
{
	struct listener *l = find_bound(ls, app, position, target);
	int code = l != NULL ? 0 :
	    derive(ls, app, position, target, accepts, &l, err);

	if (code < 0)
		return code;
	l->forsaken = false;
	l->refs++;
	*ret_listener = l;
	return 0;
}

int
listener_begin(struct listener *l, const struct conf_app *app,
    struct error *err)
{
	return begin(l, app, " (as its program asks for)", err);
}

void
listener_close_door(struct listener *l)
{
	if (l->door_closed || !l->listening || l->passed ||
	    l->bound.kind == ADDRESS_UNIX)
		return;
	l->door_closed = true;
	l->door_filter = lanes_close_door(l, true) == 0;
	log_app(LOG_LEVEL_INFO, l->app, "no longer listening on %s%s, but for "
	    "those who are there", l->bound.kind == ADDRESS_UDP ? "udp:" : "",
	    address_text_numeric(&l->bound).s);
}

void
listener_suspend(struct listener *l)
{
	if (!l->listening || l->passed || l->bound.kind != ADDRESS_TCP)
		return;
	l->listening = false;
	lanes_refuse(l);
}

bool
listeners_taken(const struct address *address)
{
	struct socket_options options = { .backlog = 1, .bind_only = true };
	struct socket_file file;
	struct address bound = { .kind = ADDRESS_TCP };
	int fd = -1;
	int code;

	if (address->kind == ADDRESS_UNIX)
		return false;
	code = socket_listen(address, &options, &fd, &bound, &file, NULL);
	fd_close(&fd);
	return code == -EADDRINUSE;
}

void
listeners_release(struct listener *l)
{
	if (l == NULL || --l->refs > 0)
		return;
	if (listener_is_open(l) && l->listening && !l->door_closed)
		log_app(LOG_LEVEL_INFO, l->app, "no longer listening on %s",
		    address_text_numeric(&l->bound).s);
	/* Workers may still hold it, without a thought of accepting. */
	if (l->forsaken)
		lanes_refuse(l);
	discard(l);
}

void
listeners_shut(struct listeners *ls)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		shut(l);
}

void
listener_adjust(struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts)
{
	const struct socket_options options = options_of(app);
	struct error err = ERROR_INIT;
	int code;

	l->backlog = app->backlog;
	if (l->passed || !l->listening || !listener_is_open(l))
		return;
	/* A worker that ends may have removed it just now. */
	listener_restore_path(l);
	code = l->bound.kind != ADDRESS_UNIX ? lanes_adjust(l) :
	    socket_adjust(l->lanes.v[0]->fd, &l->bound, &l->file, &options,
	    &err);
	if (code < 0)
		log_app(LOG_LEVEL_WARNING, app->name, "%s", err.text != NULL ?
		    err.text : strerror(-code));
	error_clear(&err);
	if (put_in_force(l, app, accepts, &err) < 0)
		log_warning("%s; it stays %s", error_text(&err),
		    balance_name(l->lanes.balance));
	error_clear(&err);
}

void
listeners_leave(struct listeners *ls, const struct lane_holder *w)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		lanes_leave(l, w);
}
