#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes_founder.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_list.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_ledger.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"
#include "linux/socket/socket_filter.h"

static int start_lane(struct lane *lane, bool beside);

int
lanes_sockets_init(struct listener *l)
{
	int code = lanes_program_reserve(l);

	return code == 0 && lanes_list_add(l) == NULL ? -ENOMEM : code;
}

static void
close_lane(struct lane *lane)
{
	lanes_news_unwatch(lane);
	lanes_program_left(lane, true);
	listener_ledger_forget(lane);
	socket_close(&lane->fd);
}

void
lanes_sockets_close(struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		close_lane(l->lanes.v[i]);
}

void
lanes_sockets_free(struct listener *l)
{
	lanes_sockets_close(l);
	lanes_program_free(l);
	lanes_list_free(l);
}

/* ---- opening ---- */

/* Is SO_REUSEPORT to stay? A lane that is alone goes without, so that nobody
   can join it. */
static bool
is_grouped(const struct listener *l)
{
	return l->lanes.n > 1 || l->lanes.flows != NULL ||
	    (l->lanes.balance != BALANCE_SHARED &&
	    l->bound.kind == ADDRESS_TCP);
}

/* One that refuses for good hinders nobody: whoever has the port next gets the
   clients that come. */
static bool
may_overlap(const struct listener *l, const char *app, const struct address *a)
{
	return a->kind != ADDRESS_UNIX && a->port != 0 && !l->inherited &&
	    l->bound.kind == a->kind && l->bound.port == a->port &&
	    (l->refuses || strcmp(l->app, app) == 0);
}

bool
lanes_sockets_make_room(struct listeners *all, const char *app,
    const struct address *a, const struct listener *but, bool on)
{
	bool any = false;

	for (struct listener *l = all->first; l != NULL; l = l->next) {
		if (l == but || !may_overlap(l, app, a))
			continue;
		any = true;
		if (is_grouped(l) && l->listening)
			continue;	/* they let it anyway */
		for (size_t i = 0; i < l->lanes.n; i++)
			socket_let_beside(l->lanes.v[i]->fd,
			    on || l->lanes.n > 1);
	}
	return any;
}

void
lanes_sockets_close_group(struct listener *l)
{
	if (!listener_is_own_tcp(l) || is_grouped(l))
		return;
	for (size_t i = 0; i < l->lanes.n; i++)
		socket_let_beside(l->lanes.v[i]->fd, false);
}

/* It is in the kernel's group now, as the last one. */
static void
lane_joined(struct lane *lane)
{
	lanes_news_watch(lane);
	lanes_program_joined(lane);
}

/* A socket like the others of the listener; it listens if they do. Datagram
   sockets that workers have connected may have the address too. */
static int
open_another(struct lane *lane, struct error *err)
{
	struct listener *l = lane->listener;
	const struct socket_options options = {
		.bind_only = true, .beside = true, .stays_beside = true,
		.over = l->bound.kind == ADDRESS_UDP,
	};
	struct address bound = { .kind = ADDRESS_TCP };
	struct socket_file file;
	int code = lanes_program_reserve(l);

	if (code < 0)
		return error_set(err, code, "out of memory");
	/* The first one has been alone so far. */
	if (l->lanes.n == 2)
		socket_let_beside(l->lanes.v[0]->fd, true);
	(void)lanes_sockets_make_room(l->all, l->app, &l->bound, l, true);
	balancing_note_cgroup(&l->all->balancing);
	listener_ledger_count(l->all);
	code = socket_listen(&l->bound, &options, &lane->fd, &bound, &file,
	    err);
	if (code == 0) {
		lane->unused = true;
		lane->ino = socket_inode(lane->fd);
		listener_ledger_lane(lane);
	}
	if (code == 0 && lane->deaf) {
		code = socket_ignore_all(lane->fd, true);
		if (code < 0)
			error_set(err, code, "%s", strerror(-code));
	}
	if (code == 0)
		lanes_hush_again(lane);
	if (code == 0 && l->bound.kind == ADDRESS_TCP && l->listening) {
		code = start_lane(lane, true);
		if (code < 0)
			error_set(err, code,
			    "another socket of the listener cannot listen: %s",
			    strerror(-code));
	}
	(void)lanes_sockets_make_room(l->all, l->app, &l->bound, l, false);
	if (code < 0) {
		listener_ledger_forget(lane);
		socket_close(&lane->fd);
		return code;
	}
	address_free(&bound);
	if (l->bound.kind == ADDRESS_UDP)
		lane_joined(lane);
	return 0;
}

static int
add(struct listener *l, bool deaf, struct lane **ret_lane, struct error *err)
{
	struct lane *lane = lanes_list_add(l);
	int code;

	if (lane == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	lane->deaf = deaf;
	code = lanes_program_room(l, err);
	if (code == 0)
		code = open_another(lane, err);
	if (code < 0) {
		/* Still the last one: its slot is free again. */
		lanes_list_remove_last(l);
		return code;
	}
	*ret_lane = lane;
	return 0;
}

int
lanes_sockets_add(struct listener *l, struct lane **ret_lane, struct error *err)
{
	return add(l, false, ret_lane, err);
}

int
lanes_sockets_add_deaf(struct listener *l, struct lane **ret_lane,
    struct error *err)
{
	return add(l, true, ret_lane, err);
}

void
lanes_sockets_undeafen(struct lane *lane)
{
	/* Before that is written down: the next supervisor would leave it as it is. */
	if (lane->fd >= 0)
		(void)socket_ignore_all(lane->fd, false);
	lane->deaf = false;
	listener_ledger_lane(lane);
}

/* Which may have to listen beside others: the kernel lets nobody who has a
   group already (inet_csk_bind_conflict() in net/ipv4). */
static bool
has_neighbour(const struct listener *of)
{
	for (struct listener *l = of->all->first; l != NULL; l = l->next)
		if (l != of && may_overlap(l, of->app, &of->bound))
			return true;
	return false;
}

/*
 * TCP. The first one begins to listen alone, without SO_REUSEPORT: of two
 * programs that start at the same moment one finds the port taken. `beside`:
 * overlapping listeners of ours let it.
 */
static int
start_lane(struct lane *lane, bool beside)
{
	struct listener *l = lane->listener;
	int founder = -1, code = lanes_program_reserve(l);

	if (code < 0)
		return code;
	if (l->lanes.order.n == 0 && !beside && !has_neighbour(l))
		founder = lanes_founder_open(lane);
	lanes_program_joining(lane);
	lane->noted = false;
	if (founder < 0 || lanes_founder_listen(lane, &founder) < 0) {
		socket_let_beside(lane->fd, beside || l->lanes.order.n > 0);
		code = socket_start_listening(lane->fd, l->backlog);
	}
	socket_let_beside(lane->fd, is_grouped(l));
	if (code == 0)
		lane_joined(lane);
	lane->noted = lane->listening && socket_note_listening(lane->fd);
	return code;
}

/* Was it shut down, with the news still to come? Then it listens when they
   have. */
static bool
is_news(const struct lane *lane)
{
	return !lane->listening && lane->hangup != 0;
}

static int
start_all(struct listener *l, bool beside)
{
	int code = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];
		int one = 0;

		if (!lane->listening && !lane->broken && lane->fd >= 0 &&
		    !is_news(lane))
			one = start_lane(lane, beside || i > 0);
		if (code == 0)
			code = one;
	}
	return code;
}

/* One that was only held so far. */
static int
start_unix(struct lane *lane)
{
	int code = 0;

	if (!lane->listening && lane->fd >= 0)
		code = socket_start_listening(lane->fd,
		    lane->listener->backlog);
	if (code == 0 && !lane->listening)
		lane_joined(lane);
	return code;
}

int
lanes_sockets_start(struct listener *l)
{
	int code = 0;

	if (listener_is_own_tcp(l))
		code = start_all(l, false);
	else if (l->bound.kind == ADDRESS_UNIX)
		code = start_unix(listener_first_lane(l));
	if (code == -EADDRINUSE &&
	    lanes_sockets_make_room(l->all, l->app, &l->bound, l, true)) {
		code = start_all(l, true);
		(void)lanes_sockets_make_room(l->all, l->app, &l->bound, l,
		    false);
	}
	if (code == 0)
		l->listening = true;
	return code;
}

int
lanes_sockets_start_quietly(struct listener *l)
{
	int code = 0;

	if (!listener_is_own_tcp(l))
		return -EOPNOTSUPP;
	/* Whatever fails, those that are by then are heard again. */
	l->quiet = true;
	for (size_t i = 0; code == 0 && i < l->lanes.n; i++)
		code = lanes_hush(l->lanes.v[i], true);
	if (code == 0)
		code = lanes_sockets_start(l);
	if (code < 0)
		lanes_sockets_hear(l);
	return code;
}

void
lanes_sockets_hear(struct listener *l)
{
	for (size_t i = 0; l->quiet && i < l->lanes.n; i++)
		(void)lanes_hush(l->lanes.v[i], false);
	l->quiet = false;
}

void
lanes_sockets_set_first(struct listener *l, int fd, bool unused)
{
	l->lanes.v[0]->fd = fd;
	l->lanes.v[0]->unused = unused;
}

void
lanes_sockets_enter(struct listener *l, bool listens)
{
	struct lane *first = l->lanes.v[0];

	l->listening = listens;
	first->ino = socket_inode(first->fd);
	listener_ledger_lane(first);
	/* Room for it is there since lanes_sockets_init(). */
	if (listens || l->bound.kind == ADDRESS_UDP)
		lane_joined(first);
}

int
lanes_sockets_renew_first(struct listener *l, int fd)
{
	struct lane *first = l->lanes.v[0];
	uint32_t old = listener_ledger_part(first);
	int old_fd = fd_take(&first->fd);
	int code;

	lanes_news_unwatch(first);
	first->fd = fd;
	first->unused = false;
	first->ino = socket_inode(fd);
	listener_ledger_lane(first);
	code = socket_start_listening(fd, l->backlog);
	listener_ledger_drop(l, old);
	socket_close(&old_fd);
	if (code == 0)
		lanes_news_watch(first);
	return code;
}

static void
refuse_lane(struct lane *lane)
{
	struct listener *l = lane->listener;

	lanes_news_unwatch(lane);
	/* What else has left, and this one too if it is seen at once. Where new
	   clients are refused, places in the order matter to nobody: at a stop
	   there may be hundreds of lanes, and each is left. */
	if (!l->refuses && lane->fd >= 0)
		socket_hold_handshakes(lane->fd);
	if (!l->refuses)
		lanes_program_look(l);
	if (lane->fd >= 0)
		socket_refuse(lane->fd);
	if (!l->refuses)
		lanes_program_look(l);
	lanes_program_left(lane, true);
}

void
lanes_sockets_refuse_lane(struct lane *lane)
{
	if (!listener_is_own_tcp(lane->listener))
		return;
	refuse_lane(lane);
	lanes_live_wake(lane->listener);
}

void
lanes_sockets_refuse(struct listener *l)
{
	if (!listener_is_own_tcp(l))
		return;
	l->listening = false;
	for (size_t i = 0; i < l->lanes.n; i++)
		refuse_lane(l->lanes.v[i]);
}

int
lanes_sockets_adjust(struct listener *l)
{
	int code = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];

		/* Again, it only changes the backlog (listen(2)). */
		if (lane->listening && l->bound.kind != ADDRESS_UDP &&
		    code == 0 && socket_is_listening(lane->fd))
			code = socket_start_listening(lane->fd, l->backlog);
	}
	return code;
}

/* ---- again ---- */

void
lanes_sockets_check(struct lane *lane)
{
	if (!lane->listening || !lane->noted || socket_has_note(lane->fd) ||
	    !socket_is_listening(lane->fd))
		return;
	lane->noted = socket_note_listening(lane->fd);
	lanes_program_doubt(lane);
	lanes_live_wake(lane->listener);
}

void
lanes_sockets_spoilt(struct lane *lane)
{
	lane->broken = true;
}

/* As it was; of UDP, in no group any more. */
static void
take_back(struct lane *lane, int old, bool watched)
{
	const struct listener *l = lane->listener;

	lane->fd = old;
	lane->unused = false;
	lane->ino = socket_inode(old);
	if (l->bound.kind == ADDRESS_UDP)
		socket_let_over(old, false);
	else if (l->lanes.n == 1)
		socket_let_beside(old, is_grouped(l));
	lane->noted = lane->listening && socket_has_note(old);
	if (watched)
		lanes_news_watch(lane);
}

/*
 * The new socket is bound before the old one goes: somebody has the address all
 * the time. Others may keep the old one: TCP, it is shut down. UDP, it has left
 * the group: when it was connected, if it had every address, or now; and stays
 * whole, for the peer that it was connected to. With SO_REUSEADDR it stands in
 * nobody's way.
 */
int
lanes_sockets_replace(struct lane *lane, struct error *err)
{
	struct listener *l = lane->listener;
	bool datagrams = l->bound.kind == ADDRESS_UDP;
	uint32_t record = listener_ledger_part(lane);
	int old = fd_take(&lane->fd);
	bool watched = lane->hangup != 0;
	int code;

	lanes_news_unwatch(lane);
	if (datagrams) {
		socket_leave_group(old);
		socket_let_over(old, true);
		lanes_program_left(lane, false);
	} else if (l->lanes.n == 1) {
		socket_let_beside(old, true);
	}
	lane->old = datagrams ? -1 : old;
	code = open_another(lane, err);
	lane->old = -1;
	if (code < 0) {
		take_back(lane, old, watched);
		listener_ledger_rejoin(lane, record);
		return code;
	}
	if (!datagrams)
		socket_hold_handshakes(old);
	listener_ledger_drop(l, record);
	if (!datagrams)
		socket_refuse(old);
	socket_close(&old);
	lane->broken = false;
	if (datagrams)
		lanes_program_again(l);
	else
		lanes_program_replaced(lane);
	lanes_live_wake(l);
	return 0;
}

/* Without SO_REUSEPORT, in no group: it is found by its peer, once it has one,
   and until then as the newest of all, as it would be without us. */
int
lanes_sockets_open_own(struct listener *l, int *ret_fd, struct error *err)
{
	const struct socket_options options = {
		.bind_only = true, .over = true,
	};
	struct address bound = { .kind = ADDRESS_UDP };
	struct socket_file file;
	int code;

	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->fd >= 0)
			socket_let_over(l->lanes.v[i]->fd, true);
	code = socket_listen(&l->bound, &options, ret_fd, &bound, &file, err);
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->fd >= 0)
			socket_let_over(l->lanes.v[i]->fd, false);
	if (code == 0)
		socket_let_over(*ret_fd, true);
	return code;
}

/* Ceasing to listen lets the kernel move the queue, half-open ones with it
   (BPF_SK_REUSEPORT_SELECT_OR_MIGRATE); or resets it. */
void
lanes_sockets_list_again(struct lane *lane)
{
	struct listener *l = lane->listener;

	/* Others may come in the same moment, as the first of many. */
	socket_hold_handshakes(lane->fd);
	lanes_program_look(l);
	lanes_program_leaving(lane);
	lanes_news_unwatch(lane);
	socket_refuse(lane->fd);
	lanes_program_look(l);
	lanes_program_left(lane, false);
	if (start_lane(lane, true) < 0)
		lane->broken = true;
	lanes_program_again(l);
	lanes_live_wake(l);
}

int
lanes_sockets_revive(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	bool spoilt = lane->broken;
	int code;

	lanes_program_shut(lane);
	if (lane->listening)
		lanes_news_watch(lane);
	/* What its holder has spoilt is no less listened to. */
	lane->broken = false;
	code = lanes_sockets_start(l);
	if (lane->listening)
		code = 0;
	else if (code == 0)
		code = -EINVAL;
	/* It would hang up for ever: a worker's listen(2) tries, or the next
	   process gets another. */
	lane->broken = spoilt || (code < 0 && ls->n > 1);
	if (ls->order.n == 0)
		l->listening = false;
	lanes_program_again(l);
	lanes_live_wake(l);
	return code;
}
