#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/conf/conf_diff.h"
#include "core/conf/conf_instance.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_records.h"
#include "core/sockets/lane_name.h"
#include "daemon/sockets/lanes_again.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_kept.h"
#include "daemon/sockets/listener_ledger.h"
#include "daemon/sockets/listener_new.h"
#include "daemon/sockets/listener_open.h"
#include "linux/child/fd_store.h"
#include "linux/keeper/keeper_share.h"
#include "linux/socket/listen_fds.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"
#include "linux/socket/socket_kept.h"

/* A socket, what its name says, and where it is bound. */
struct found {
	int fd;
	const char *text;
	struct lane_name name;
	struct address bound;
	uint64_t ino;
	bool taken;		/* a lane has it, by another number */
};

struct all_found {
	struct found *v;
	size_t n;
	bool wait;		/* it is to have let go of some */
};

/* ---- what there is ---- */

/* Is it the one that its name is about? */
static bool
is_named_so(const struct lane_name *n, const struct address *bound)
{
	if (n->is_unix || bound->kind == ADDRESS_UNIX)
		return n->is_unix && bound->kind == ADDRESS_UNIX;
	return n->written.kind == bound->kind && bound->port != 0 &&
	    (n->written.port == 0 || n->written.port == bound->port) &&
	    strcmp(n->written.options.interface,
	    bound->options.interface) == 0;
}

/* NULL: it is one; or why it is none. */
static const char *
look(const struct kept_fd *kept, struct found *f)
{
	char interface[sizeof(f->bound.options.interface)] = "";
	const char *why = NULL;

	f->fd = kept->fd;
	f->text = kept->name;
	if (lane_name_get(kept->name, &f->name) < 0)
		return "its name says nothing";
	if (socket_address(f->fd, &f->bound) < 0)
		return "it is no socket that an app can listen on";
	if (f->bound.kind != ADDRESS_UNIX)
		(void)socket_interface(f->fd, interface);
	f->bound.options = f->name.written.options;
	memcpy(f->bound.options.interface, interface, sizeof(interface));
	f->ino = socket_inode(f->fd);
	if (!is_named_so(&f->name, &f->bound))
		why = "it is bound elsewhere";
	else
		(void)socket_kept_is_ours(f->fd, &f->bound, &why);
	if (why != NULL)
		address_free(&f->bound);
	return why;
}

static int
compare_listeners(const struct found *x, const struct found *y)
{
	int order = strcmp(x->name.app, y->name.app);

	if (x->name.listener != y->name.listener)
		return x->name.listener < y->name.listener ? -1 : 1;
	if (order == 0 && x->name.is_unix == y->name.is_unix)
		order = address_compare(&x->name.written, &y->name.written);
	return order != 0 ? order : address_compare(&x->bound, &y->bound);
}

/* By listener; the first one of each is where everybody comes, the others as they came
   themselves. */
static int
compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;
	int order = compare_listeners(x, y);

	if (order != 0)
		return order;
	if (x->name.live != y->name.live)
		return x->name.live ? -1 : 1;
	if (x->name.joined != y->name.joined)
		return x->name.joined < y->name.joined ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* By another name; or a lane has it, of a supervisor that was killed just then. */
static bool
is_known(const struct listeners *ls, const struct all_found *all, uint64_t ino)
{
	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].ino == ino)
			return true;
	for (const struct listener *l = ls->first; l != NULL; l = l->next)
		for (size_t i = 0; i < l->lanes.n; i++)
			if (l->lanes.v[i]->ino == ino)
				return true;
	return false;
}

/* While it does not, the socket goes on listening, and nobody serves it. */
static void
let_go(struct fd_store *store, const char *name)
{
	int code = fd_store_remove(store, name);

	if (code < 0)
		log_own_often(LOG_LEVEL_WARNING, "the supervisor above has not "
		    "been told to let go of %s: %s; its clients may wait for "
		    "nobody", name, strerror(-code));
}

/* Its clients are refused at once; its port is free when the store has let go of it,
   too. */
static void
close_one(struct all_found *all, struct found *f, struct fd_store *store)
{
	struct address bound;

	if (f->fd < 0)
		return;
	all->wait = true;
	if (socket_address(f->fd, &bound) == 0) {
		if (bound.kind == ADDRESS_TCP)
			socket_refuse(f->fd);
		address_free(&bound);
	}
	socket_close(&f->fd);
	let_go(store, f->text);
}

static struct all_found
find_all(struct listeners *ls, struct fd_store *store)
{
	struct listen_fds *from = &ls->inherited;
	struct all_found all = {
		.v = calloc(from->n_kept + 1, sizeof(*all.v)),
	};

	for (size_t i = 0; all.v != NULL && i < from->n_kept; i++) {
		struct found *f = &all.v[all.n];
		const char *why = look(&from->kept[i], f);

		from->kept[i].fd = -1;
		if (why == NULL && !is_known(ls, &all, f->ino)) {
			all.n++;
			continue;
		}
		if (why == NULL) {
			fd_close(&f->fd);
			address_free(&f->bound);
			continue;
		}
		log_warning("what the supervisor above has kept as \"%s\" is "
		    "closed: %s", f->text, why);
		close_one(&all, f, store);
		*f = (struct found){ .fd = -1 };
	}
	if (all.n > 0)
		qsort(all.v, all.n, sizeof(*all.v), compare);
	return all;
}

/* ---- a listener ---- */

static bool
is_at(const struct listener *l, const struct conf_app *app, size_t position)
{
	const struct address *written = &app->listens[position];
	struct address own;
	bool is;

	if (!conf_listen_is_own(app, position))
		return conf_same_listener(l->app, l->position, &l->address,
		    app->name, position, written) ||
		    (strcmp(l->app, app->name) == 0 &&
		    address_equal(&l->bound, written));
	if (l->instance < 0 || conf_listen_of(app->listen_forms[position],
	    (unsigned)l->instance, &own, NULL) < 0)
		return false;
	is = conf_same_listener(l->app, l->position, &l->address, app->name,
	    position, &own);
	address_free(&own);
	return is;
}

static bool
is_wanted(const struct config *config, const struct listener *l)
{
	for (size_t i = 0; i < config->n_apps; i++)
		for (size_t j = 0; j < config->apps[i].n_listens; j++)
			if (is_at(l, &config->apps[i], j))
				return true;
	return false;
}

/* Backlog, mode and owner are what they will be put to. */
static struct listener *
make(const struct found *f)
{
	const struct lane_name *n = &f->name;
	struct listener *l = listener_new(n->app,
	    n->is_unix ? &f->bound : &n->written);

	if (l == NULL || address_copy(&f->bound, &l->bound) < 0) {
		listener_free(l);
		return NULL;
	}
	l->position = n->position;
	l->instance = n->instance;
	l->derived = n->derived;
	l->beside = n->beside;
	if (n->is_unix && !socket_kept_file(f->fd, &l->bound, &l->file)) {
		listener_free(l);
		return NULL;
	}
	return l;
}

/* By numbers of ours: what has one with which the program was started is not for a
   supervisor after us to take over, nor to close. */
static size_t
add_lanes(struct listener *l, struct found *v, size_t n)
{
	size_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		int fd = fcntl(v[i].fd, F_DUPFD_CLOEXEC, 0);
		const struct ledger_lane r = {
			.fd = fd, .ino = v[i].ino,
			.joined = v[i].name.joined,
			.flags = LEDGER_LISTENING |
			    (v[i].name.live ? LEDGER_LIVE : 0U),
		};

		v[i].taken = fd >= 0 &&
		    lanes_again_add(l, &r, LEDGER_NOWHERE) == 0;
		if (v[i].taken)
			taken++;
		else
			fd_close(&fd);
	}
	return taken;
}

static void
take(struct listeners *ls, const struct config *config, struct found *v,
    size_t n)
{
	struct listener *l = make(v);

	if (l == NULL) {
		log_warning("what the supervisor above has kept as \"%s\" is "
		    "closed: nobody finds it there any more", v->text);
		return;
	}
	if (!is_wanted(config, l)) {
		log_warning("no app listens on %s%s any more, which was kept "
		    "from the last time: closed", listener_scheme(l),
		    address_text_numeric(&l->bound).s);
		if (l->bound.kind == ADDRESS_UNIX)
			socket_unlink(&l->bound, &l->file);
		listener_free(l);
		return;
	}
	if (add_lanes(l, v, n) == 0) {
		listener_free(l);
		return;
	}
	l->all = ls;
	l->stored = true;
	l->next = ls->first;
	ls->first = l;
	listener_ledger_note(l);
	lanes_again_begin(l);
	listener_file_watch(l);
	/* They stand in the ledger now. */
	for (size_t i = 0; i < n; i++)
		if (v[i].taken)
			fd_close(&v[i].fd);
	log_app_often(LOG_LEVEL_INFO, l->app, "%s%s was kept from the last "
	    "time, with who waits there", listener_scheme(l),
	    address_text_numeric(&l->bound).s);
}

/* ---- all ---- */

void
listener_kept_all(struct listeners *ls, const struct config *config,
    struct fd_store *store)
{
	struct all_found all;
	size_t n;

	if (ls->inherited.n_kept == 0)
		return;
	fd_store_begin(store);
	all = find_all(ls, store);
	for (size_t i = 0; i < all.n; i += n) {
		n = 1;
		while (i + n < all.n && compare_listeners(&all.v[i],
		    &all.v[i + n]) == 0)
			n++;
		take(ls, config, all.v + i, n);
	}
	for (size_t i = 0; i < all.n; i++) {
		close_one(&all, &all.v[i], store);
		address_free(&all.v[i].bound);
	}
	free(all.v);
	if (all.wait)
		(void)fd_store_await(store);
}

static void
remove_name(void *ctx, const char *name)
{
	let_go(ctx, name);
}

void
listener_kept_unused(struct listeners *ls)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		l->stored &= l->refs > 0;
}

void
listener_kept_told(struct listeners *ls, struct fd_store *store)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		l->stored = false;
	if (!fd_store_is_there(store) || keeper_store_told())
		return;
	fd_store_begin(store);
	listen_fds_each_name(keeper_pid(), remove_name, store);
}
