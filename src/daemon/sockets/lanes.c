#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listeners.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_inherit.h"

static int start_lane(struct lane *lane, bool beside);

/* ---- the list ---- */

static struct lane *
lane_new(struct listener *l)
{
	struct lanes *ls = &l->lanes;
	struct lane **v = reallocarray(ls->v, ls->n + 1, sizeof(struct lane *));
	struct lane *lane;

	if (v == NULL)
		return NULL;
	ls->v = v;
	lane = calloc(1, sizeof(*lane));
	if (lane == NULL)
		return NULL;
	lane->listener = l;
	lane->slot = (unsigned)ls->n;
	lane->fd = -1;
	ls->v[ls->n++] = lane;
	return lane;
}

int
lanes_init(struct listener *l)
{
	int code = lane_order_reserve(&l->lanes.order);

	return code == 0 && lane_new(l) == NULL ? -ENOMEM : code;
}

static void
close_lane(struct lane *lane)
{
	struct listener *l = lane->listener;

	if (l->all != NULL)
		loop_del(l->all->loop, &lane->hangup);
	lane_order_remove(&l->lanes.order, lane->slot);
	lane->listening = lane->live = false;
	fd_close(&lane->fd);
}

void
lanes_close(struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		close_lane(l->lanes.v[i]);
}

void
lanes_free(struct listener *l)
{
	struct lanes *ls = &l->lanes;

	lanes_close(l);
	lanes_program_free(l);
	for (size_t i = 0; i < ls->n; i++)
		free(ls->v[i]);
	free(ls->v);
	ls->v = NULL;
	ls->n = 0;
	lane_order_free(&ls->order);
}

struct lane *
lanes_find(const struct listener *l, const struct lane_holder *w)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->holder == w)
			return l->lanes.v[i];
	return NULL;
}

struct lane *
lanes_find_inode(const struct listener *l, uint64_t ino)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->fd >= 0 && l->lanes.v[i]->ino == ino)
			return l->lanes.v[i];
	return NULL;
}

/* ---- opening ---- */

/* Is SO_REUSEPORT to stay? A lane that is alone goes without, so that nobody
   can join it. */
static bool
is_grouped(const struct listener *l)
{
	return l->lanes.n > 1 || (l->lanes.balance != BALANCE_SHARED &&
	    l->bound.kind == ADDRESS_TCP);
}

bool
lanes_make_room(struct listeners *all, const char *app,
    const struct address *a, const struct listener *but, bool on)
{
	bool any = false;

	for (struct listener *l = all->first; l != NULL; l = l->next) {
		if (l == but || a->kind == ADDRESS_UNIX || a->port == 0 ||
		    l->passed || l->bound.kind != a->kind ||
		    l->bound.port != a->port || strcmp(l->app, app) != 0)
			continue;
		any = true;
		if (is_grouped(l))
			continue;	/* they let it anyway */
		for (size_t i = 0; i < l->lanes.n; i++)
			socket_let_beside(l->lanes.v[i]->fd, on);
	}
	return any;
}

void
lanes_close_group(struct listener *l)
{
	if (l->bound.kind != ADDRESS_TCP || l->passed || is_grouped(l))
		return;
	for (size_t i = 0; i < l->lanes.n; i++)
		socket_let_beside(l->lanes.v[i]->fd, false);
}

/* It is in the kernel's group now, as the last one. */
static void
lane_joined(struct lane *lane)
{
	lane->listening = true;
	lane_order_add(&lane->listener->lanes.order, lane->slot);
	lanes_heal_watch(lane);
	lanes_program_joined(lane);
}

/* A socket like the others of the listener; it listens if they do. */
static int
open_another(struct lane *lane, struct error *err)
{
	struct listener *l = lane->listener;
	const struct socket_options options = {
		.bind_only = true, .beside = true,
	};
	struct address bound = { .kind = ADDRESS_TCP };
	struct socket_file file;
	int code = lane_order_reserve(&l->lanes.order);

	if (code < 0)
		return error_set(err, code, "out of memory");
	/* The first one has been alone so far. */
	if (l->lanes.n == 2)
		socket_let_beside(l->lanes.v[0]->fd, true);
	(void)lanes_make_room(l->all, l->app, &l->bound, l, true);
	code = socket_listen(&l->bound, &options, &lane->fd, &bound, &file,
	    err);
	if (code == 0)
		socket_let_beside(lane->fd, true);
	if (code == 0 && l->bound.kind == ADDRESS_TCP && l->listening) {
		code = start_lane(lane, true);
		if (code < 0)
			error_set(err, code, "another socket of the listener "
			    "cannot listen: %s", strerror(-code));
	}
	(void)lanes_make_room(l->all, l->app, &l->bound, l, false);
	if (code < 0) {
		close_lane(lane);
		return code;
	}
	address_free(&bound);
	lane->ino = socket_inode(lane->fd);
	if (l->bound.kind == ADDRESS_UDP)
		lane_joined(lane);
	return 0;
}

static int
add_lane(struct listener *l, struct lane **ret_lane, struct error *err)
{
	struct lanes *ls = &l->lanes;
	struct lane *lane = lane_new(l);
	int code;

	if (lane == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	code = lanes_program_room(l, err);
	if (code == 0)
		code = open_another(lane, err);
	if (code < 0) {
		/* Still the last one: its slot is free again. */
		ls->n--;
		free(lane);
		return code;
	}
	*ret_lane = lane;
	return 0;
}

bool
lanes_more_shut(const struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->listening && l->lanes.v[i]->hangup != 0 &&
		    !socket_is_listening(l->lanes.v[i]->fd))
			return true;
	return false;
}

/* A large group is not looked through for each lane. */
#define LOOK_MAX 512

/*
 * May one begin to listen now, so that its place in the kernel's order is
 * known? Of what was shut down before there must be no news to come. eBPF does
 * without the order.
 */
static bool
order_is_known(const struct listener *l)
{
	return l->lanes.ebpf != NULL || l->lanes.n > LOOK_MAX ||
	       !lanes_more_shut(l);
}

/*
 * TCP. The first one begins to listen alone, without SO_REUSEPORT: of two
 * programs that start at the same moment one finds the port taken. `beside`:
 * overlapping listeners of ours let it. Where another one's
 * shutdown comes between, it does not listen yet: revive() sees to it.
 */
static int
start_lane(struct lane *lane, bool beside)
{
	struct listener *l = lane->listener;
	int code = lane_order_reserve(&l->lanes.order);

	if (code < 0 || !order_is_known(l))
		return code;
	lanes_program_joining(lane);
	socket_let_beside(lane->fd, beside || l->lanes.order.n > 0);
	code = socket_start_listening(lane->fd, l->backlog);
	socket_let_beside(lane->fd, is_grouped(l));
	if (code == 0 && !order_is_known(l))
		socket_refuse(lane->fd);
	else if (code == 0)
		lane_joined(lane);
	return code;
}

static int
start_all(struct listener *l, bool beside)
{
	int code = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];
		int one = 0;

		if (!lane->listening && !lane->broken && lane->fd >= 0)
			one = start_lane(lane, beside || i > 0);
		if (code == 0)
			code = one;
	}
	return code;
}

int
lanes_start(struct listener *l)
{
	int code;

	if (l->bound.kind != ADDRESS_TCP || l->passed)
		return 0;
	code = start_all(l, false);
	if (code == -EADDRINUSE &&
	    lanes_make_room(l->all, l->app, &l->bound, l, true)) {
		code = start_all(l, true);
		(void)lanes_make_room(l->all, l->app, &l->bound, l, false);
	}
	return code;
}

void
lanes_enter(struct listener *l)
{
	struct lane *first = l->lanes.v[0];

	first->ino = socket_inode(first->fd);
	if (l->bound.kind == ADDRESS_TCP && !l->passed)
		return;
	/* Room for it is there since lanes_init(). */
	lane_joined(first);
}

static void
refuse_lane(struct lane *lane)
{
	struct listener *l = lane->listener;

	if (l->passed || l->bound.kind != ADDRESS_TCP)
		return;
	loop_del(l->all->loop, &lane->hangup);
	if (lane->fd >= 0)
		socket_refuse(lane->fd);
	lane->listening = lane->live = false;
	lane_order_remove(&l->lanes.order, lane->slot);
}

void
lanes_refuse(struct listener *l)
{
	struct lanes *ls = &l->lanes;

	if (l->passed || l->bound.kind != ADDRESS_TCP)
		return;
	for (size_t i = 0; i < ls->n; i++)
		refuse_lane(ls->v[i]);
	ls->attached = false;
}

int
lanes_close_door(struct listener *l, bool closed)
{
	int all = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		int fd = l->lanes.v[i]->fd;
		int code = fd < 0 ? 0 : l->bound.kind == ADDRESS_UDP ?
		    socket_ignore_datagrams(fd, closed) :
		    socket_ignore_syns(fd, closed);

		if (code < 0)
			all = code;
	}
	return all;
}

int
lanes_adjust(struct listener *l)
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

/* ---- who has which ---- */

bool
lanes_is_free(const struct lane *lane)
{
	return lane->holder == NULL && lane->fd >= 0 &&
	    (lane->slot > 0 || !lane->listener->lanes.common);
}

void
lanes_await_strays(struct lane *lane, bool on)
{
	if (lane->hangup != 0 && lane->listener->bound.kind == ADDRESS_TCP)
		(void)loop_set_events(lane->listener->all->loop, lane->hangup,
		    on ? EPOLLIN : 0);
}

/* One with clients in its queue first: they wait for somebody. */
static struct lane *
find_free(struct listener *l)
{
	struct lane *found = NULL;
	unsigned most = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];
		uint32_t waiting = 0, backlog;

		if (!lanes_is_free(lane))
			continue;
		if (l->bound.kind == ADDRESS_TCP && lane->listening)
			(void)lane_queue_tcp(lane->fd, &waiting, &backlog);
		if (found == NULL || waiting > most) {
			found = lane;
			most = waiting;
		}
	}
	return found;
}

/*
 * A worker has shut down its UDP lane, or connected it, for good. The new
 * socket is bound before the old one goes: somebody has the address all the
 * time.
 */
static int
replace_lane(struct lane *lane, struct error *err)
{
	struct listener *l = lane->listener;
	int old = fd_take(&lane->fd);
	int code;

	loop_del(l->all->loop, &lane->hangup);
	if (l->lanes.n == 1)
		socket_let_beside(old, true);
	code = open_another(lane, err);
	if (code < 0) {
		lane->fd = old;
		return code;
	}
	fd_close(&old);
	/* It is in the list twice now, of which the first one was the old. */
	lane_order_remove(&l->lanes.order, lane->slot);
	if (lane_order_find(&l->lanes.order, lane->slot) == LANE_ORDER_NONE)
		lane_order_add(&l->lanes.order, lane->slot);
	lane->broken = false;
	lanes_program_again(l);
	return 0;
}

int
lanes_take(struct listener *l, const struct lane_holder *w,
    struct lane **ret_lane, struct error *err)
{
	struct lane *lane = lanes_find(l, w);
	int code;

	if (lane == NULL) {
		lane = find_free(l);
		code = lane != NULL ? 0 : add_lane(l, &lane, err);
		if (code < 0)
			return code;
		lane->holder = w;
		lanes_await_strays(lane, false);
	}
	*ret_lane = lane;
	return 0;
}

int
lanes_renew(struct lane *lane, struct error *err)
{
	int code = 0;

	/* A datagram server that serves one client alone connects to it. */
	if (lane->listener->bound.kind == ADDRESS_UDP &&
	    !lane->listener->passed && socket_is_connected(lane->fd))
		lane->broken = true;
	if (lane->broken)
		code = replace_lane(lane, err);
	if (code < 0 || lane->listener->passed || lane->holder == NULL)
		return code;
	socket_set_nonblocking(lane->fd, false);
	lanes_check(lane);
	return 0;
}

struct lane *
lanes_common(struct listener *l)
{
	l->lanes.common = true;
	return l->lanes.v[0];
}

void
lanes_unshare(struct listener *l)
{
	struct lane *lane = l->lanes.v[0];

	if (!l->lanes.common)
		return;
	l->lanes.common = false;
	if (!lanes_is_free(lane))
		return;
	if (l->door_closed)
		refuse_lane(lane);
	if (l->door_closed || (l->lanes.n == 1 && lane->live))
		return;
	lane->wanted = false;
	lanes_evacuate(lane, true);
	lanes_await_strays(lane, true);
}

void
lanes_leave(struct listener *l, const struct lane_holder *w)
{
	struct lane *lane = lanes_find(l, w);
	uint32_t waiting = 0, backlog;

	if (lane == NULL)
		return;
	lane->holder = NULL;
	lane->wanted = false;
	if (!lanes_is_free(lane))
		return;
	if (l->door_closed) {	/* nobody will come to it any more */
		refuse_lane(lane);
		return;
	}
	lanes_evacuate(lane, false);
	if (lane->listening && l->bound.kind == ADDRESS_TCP &&
	    lane_queue_tcp(lane->fd, &waiting, &backlog) == 0 && waiting == 0)
		lanes_await_strays(lane, true);
}

/* Is there another one that gets what this one's clients cannot have? */
static bool
has_other_live(const struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i] != lane && ls->v[i]->live && ls->v[i]->listening)
			return true;
	return false;
}

bool
lanes_can_move(const struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	return ls->ebpf != NULL && ls->attached && has_other_live(lane);
}

/* Ceasing to listen lets the kernel move the queue, half-open ones with it
   (BPF_SK_REUSEPORT_SELECT_OR_MIGRATE); or resets it. */
void
lanes_list_again(struct lane *lane)
{
	struct listener *l = lane->listener;

	lanes_program_leaving(lane);
	loop_del(l->all->loop, &lane->hangup);
	lane->listening = false;
	lane_order_remove(&l->lanes.order, lane->slot);
	socket_refuse(lane->fd);
	if (start_lane(lane, true) < 0)
		lane->broken = true;
	lanes_program_again(l);
	if (lanes_is_free(lane))
		lanes_await_strays(lane, true);
}

void
lanes_evacuate(struct lane *lane, bool or_reset)
{
	struct listener *l = lane->listener;
	bool moves = lanes_can_move(lane);
	uint32_t waiting, backlog;

	if (!lane->listening || l->passed || l->bound.kind != ADDRESS_TCP ||
	    (lane->live && lane->wanted))
		return;
	if (!moves && !or_reset)
		return;
	if (lane_queue_tcp(lane->fd, &waiting, &backlog) < 0)
		waiting = 0;
	if (!moves && waiting == 0)
		return;
	lanes_list_again(lane);
	if (waiting > 0)
		log_app(LOG_LEVEL_INFO, l->app, "%u connection%s that waited "
		    "for a worker %s", waiting, waiting == 1 ? "" : "s",
		    moves ? "moved to others" : "reset, nobody would come");
}
