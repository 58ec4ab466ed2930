#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_holder.h"
#include "daemon/sockets/listener_keep.h"
#include "daemon/sockets/listener_ledger.h"
#include "daemon/sockets/listener_new.h"
#include "daemon/sockets/listener_open.h"
#include "linux/socket/socket_limits.h"
#include "linux/socket/unix_socket.h"

/* So many sockets in the place of ones that were shut down, in such a time. */
#define RENEWALS_MAX 10
#define RENEWALS_MS 60000

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

static long
instance_of(const struct conf_app *app, size_t position)
{
	return app->is_view && conf_listen_is_own(app, position) ?
	    (long)app->view_instance : -1;
}

/* For the place of the configuration. */
static struct listener *
new_for(const struct conf_app *app, size_t position)
{
	struct listener *l = listener_new(app->name, &app->listens[position]);

	if (l == NULL)
		return NULL;
	l->position = position;
	l->instance = instance_of(app, position);
	l->backlog = app->backlog;
	l->options = options_of(app);
	return l;
}

bool
listener_awaits_server(const struct listener *l, const struct conf_app *app)
{
	return app->handoff == CONF_HANDOFF_ADOPT && !l->inherited &&
	    l->address.kind != ADDRESS_UDP;
}

/* Bound. */
static int
open_socket(struct listeners *ls, struct listener *l,
    const struct address *address, const struct socket_options *options,
    struct error *err)
{
	struct socket_options o = *options;
	int fd = -1;
	int code;

	o.bind_only = true;
	o.group = true;
	balancing_note_cgroup(&ls->balancing);
	listener_ledger_count(ls);
	/* First alone: a stranger on the port is found out. */
	code = socket_listen(address, &o, &fd, &l->bound, &l->file, err);
	if (code == -EADDRINUSE &&
	    lanes_sockets_make_room(ls, l->app, address, l, true)) {
		error_clear(err);
		o.beside = true;
		o.over = address->kind == ADDRESS_UDP;
		code = socket_listen(address, &o, &fd, &l->bound, &l->file,
		    err);
		(void)lanes_sockets_make_room(ls, l->app, address, l, false);
	}
	if (code == -EADDRINUSE)
		listener_holder_tell(address, ls->running, err);
	lanes_sockets_set_first(l, fd, true);
	return code;
}

/* What can be set of a socket that is bound already. */
static void
set_passed(struct listener *l, int fd)
{
	struct address_options there = { .mark = 0 };
	const char *what = "";
	int code = 0;

	l->bound.options = l->address.options;
	if (l->bound.kind != ADDRESS_UNIX)
		code = socket_set_options(fd, &l->address.options, false,
		    &what);
	socket_wishes(fd, &there);
	if (code == 0 && l->address.options.transparent &&
	    !there.transparent) {
		code = -EINVAL;
		what = "transparent";
	}
	if (code < 0)
		log_app(LOG_LEVEL_WARNING, l->app, "the socket of %s is passed "
		    "by the supervisor above, which would have to set %s",
		    address_text(&l->bound).s, what);
}

/* A socket that the supervisor above us holds for this address, or a new
   one. */
static int
open_lane(struct listeners *ls, struct listener *l, const struct conf_app *app,
    struct error *err)
{
	struct socket_options options = options_of(app);
	int fd = -1;
	int code = listen_fds_take(&ls->inherited, &l->address, &fd, err);

	if (code < 0 && code != -ENOENT)
		return code;
	if (fd < 0) {
		/* A Unix listener begins when it stands in the ledger. */
		options.hold = listener_awaits_server(l, app) ||
		    l->address.kind == ADDRESS_UNIX;
		return open_socket(ls, l, &l->address, &options, err);
	}
	l->inherited = true;
	lanes_sockets_set_first(l, fd, false);
	code = socket_address(fd, &l->bound);
	if (code < 0)
		return error_set(err, code, "socket passed in LISTEN_FDS: %s",
		    strerror(-code));
	set_passed(l, fd);
	return socket_adjust(fd, &l->bound, &l->file, &options, err);
}

/* With `port` it is the server's own wish, and so is an interface; with `listen`
   an address of the file in the family of the server's sockets. */
static const char *
why_derived(const struct listener *l, const struct conf_app *app)
{
	if ((l->position == 0 && app->has_port) ||
	    strcmp(l->bound.options.interface,
	    l->address.options.interface) != 0)
		return " (as its program asks for)";
	return l->bound.host == ADDRESS_HOST_IPV4 ?
	    " (for its program's IPv4 sockets)" :
	    l->bound.host == ADDRESS_HOST_IPV6 ?
	    " (for its program's IPv6 sockets)" :
	    " (for its program's sockets of both families)";
}

static void
announce(const struct listener *l, const struct conf_app *app, bool asked_for)
{
	const struct address_text name = address_text_numeric(&l->bound);
	const char *interface = l->bound.options.interface;
	unsigned most = socket_somaxconn();

	log_app_often(LOG_LEVEL_INFO, app->name, "listening on %s%s%s%s%s",
	    listener_scheme(l), name.s,
	    *interface != '\0' ? " interface=" : "", interface, l->inherited ?
	    " (socket passed by the supervisor above)" :
	    asked_for && l->derived ? why_derived(l, app) : "");
	if (!l->inherited && !l->derived &&
	    l->address.host == ADDRESS_HOST_ANY &&
	    l->address.kind != ADDRESS_UNIX &&
	    l->bound.host == ADDRESS_HOST_IPV4)
		log_app(LOG_LEVEL_WARNING, app->name,
		    "there is no IPv6 here, %s serves IPv4 alone", name.s);
	if (most > 0 && app->backlog > most &&
	    l->bound.kind != ADDRESS_UDP)
		log_app(LOG_LEVEL_WARNING, app->name,
		    "the kernel cuts backlog %u to %u, "
		    "raise net.core.somaxconn", app->backlog, most);
}

enum balance
listener_balance(const struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts)
{
	/* One socket is all that was passed. */
	if (l->inherited)
		return BALANCE_SHARED;
	return balancing_choose(&l->all->balancing, app, l->bound.kind,
	    accepts);
}

static int
set_balance(struct listener *l, enum balance balance, struct error *err)
{
	int code;

	if (balance == l->lanes.balance)
		return 0;
	code = lanes_program_set_balance(l, balance, err);
	if (code == 0)
		lanes_sockets_close_group(l);
	return code;
}

/* What is not asked for by name need not be. */
static int
put_in_force(struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts, struct error *err)
{
	enum balance balance = listener_balance(l, app, accepts);
	struct error why = ERROR_INIT;
	int code;

	/* Of one instance: its worker, and the next one's. */
	lanes_program_expect(l, l->instance >= 0 ? 2 :
	    conf_app_instances(app, 1));
	code = set_balance(l, balance, &why);
	if (code == 0)
		return 0;
	if (app->balance == CONF_BALANCE_AUTO) {
		/* By turns it was put for the same reason. */
		enum balance instead =
		    l->lanes.balance == BALANCE_ROUND_ROBIN ?
		    BALANCE_ROUND_ROBIN : BALANCE_RANDOM;

		log_app(LOG_LEVEL_WARNING, app->name,
		    "balance = %s failed, it is %s now: %s",
		    balance_name(balance), balance_name(instead),
		    error_text(&why));
		code = set_balance(l, instead, err);
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
    bool listens, enum balance_accepts accepts, struct error *err)
{
	l->all = ls;
	l->next = ls->first;
	ls->first = l;
	if (l->inherited && app->balance != CONF_BALANCE_AUTO &&
	    app->balance != CONF_BALANCE_SHARED)
		log_app(LOG_LEVEL_WARNING, app->name,
		    "its socket is passed by the supervisor above, and so it "
		    "is shared: balance does not apply");
	listener_ledger_note(l);
	lanes_sockets_enter(l, listens);
	listener_file_watch(l);
	return put_in_force(l, app, accepts, err);
}

int
listener_begin(struct listener *l, const struct conf_app *app, bool asked_for,
    struct error *err)
{
	int code;

	if (l->listening && !l->quiet)
		return 0;
	code = l->quiet && l->listening ? 0 : lanes_sockets_start(l);
	lanes_sockets_hear(l);
	if (code < 0)
		return error_set(err, code, "cannot listen on %s: %s",
		    address_text(&l->bound).s, strerror(-code));
	/* At a stop it was only tried. */
	if (!l->refuses)
		announce(l, app, asked_for);
	return 0;
}

int
listener_try(struct listener *l, const struct conf_app *app, struct error *err)
{
	int code = l->listening ? 0 : lanes_sockets_start_quietly(l);

	if (code == -EADDRINUSE)
		return error_set(err, code, "cannot listen on %s: %s",
		    address_text(&l->bound).s, strerror(-code));
	/* Where nobody can be kept from it, it is open a little too early. */
	return code < 0 ? listener_begin(l, app, true, err) : 0;
}

void
listener_hide(struct listener *l)
{
	listener_file_unwatch(l);
	if (!l->inherited && listener_is_open(l))
		socket_unlink(&l->bound, &l->file);
}

void
listener_shut(struct listener *l)
{
	/* The file first: whoever finds the path then can still connect. */
	if (listener_keep(l) || l->stored)
		listener_file_unwatch(l);
	else
		listener_hide(l);
	lanes_sockets_close(l);
	listener_ledger_end(l);
}

static void
leave_list(struct listener *l)
{
	struct listener **p = &l->all->first;

	while (*p != l)
		p = &(*p)->next;
	*p = l->next;
}

void
listener_discard(struct listener *l)
{
	leave_list(l);
	listener_shut(l);
	listener_free(l);
}

int
listener_open(struct listeners *ls, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err)
{
	struct listener *l = new_for(app, position);
	int code;

	if (l == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = open_lane(ls, l, app, err);
	if (code < 0) {
		listener_free(l);
		return code;
	}
	code = enter(ls, l, app, l->inherited ||
	    l->bound.kind == ADDRESS_UDP, BALANCE_ACCEPTS_UNKNOWN, err);
	if (code == 0 && l->listening)
		announce(l, app, false);
	else if (code == 0 && !listener_awaits_server(l, app))
		code = listener_begin(l, app, false, err);
	if (code < 0)
		listener_discard(l);
	else
		*ret_listener = l;
	return code;
}

int
listener_open_beside(struct listeners *ls, const struct conf_app *app,
    size_t position, const struct address *target,
    enum balance_accepts accepts, struct listener **ret_listener,
    struct error *err)
{
	const struct socket_options options = options_of(app);
	struct listener *l = new_for(app, position);
	int code;

	if (l == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = open_socket(ls, l, target, &options, err);
	if (code < 0) {
		listener_free(l);
		return code;
	}
	l->beside = l->derived = true;
	/* UDP listens, but is not announced yet. */
	code = enter(ls, l, app, false, accepts, err);
	if (code < 0)
		listener_discard(l);
	else
		*ret_listener = l;
	return code;
}

void
listener_belong(struct listener *l, const struct conf_app *app, size_t position)
{
	char *name = strcmp(l->app, app->name) == 0 ? NULL :
	    strdup(app->name);

	l->position = position;
	l->instance = instance_of(app, position);
	if (name != NULL) {
		free(l->app);
		l->app = name;
	}
	listener_ledger_note(l);
}

/* What the file says of it by now; the interface is its address. */
static void
adjust_options(struct listener *l, const struct conf_app *app)
{
	const struct address_options *written =
	    &app->listens[l->position].options;
	const char *what = "";
	int all = 0;

	if (l->bound.kind == ADDRESS_UNIX || (
	    l->address.options.mark == written->mark &&
	    l->address.options.defer_accept == written->defer_accept &&
	    l->address.options.fastopen == written->fastopen))
		return;
	lanes_heal_forget_new(l);
	l->address.options.mark = l->bound.options.mark = written->mark;
	l->address.options.defer_accept = l->bound.options.defer_accept =
	    written->defer_accept;
	l->address.options.fastopen = l->bound.options.fastopen =
	    written->fastopen;
	listener_ledger_note(l);
	for (size_t i = 0; i < l->lanes.n && all == 0; i++)
		if (l->lanes.v[i]->fd >= 0)
			all = socket_set_options(l->lanes.v[i]->fd, written,
			    true, &what);
	if (all < 0)
		log_app(LOG_LEVEL_WARNING, app->name, "cannot change %s of %s: "
		    "%s", what, address_text(&l->bound).s, strerror(-all));
}

/*
 * Mode and owner of the file are put in force when the configuration says
 * others than before, and not at every reload: between that they are its
 * server's, which may have set its own.
 */
static int
adjust_unix(struct listener *l, const struct conf_app *app, struct error *err)
{
	const struct socket_options options = options_of(app);
	const struct socket_file none = { .ino = 0 };
	bool same = options.mode == l->options.mode &&
	    options.uid == l->options.uid && options.gid == l->options.gid;
	int code = socket_adjust(listener_first_lane(l)->fd, &l->bound,
	    same ? &none : &l->file, &options, err);

	/* What failed is tried again at the next reload. */
	if (code == 0)
		l->options = options;
	return code;
}

static void
adjust(struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts, bool as_it_was)
{
	struct error err = ERROR_INIT;
	int code = 0;

	as_it_was = as_it_was && l->backlog == app->backlog &&
	    l->bound.kind != ADDRESS_UNIX;
	l->backlog = app->backlog;
	if (l->inherited || !listener_is_open(l))
		return;
	adjust_options(l, app);
	/* The rest comes when it listens. */
	if (!l->listening)
		return;
	/* A worker that ends may have removed it just now. */
	listener_file_restore(l);
	if (!as_it_was)
		code = l->bound.kind != ADDRESS_UNIX ?
		    lanes_sockets_adjust(l) : adjust_unix(l, app, &err);
	listener_ledger_note(l);
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
listener_adjust(struct listener *l, const struct conf_app *app,
    enum balance_accepts accepts)
{
	adjust(l, app, accepts, false);
}

/* Those who came by the old file are still served. */
static void
note_old_file(struct listener *l)
{
	if (l->n_old_files == LISTENER_OLD_FILES) {
		memmove(l->old_files, l->old_files + 1,
		    (LISTENER_OLD_FILES - 1) * sizeof(l->old_files[0]));
		l->n_old_files--;
	}
	l->old_files[l->n_old_files++] = l->file.ino;
}

/* By one that shuts it down whenever it is ready, say: there would be no end of
   replacing those who are deaf then. */
static bool
is_renewed_too_often(struct listener *l)
{
	struct mono now = mono_now();

	if (l->renewals == 0 ||
	    mono_ms_between(l->renewing_since, now) >= RENEWALS_MS) {
		l->renewals = 0;
		l->renewing_since = now;
	}
	return ++l->renewals > RENEWALS_MAX;
}

/* Mode and owner as the old file has them, which its server may have set; where
   that is not permitted, as they are configured. */
static int
listen_again(struct listener *l, int *ret_fd, struct socket_file *ret_file,
    struct error *err)
{
	struct socket_options worn = l->options;
	struct address bound = { .kind = ADDRESS_UNIX };
	int code;

	worn.backlog = l->backlog;
	worn.hold = true;
	unix_socket_worn(l->bound.path, &l->file, &worn);
	socket_unlink(&l->bound, &l->file);
	code = socket_listen(&l->bound, &worn, ret_fd, &bound, ret_file, err);
	if (code == -EPERM) {
		struct socket_options said = l->options;

		said.hold = true;
		error_clear(err);
		code = socket_listen(&l->bound, &said, ret_fd, &bound,
		    ret_file, err);
	}
	address_free(&bound);
	return code;
}

int
listener_renew(struct listener *l, struct error *err)
{
	struct socket_file file;
	int fd = -1, code;

	if (is_renewed_too_often(l))
		return error_set(err, -EBUSY, "%s has been shut down more than "
		    "%d times in a minute, and stays so until the next reload",
		    l->bound.path, RENEWALS_MAX);
	listener_file_unwatch(l);
	code = listen_again(l, &fd, &file, err);
	if (code < 0)
		return code;
	note_old_file(l);
	l->file = file;
	listener_ledger_note(l);
	code = lanes_sockets_renew_first(l, fd);
	if (code < 0)
		return error_set(err, code, "cannot listen on %s: %s",
		    address_text(&l->bound).s, strerror(-code));
	listener_file_watch(l);
	return 0;
}

void
listener_take_place(struct listener *l)
{
	l->beside = false;
	listener_ledger_note(l);
}

int
listener_resume(struct listener *l, const struct conf_app *app, size_t position,
    struct error *err)
{
	bool listens = l->listening;
	int code;

	listener_belong(l, app, position);
	code = put_in_force(l, app, BALANCE_ACCEPTS_UNKNOWN, err);
	if (code == 0 && !listener_awaits_server(l, app))
		code = listener_begin(l, app, false, err);
	if (code < 0)
		return code;
	if (listens)
		announce(l, app, false);
	/* So many system calls for each lane, for nothing. */
	adjust(l, app, BALANCE_ACCEPTS_UNKNOWN, true);
	return 0;
}

int
listener_go_on(struct listener *l, const struct conf_app *app,
    size_t position, struct error *err)
{
	int code = 0;

	if (l->refs > 0)
		return 0;
	listener_belong(l, app, position);
	/* To one that refuses nobody comes any more. */
	if (!l->refuses)
		code = put_in_force(l, app, BALANCE_ACCEPTS_UNKNOWN, err);
	return code;
}
