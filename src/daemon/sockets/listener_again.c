#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "daemon/sockets/lanes_again.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_again.h"
#include "daemon/sockets/listener_file.h"
#include "daemon/sockets/listener_ledger.h"
#include "daemon/sockets/listener_new.h"
#include "daemon/sockets/listener_open.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_hub.h"
#include "linux/bpf/steering_leftover.h"
#include "linux/bpf/steering_programs.h"
#include "linux/keeper/keeper_share.h"
#include "linux/ledger/descriptors.h"
#include "linux/socket/unix_socket.h"

/* ---- what there is ---- */

int
listener_again_look_back(struct listeners *ls, struct ledger *ledger,
    struct error *err)
{
	/* Its writer had free places and ends that only he knew. */
	int code = ledger_open(ledger, ledger->memory, ledger->size, err);

	if (code < 0)
		return code;
	ls->ledger = ledger;
	return ledger_enter(ledger) > 0;
}

/* A lane's record, and which it is. */
struct found {
	struct ledger_lane r;
	uint32_t record;
};

struct all_found {
	struct found *v;
	size_t n;
};

static int
compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->r.listener_place != y->r.listener_place)
		return x->r.listener_place < y->r.listener_place ? -1 : 1;
	if (x->r.slot != y->r.slot)
		return x->r.slot < y->r.slot ? -1 : 1;
	return x->record < y->record ? -1 : x->record > y->record;
}

/* Those whose descriptor is what it was, by listener and slot. */
static struct all_found
find_lanes(struct listeners *ls)
{
	struct ledger *ledger = ls->ledger;
	const uint32_t end = ledger_end(ledger, LEDGER_LANE);
	struct all_found all = { .v = calloc(end + 1, sizeof(*all.v)) };

	for (uint32_t i = 0; all.v != NULL && i < end; i++) {
		struct found *f = &all.v[all.n];
		int there = ledger_get_lane(ledger, i, &f->r);

		f->record = i;
		if (there == 1 && descriptor_is_socket(f->r.fd, f->r.ino) &&
		    f->r.listener_place < ledger_end(ledger, LEDGER_LISTENER))
			all.n++;
		else if (there != 0)
			ledger_drop(ledger, LEDGER_LANE, i);
	}
	if (all.n > 0)
		qsort(all.v, all.n, sizeof(*all.v), compare);
	return all;
}

/* ---- a listener ---- */

static struct listener *
make(const struct ledger_listener *r, uint32_t record)
{
	struct address written, bound;
	char *path = (char *)r->path;
	struct listener *l;

	if (ledger_address_get(&r->written, path, &written) < 0 ||
	    ledger_address_get(&r->bound, path, &bound) < 0)
		return NULL;
	l = listener_new(r->app, &written);
	if (l == NULL || address_copy(&bound, &l->bound) < 0) {
		listener_free(l);
		return NULL;
	}
	l->record = record;
	l->serial = r->serial;
	l->position = r->position;
	l->instance = (long)r->instance;
	l->backlog = r->backlog;
	l->options = (struct socket_options){
		.backlog = r->backlog, .mode = r->mode, .uid = r->uid,
		.gid = r->gid,
	};
	l->file.dev = r->file_dev;
	l->file.ino = r->file_ino;
	while (l->n_old_files < LISTENER_OLD_FILES &&
	    r->old_files[l->n_old_files] != 0) {
		l->old_files[l->n_old_files] = r->old_files[l->n_old_files];
		l->n_old_files++;
	}
	l->inherited = (r->flags & LEDGER_INHERITED) != 0;
	l->derived = (r->flags & LEDGER_DERIVED) != 0;
	l->beside = (r->flags & LEDGER_BESIDE) != 0;
	l->forsaken = (r->flags & LEDGER_FORSAKEN) != 0;
	l->refuses = l->door_closed = l->door_filter =
	    (r->flags & LEDGER_REFUSES) != 0;
	return l;
}

/* Nobody can come to it any more: it was killed while it removed the file, or before
   the one that was to take its place stood here. */
static bool
is_cut_off(const struct listener *l)
{
	int code;

	if (l->bound.kind != ADDRESS_UNIX || l->inherited || l->refuses)
		return false;
	code = unix_socket_restore(l->bound.path, &l->file);
	return code < 0 && code != -EAGAIN &&
	    unix_socket_is_free(l->bound.path);
}

static void
forget(struct listeners *ls, const struct found *lanes, size_t n,
    uint32_t record)
{
	for (size_t i = 0; i < n; i++)
		ledger_drop(ls->ledger, LEDGER_LANE, lanes[i].record);
	ledger_drop(ls->ledger, LEDGER_LISTENER, record);
}

/* What stands there, if it is worth it: NULL. *ret_lost: it should have been. */
static struct listener *
choose(const struct listeners *ls, uint32_t record, bool has_lanes,
    bool *ret_lost)
{
	struct ledger_listener r;
	int there = ledger_get_listener(ls->ledger, record, &r);
	struct listener *l;

	*ret_lost = there < 0;
	/* One that refuses goes on to with the last who has it, unless their app
	   is still there. One without a lane was about to be opened, or was
	   closed. */
	if (there != 1 || !has_lanes || ((r.flags & LEDGER_REFUSES) != 0 &&
	    (ls->leaves == NULL || !ls->leaves(ls->leaves_ctx, r.app))))
		return NULL;
	l = make(&r, record);
	*ret_lost = l == NULL;
	if (l != NULL && is_cut_off(l)) {
		listener_free(l);
		return NULL;
	}
	return l;
}

/* Those of these lanes that are its own. Returns whether there are any. */
static bool
take_lanes(struct listener *l, struct descriptors *left,
    const struct found *lanes, size_t n)
{
	size_t taken = 0;

	for (size_t i = 0; i < n; i++) {
		/* Not of one that has stood here before; nor one twice. What
		   was inherited was there before any supervisor. */
		if (lanes[i].r.listener == l->serial &&
		    (descriptors_take(left, lanes[i].r.fd) ||
		    l->inherited) &&
		    lanes_again_add(l, &lanes[i].r, lanes[i].record) == 0)
			taken++;
		else
			ledger_drop(l->all->ledger, LEDGER_LANE,
			    lanes[i].record);
	}
	return taken > 0;
}

/* False: it is lost. */
static bool
take_over(struct listeners *ls, struct descriptors *left, uint32_t record,
    const struct found *lanes, size_t n)
{
	bool lost;
	struct listener *l = choose(ls, record, n > 0, &lost);

	if (l == NULL) {
		forget(ls, lanes, n, record);
		return !lost;
	}
	l->all = ls;
	if (!take_lanes(l, left, lanes, n)) {
		listener_free(l);
		ledger_drop(ls->ledger, LEDGER_LISTENER, record);
		return false;
	}
	l->next = ls->first;
	ls->first = l;
	if (l->serial > ls->serials)
		ls->serials = l->serial;
	lanes_again_begin(l);
	listener_file_watch(l);
	return true;
}

/* ---- all ---- */

static size_t
take_over_all(struct listeners *ls, struct descriptors *left)
{
	struct all_found all = find_lanes(ls);
	const uint32_t end = ledger_end(ls->ledger, LEDGER_LISTENER);
	size_t from = 0, lost = 0;

	for (uint32_t i = 0; i < end; i++) {
		size_t n = 0;

		while (from + n < all.n &&
		    all.v[from + n].r.listener_place == i)
			n++;
		lost += !take_over(ls, left, i, all.v + from, n);
		from += n;
	}
	free(all.v);
	return lost;
}

/* By which an eBPF program may choose. */
struct steered {
	struct steering_leftover tcp, udp;
};

static size_t
count_lanes(const struct listeners *ls)
{
	size_t n = 0;

	for (const struct listener *l = ls->first; l != NULL; l = l->next)
		n += l->lanes.n;
	return n;
}

static void
note_lanes(const struct listener *l, struct steered *s)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->bound.kind == ADDRESS_UDP)
			steering_leftover_add(&s->udp, l->lanes.v[i]->fd);
		else if (listener_is_own_tcp(l))
			steering_leftover_add(&s->tcp, l->lanes.v[i]->fd);
}

static void
let_go(void *ctx, int fd)
{
	struct steered *s = ctx;

	steering_leftover_clear(fd, &s->tcp, &s->udp);
}

static bool
close_rest(void *ctx)
{
	struct listeners *ls = ctx;

	return descriptors_close_rest(&ls->rest);
}

/* All that is left; but first their sockets are let go of by eBPF maps, which, as
   the epoll that was, may be closed when the others were heard. */
static void
close_left(struct listeners *ls, struct descriptors *left)
{
	const size_t n = count_lanes(ls);
	struct steered s = {
		.tcp.sockets = calloc(n + 1, sizeof(uint64_t)),
		.udp.sockets = calloc(n + 1, sizeof(uint64_t)),
	};
	bool memory = s.tcp.sockets != NULL && s.udp.sockets != NULL;

	for (struct listener *l = ls->first; memory && l != NULL; l = l->next)
		note_lanes(l, &s);
	descriptors_close(left, memory ? let_go : NULL, &s);
	free(s.tcp.sockets);
	free(s.udp.sockets);
	ls->rest = *left;
	*left = (struct descriptors){ .v = NULL };
	loop_later(ls->loop, &ls->closing, close_rest, ls);
}

void
listener_again_close(struct listeners *ls)
{
	if (ls->closing.waits)
		loop_later_end(ls->loop, &ls->closing);
	while (descriptors_close_rest(&ls->rest))
		;
}

static void
take_program(struct steering_hub *hub, const struct ledger_count *r,
    struct descriptors *left)
{
	int fd = (int)(r->program & LEDGER_PROGRAM_FD);

	if (descriptors_has(left, fd) && steering_hub_attached_again(hub, fd))
		(void)descriptors_take(left, fd);
}

/* Connections that are open stay counted, and programs need not be looked through by
   the kernel again, which takes it longer than all the rest. Else it is among what is left, and another
   one begins. */
static void
take_count(struct listeners *ls, struct descriptors *left)
{
	const int n = LEDGER_COUNT_FDS + LEDGER_HUB_FDS;
	struct conn_count *count;
	struct steering_hub *hub = NULL;
	struct ledger_count r;
	int i = 0;

	if (ledger_get_count(ls->ledger, &r) != 1 ||
	    r.print != steering_programs_print() ||
	    !conn_count_is_there(r.fds) ||
	    !steering_hub_is_there(r.fds + LEDGER_COUNT_FDS))
		return;
	while (i < n && descriptors_has(left, r.fds[i]))
		i++;
	if (i < n || conn_count_again(r.fds, &count) < 0)
		return;
	/* Without memory for it another one is made. */
	if (steering_hub_again(r.fds + LEDGER_COUNT_FDS, count, &hub) < 0)
		hub = NULL;
	for (i = 0; i < (hub != NULL ? n : LEDGER_COUNT_FDS); i++)
		(void)descriptors_take(left, r.fds[i]);
	if (hub != NULL)
		take_program(hub, &r, left);
	balancing_take_over(&ls->balancing, count, hub,
	    (r.program & LEDGER_TURNS_WORK) != 0 && !keeper_is_upgrade(),
	    (r.program & LEDGER_LEAST_WORKS) != 0 && !keeper_is_upgrade());
}

void
listener_again_all(struct listeners *ls, struct descriptors *left)
{
	size_t lost = 0;

	if (ls->ledger != NULL) {
		lost = take_over_all(ls, left);
		take_count(ls, left);
		listener_ledger_count(ls);
	}
	ls->lost = lost;
	if (lost > 0)
		log_warning("%zu of the listeners of the supervisor before "
		    "cannot be taken over, those who waited there are lost",
		    lost);
	close_left(ls, left);
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		lanes_again_listen(l);
}

void
listener_again_end(struct listeners *ls)
{
	struct listener *next;

	for (struct listener *l = ls->first; l != NULL; l = next) {
		next = l->next;
		if (l->refs > 0)
			continue;
		if (l->listening)
			log_app_often(LOG_LEVEL_INFO, l->app,
			    "no longer listening on %s%s",
			    listener_scheme(l),
			    address_text_numeric(&l->bound).s);
		listener_discard(l);
	}
}
