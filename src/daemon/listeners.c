#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/adoption.h"
#include "core/conf.h"
#include "core/conf_diff.h"
#include "daemon/listener_file.h"
#include "daemon/listeners.h"
#include "linux/unix_socket.h"

/* A worker that shuts its lane again and again is told of this seldom. */
#define TELL_SHUT_MS 10000

void
listeners_init(struct listeners *ls, struct loop *loop)
{
	ls->loop = loop;
	ls->inotify = -1;
}

void
listeners_fini(struct listeners *ls)
{
	loop_del(ls->loop, &ls->inotify_handle);
	fd_close(&ls->inotify);
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

/* For the same place of the configuration, and open. */
static bool
is_for(const struct listener *l, const struct conf_app *app, size_t position)
{
	return l->lanes[0].fd >= 0 && conf_same_listener(l->app, l->position,
	    &l->address, app->name, position, &app->listens[position]);
}

/*
 * What cannot be mended and has to be opened anew: a Unix listener whose file is
 * gone, with both its names, or that was shut down; a TCP lane that a worker
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
	    socket_is_connected(l->lanes[0].fd);
}

/* How well an open listener serves as the first for a place; 0: it does not. */
static int
fitness(const struct listener *l, const struct conf_app *app, size_t position)
{
	const struct address *written = &app->listens[position];
	bool exact = l->lanes[0].fd >= 0 &&
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
	l->watch = -1;
	l->told_shut.ns = -TELL_SHUT_MS * INT64_C(1000000);
	l->backlog = app->backlog;
	return l;
}

/*
 * Let a socket be bound, or begin to listen, although its address overlaps with
 * other listeners of the app: its server may ask for 0.0.0.0 where [::] is
 * open, and a reload may write another address. False: there are none.
 */
static bool
make_room(struct listeners *ls, const char *app, const struct address *a,
    bool on)
{
	bool any = false;

	for (struct listener *l = ls->first; l != NULL; l = l->next) {
		if (a->kind == ADDRESS_UNIX || a->port == 0 || l->passed ||
		    l->bound.kind != a->kind || l->bound.port != a->port ||
		    strcmp(l->app, app) != 0)
			continue;
		for (size_t i = 0; i < l->n_lanes; i++)
			socket_let_beside(l->lanes[i].fd, on);
		any = true;
	}
	return any;
}

/* Bound, and listening unless `bind_only`. */
static int
open_socket(struct listeners *ls, struct listener *l,
    const struct address *address, const struct socket_options *options,
    struct error *err)
{
	struct socket_options o = *options;
	int code;

	/* First alone: a stranger on the port is found out. */
	code = socket_listen(address, &o, &l->lanes[0].fd, &l->bound,
	    &l->file, err);
	if (code == -EADDRINUSE && make_room(ls, l->app, address, true)) {
		error_clear(err);
		o.beside = true;
		code = socket_listen(address, &o, &l->lanes[0].fd, &l->bound,
		    &l->file, err);
		(void)make_room(ls, l->app, address, false);
	}
	l->listening = code == 0 && !o.bind_only;
	return code;
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
		return open_socket(ls, l, &l->address, &options, err);

	l->passed = l->listening = true;
	l->lanes[0].fd = fd;
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
	char *name = address_format_numeric(&l->bound);
	unsigned most = socket_somaxconn();

	log_info("%s: listening on %s%s%s", app->name,
	    l->bound.kind == ADDRESS_UDP ? "udp:" :
	    l->bound.kind == ADDRESS_UNIX ? "unix:" : "",
	    name != NULL ? name : "?",
	    l->passed ? " (socket passed by the supervisor above)" : why);
	if (!l->passed && !l->derived &&
	    l->address.host == ADDRESS_HOST_ANY &&
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

/* TCP: begin to listen on all lanes. The kernel looks for conflicts again. */
static int
start_lanes(struct listener *l)
{
	int code = 0;

	if (l->bound.kind != ADDRESS_TCP)
		return 0;
	(void)make_room(l->all, l->app, &l->bound, true);
	for (size_t i = 0; code == 0 && i < l->n_lanes; i++)
		code = socket_start_listening(l->lanes[i].fd, l->backlog);
	(void)make_room(l->all, l->app, &l->bound, false);
	return code;
}

static void
stop_watching(struct listener *l)
{
	for (size_t i = 0; i < l->n_lanes; i++)
		loop_del(l->all->loop, &l->lanes[i].hangup);
}

/*
 * A worker has called shutdown(2) on a lane, which ends the listening for all
 * who share it; some servers do when they stop. What waited in the queue is
 * lost, but the port is there again at once.
 */
static void
lane_hangup(void *ctx, uint32_t events)
{
	struct listener *l = ctx;
	struct mono now = mono_now();
	char *name = address_format_numeric(&l->bound);
	int code = start_lanes(l);	/* TCP alone can */

	(void)events;
	if (l->bound.kind == ADDRESS_UNIX) {
		stop_watching(l);
		l->dead = true;
		log_error("%s: a worker has shut down the listener %s: clients "
		    "are refused until %s", l->app, name != NULL ? name : "?",
		    l->passed ? "the supervisor above makes it anew" :
		    "the next reload");
	} else if (code < 0) {
		/* It would hang up for ever; a worker's listen(2) tries. */
		stop_watching(l);
		l->listening = false;
		log_error("%s: a worker has shut down the listener %s, and it "
		    "cannot listen again: %s", l->app,
		    name != NULL ? name : "?", strerror(-code));
	} else if (mono_ms_between(l->told_shut, now) >= TELL_SHUT_MS) {
		l->told_shut = now;
		log_warning("%s: a worker has shut down the listener %s with "
		    "all that waited in its queue; it listens again", l->app,
		    name != NULL ? name : "?");
	}
	free(name);
}

/* Without EPOLLIN: connections wake nobody here. */
static void
watch_lanes(struct listener *l)
{
	if (l->bound.kind == ADDRESS_UDP || !l->listening)
		return;
	for (size_t i = 0; i < l->n_lanes; i++)
		if (loop_add(l->all->loop, l->lanes[i].fd, 0, false,
		    lane_hangup, l, &l->lanes[i].hangup) < 0)
			log_debug("%s: a listener cannot be watched", l->app);
}

static void
enter(struct listeners *ls, struct listener *l)
{
	l->all = ls;
	for (size_t i = 0; i < l->n_lanes; i++)
		l->lanes[i].ino = socket_inode(l->lanes[i].fd);
	listener_file_watch(l);
	watch_lanes(l);
	l->next = ls->first;
	ls->first = l;
}

static int
begin(struct listener *l, const struct conf_app *app, const char *why,
    struct error *err)
{
	int code;

	if (l->listening)
		return 0;
	code = start_lanes(l);
	if (code < 0) {
		char *name = address_format(&l->bound);

		error_set(err, code, "cannot listen on %s: %s",
		    name != NULL ? name : "?", strerror(-code));
		free(name);
		return code;
	}
	l->listening = true;
	watch_lanes(l);
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
		enter(ls, l);
		announce(l, app, "");
	}
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
	belong_to(l, app, position);
	/* It may be one that the last generation's program did not serve. */
	if (begin(l, app, "", &err) < 0)
		log_error("%s: %s", app->name, error_text(&err));
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

int
listeners_derive(struct listeners *ls, const struct conf_app *app,
    size_t position, const struct address *target,
    struct listener **ret_listener, struct error *err)
{
	struct socket_options options = options_of(app);
	struct listener *l = find_bound(ls, app, position, target);
	int code;

	if (l == NULL) {
		l = listener_new(app, position);
		if (l == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		options.bind_only = target->kind == ADDRESS_TCP;
		code = open_socket(ls, l, target, &options, err);
		if (code < 0) {
			listener_free(l);
			return code;
		}
		l->beside = l->derived = true;
		l->listening = false;	/* UDP: not announced yet */
		enter(ls, l);
	}
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
listener_suspend(struct listener *l)
{
	if (!l->listening || l->passed || l->bound.kind != ADDRESS_TCP)
		return;
	stop_watching(l);
	l->listening = false;
	for (size_t i = 0; i < l->n_lanes; i++)
		socket_refuse(l->lanes[i].fd);
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

static void
shut(struct listener *l)
{
	/* Workers keep the file, and with it what epoll knows of it. */
	stop_watching(l);
	listener_file_unwatch(l);
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

		if (l->listening)
			log_info("%s: no longer listening on %s", l->app,
			    name != NULL ? name : "?");
		free(name);
	}
	stop_watching(l);	/* the hangup below is our own */
	/* Workers may still hold it, without a thought of accepting. */
	if (l->forsaken && !l->passed && l->bound.kind == ADDRESS_TCP)
		for (size_t i = 0; i < l->n_lanes; i++)
			socket_refuse(l->lanes[i].fd);
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

	l->backlog = app->backlog;
	if (l->passed || !l->listening || l->lanes[0].fd < 0)
		return;
	/* A worker that ends may have removed it just now. */
	listener_restore_path(l);
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
