#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/conf/conf_diff.h"
#include "core/sockets/adoption.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_door.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener_again.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_keep.h"
#include "daemon/sockets/listener_kept.h"
#include "daemon/sockets/listener_ledger.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/sockets/listeners.h"
#include "linux/child/fd_store.h"
#include "linux/keeper/keeper_share.h"
#include "linux/socket/unix_socket.h"

void
listeners_init(struct listeners *ls, struct loop *loop)
{
	ls->loop = loop;
	listener_file_open(ls);
	balancing_init(&ls->balancing);
}

void
listeners_fini(struct listeners *ls)
{
	listener_again_close(ls);
	listener_file_close(ls);
	balancing_fini(&ls->balancing);
}

void
listeners_run(struct listeners *ls)
{
	ls->running = true;
}

void
listeners_keep(struct listeners *ls, struct fd_store *store)
{
	ls->store = store;
}

void
listeners_stop(struct listeners *ls)
{
	ls->stops = true;
	if (ls->store != NULL)
		fd_store_begin(ls->store);
}

void
listeners_take_kept(struct listeners *ls, const struct config *config,
    struct fd_store *store)
{
	listener_kept_all(ls, config, store);
}

void
listeners_kept_unused(struct listeners *ls)
{
	listener_kept_unused(ls);
}

void
listeners_told_kept(struct listeners *ls, struct fd_store *store)
{
	listener_kept_told(ls, store);
	keeper_note_store_told();
}

void
listeners_on_news(struct listeners *ls,
    void (*fn)(void *ctx, struct listener *l), void *ctx)
{
	ls->tell = fn;
	ls->tell_ctx = ctx;
}

void
listeners_on_clients(struct listeners *ls,
    void (*fn)(void *ctx, const struct lane *lane), void *ctx)
{
	ls->came = fn;
	ls->came_ctx = ctx;
}

void
listeners_on_death(struct listeners *ls,
    enum listener_fate (*fn)(void *ctx, struct listener *l), void *ctx)
{
	ls->died = fn;
	ls->died_ctx = ctx;
}

int
listeners_inherit(struct listeners *ls, size_t *ret_unusable)
{
	return listen_fds_collect(keeper_pid(), keeper_had_fd, &ls->inherited, ret_unusable);
}

void
listeners_disinherit(struct listeners *ls,
    void (*fn)(const struct address *unused))
{
	listen_fds_close(&ls->inherited, fn);
	listener_again_end(ls);
}

int
listeners_look_back(struct listeners *ls, struct ledger *ledger,
    struct error *err)
{
	return listener_again_look_back(ls, ledger, err);
}

int
listeners_look_back_or_inherit(struct listeners *ls, struct ledger *ledger,
    size_t *ret_unusable)
{
	struct error err = ERROR_INIT;
	int again = ledger != NULL ? listeners_look_back(ls, ledger, &err) : 0;

	if (again < 0)
		log_error("%s: starting anew", error_text(&err));
	error_clear(&err);
	/* Whoever takes over what the store has kept gives it other numbers: what is
	   still there the supervisor before has not come to. */
	return listeners_inherit(ls, again > 0 ? NULL : ret_unusable);
}

void
listeners_take_over(struct listeners *ls, struct descriptors *left)
{
	listener_again_all(ls, left);
}

void
listeners_on_leaving(struct listeners *ls,
    bool (*leaves)(void *ctx, const char *app), void *ctx)
{
	ls->leaves = leaves;
	ls->leaves_ctx = ctx;
}

/* The workers of that app do, and nobody comes after them. */
static bool
app_leaves(const struct listeners *ls, const char *app)
{
	return ls->leaves != NULL && ls->leaves(ls->leaves_ctx, app);
}

/* It may be an app's that leaves, and that has not taken it over yet. */
static bool
refuses_for_good(const struct listener *l)
{
	return l->refuses && l->refs > 0;
}

/* For the same place of the configuration, and open. */
static bool
is_for(const struct listener *l, const struct conf_app *app, size_t position)
{
	return listener_is_open(l) && !refuses_for_good(l) &&
	    conf_same_listener(l->app, l->position, &l->address, app->name,
	    position, &app->listens[position]);
}

/*
 * What cannot be mended and has to be opened anew: a Unix listener whose file
 * is gone, with both its names, or that was shut down; a TCP lane that a worker
 * has connected to somewhere while it was not listening.
 */
static bool
is_lost(const struct listener *l)
{
	if (l->inherited)
		return false;
	if (l->refuses)
		return l->refs > 0;
	if (l->bound.kind == ADDRESS_UNIX)
		return l->dead || unix_socket_restore(l->bound.path,
		    &l->file) == -ENOENT;
	return l->bound.kind == ADDRESS_TCP && !l->listening &&
	    socket_is_connected(listener_first_lane(l)->fd);
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

int
listeners_acquire(struct listeners *ls, const struct conf_app *app,
    size_t position, struct listener **ret_listener, struct error *err)
{
	struct listener *l = find(ls, app, position);
	int code = 0;

	if (app_leaves(ls, app->name))
		code = l != NULL ? listener_go_on(l, app, position, err) : 0;
	else if (l == NULL)
		code = listener_open(ls, app, position, &l, err);
	else if (l->refs == 0)
		code = listener_resume(l, app, position, err);
	if (code < 0)
		return code;
	if (l != NULL)
		l->refs++;
	*ret_listener = l;
	return 0;
}

/* Will its workers share the first lane, as far as is known by now? */
static bool
may_share(const struct conf_app *app)
{
	return app->balance == CONF_BALANCE_SHARED ||
	    app->balance == CONF_BALANCE_AUTO;
}

void
listener_enlist(struct listener *l, const struct conf_app *app,
    size_t position)
{
	struct error err = ERROR_INIT;

	/* Of an app that leaves: nobody comes to it any more. */
	if (l->refuses)
		return;
	l->forsaken = false;
	if (l->door_closed) {
		if (l->door_filter)
			lanes_door_open(l, may_share(app));
		l->door_closed = l->door_filter = false;
		if (l->listening)
			(void)lanes_sockets_start(l);
	}
	listener_belong(l, app, position);
	/* It may be one that the last generation's program did not serve. */
	if (!listener_awaits_server(l, app) &&
	    listener_begin(l, app, false, &err) < 0)
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

int
listeners_derive(struct listeners *ls, const struct conf_app *app,
    size_t position, const struct address *target,
    enum balance_accepts accepts, struct listener **ret_listener,
    struct error *err)
{
	struct listener *l = find_bound(ls, app, position, target);
	int code = l != NULL ? 0 : listener_open_beside(ls, app, position,
	    target, accepts, &l, err);

	if (code < 0)
		return code;
	listener_reclaim(l);
	l->refs++;
	*ret_listener = l;
	return 0;
}

struct listener *
listeners_claim_beside(struct listeners *ls, const struct conf_app *app,
    size_t position)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next) {
		if (l->refs > 0 || !l->beside || !is_for(l, app, position))
			continue;
		listener_belong(l, app, position);
		if (!l->refuses)
			listener_adjust(l, app, BALANCE_ACCEPTS_UNKNOWN);
		l->refs++;
		return l;
	}
	return NULL;
}

static void
door_is_closed(struct listener *l, bool filter)
{
	bool was_closed = l->door_closed;

	l->door_closed = true;
	l->door_filter = filter;
	lanes_close_free(l);
	/* What was only tried was not announced either. */
	if (!was_closed && !l->quiet)
		log_app(LOG_LEVEL_INFO, l->app,
		    "no longer listening on %s%s, but for those who are there",
		    listener_scheme(l), address_text_numeric(&l->bound).s);
}

/* Its clients are the next start's; where no lane is to be had for them, as long as a
   worker takes none of them. */
static bool
waits_for_next(struct listener *l)
{
	if (!listener_is_to_be_kept(l))
		return false;
	if (l->bound.kind != ADDRESS_UNIX && l->lanes.waiting == NULL)
		(void)lanes_door_wait(l);
	return true;
}

void
listener_close_door(struct listener *l)
{
	if (waits_for_next(l))
		return;
	if (l->door_closed || !l->listening || l->inherited ||
	    l->bound.kind == ADDRESS_UNIX)
		return;
	door_is_closed(l, lanes_door_close(l) == 0);
}

void
listener_refuse(struct listener *l)
{
	if (l->refuses || l->inherited || !l->listening)
		return;
	if (waits_for_next(l))
		return;
	if (l->bound.kind == ADDRESS_UNIX)
		listener_hide(l);
	else if (lanes_door_refuse_new(l) < 0) {
		listener_close_door(l);
		return;
	}
	l->refuses = true;
	listener_ledger_note(l);
	door_is_closed(l, true);
}

void
listener_suspend(struct listener *l)
{
	if (l->listening)
		lanes_sockets_refuse(l);
}

void
listener_untry(struct listener *l)
{
	if (!l->quiet)
		return;
	lanes_sockets_refuse(l);
	lanes_sockets_hear(l);
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
	if (listener_is_open(l) && l->listening && !l->door_closed &&
	    !l->quiet && !listener_is_to_be_kept(l))
		log_app_often(LOG_LEVEL_INFO, l->app, "no longer listening on %s%s",
		    listener_scheme(l), address_text_numeric(&l->bound).s);
	/* Workers may still hold it, without a thought of accepting. */
	if (l->forsaken)
		lanes_sockets_refuse(l);
	listener_discard(l);
}

void
listeners_shut(struct listeners *ls)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		listener_shut(l);
}

void
listener_forsake(struct listener *l)
{
	l->forsaken = true;
	listener_ledger_note(l);
}

void
listener_reclaim(struct listener *l)
{
	l->forsaken = false;
	listener_ledger_note(l);
}

void
listener_note_seen(struct listener *l, pid_t pid)
{
	l->seen_pid = pid;
}

void
listeners_leave(struct listeners *ls, const struct lane_holder *holder)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		lanes_leave(l, holder);
}

void
listeners_rejoin(struct listeners *ls, const struct lane_holder *holder)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		lanes_rejoin(l, holder);
}

void
listeners_rejoined(struct listeners *ls)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		lanes_rejoined(l);
}
