#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/sockets/steering_cbpf.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes_attach.h"
#include "daemon/sockets/listener.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_filter.h"

/* Slots that a listener starts with; those of all come from one supply. */
#define ROOM_MIN	8

/* Beside the instances' own: the lane for all. */
#define COMMON_SEAT (STEERING_CBPF_SEATS_MAX - 1)

/* ---- classic BPF ---- */

static enum steering_cbpf_key
key_of(enum balance b)
{
	return b == BALANCE_SOURCE ? STEERING_CBPF_SOURCE :
	    b == BALANCE_FLOW ? STEERING_CBPF_FLOW : STEERING_CBPF_RANDOM;
}

static bool
take_seat(uint64_t *taken, unsigned seat)
{
	uint64_t bit = UINT64_C(1) << (seat % 64);
	bool free = (taken[seat / 64] & bit) == 0;

	taken[seat / 64] |= bit;
	return free;
}

unsigned
lanes_attach_seat(const struct lane *lane)
{
	return lane->holder != NULL ?
	    (unsigned)lane->holder->about.instance : COMMON_SEAT;
}

/* Are all that are in doubt live? Then it makes no difference who gets what is
   meant for another one of them. */
static bool
doubts_are_live(const struct lanes *ls)
{
	for (size_t i = 0; i < ls->order.n; i++)
		if (ls->order.v[i].doubt && !ls->v[ls->order.v[i].slot]->live)
			return false;
	return true;
}

/* Of the first `places` of the group; `doubts`: those that are in doubt too. */
static size_t
collect_live(const struct lanes *ls, size_t places, bool doubts,
    struct steering_cbpf_lane *lanes)
{
	uint64_t taken[STEERING_CBPF_SEATS_MAX / 64] = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < places; i++) {
		const struct lane *lane = ls->v[ls->order.v[i].slot];

		if (lane->live && n < STEERING_CBPF_SEATS_MAX &&
		    (doubts || !ls->order.v[i].doubt) &&
		    take_seat(taken, lanes_attach_seat(lane)))
			lanes[n++] = (struct steering_cbpf_lane){
				.seat = lanes_attach_seat(lane), .index = (unsigned)i,
			};
	}
	return n;
}

/* The live lanes at the first `places` of the group that it is certain of; else
   somebody: never nobody. */
static size_t
collect(const struct lanes *ls, size_t places, struct steering_cbpf_lane *lanes)
{
	size_t n = collect_live(ls, places, doubts_are_live(ls), lanes);

	if (n == 0)
		n = collect_live(ls, places, true, lanes);
	if (n == 0 && places < ls->order.n)
		return collect(ls, ls->order.n, lanes);
	if (n == 0)
		lanes[n++] = (struct steering_cbpf_lane){ .index = 0 };
	return n;
}

/* Which one does the kernel come to later when it looks for a socket? Into the
   chain of an address IPv4 sockets are put in front, IPv6 ones behind. */
static bool
is_behind(const struct lane *a, const struct lane *b)
{
	return a->listener->bound.host == ADDRESS_HOST_IPV4 ?
	    a->joined < b->joined : a->joined > b->joined;
}

/* The last one of the live lanes, or NULL. `sure`: that listen, as the kernel
   says. */
static struct lane *
find_last(const struct lanes *ls, bool sure)
{
	struct lane *found = NULL;

	for (size_t i = 0; i < ls->n; i++) {
		struct lane *lane = ls->v[i];

		if (lane->live && lane->listening &&
		    (found == NULL || is_behind(lane, found)) &&
		    (!sure || socket_is_listening(lane->fd)))
			found = lane;
	}
	return found;
}

struct lane *
lanes_attach_point(const struct lanes *ls)
{
	struct lane *lane = find_last(ls, false);

	if (lane != NULL && lane->listener->bound.kind == ADDRESS_TCP &&
	    !socket_is_listening(lane->fd))
		lane = find_last(ls, true);
	return lane != NULL ? lane : ls->v[ls->order.v[0].slot];
}

/* Checks whose lane's place is known. */
static size_t
collect_checks(const struct lanes *ls, struct steering_cbpf_check *checks)
{
	size_t n = 0;

	for (size_t i = 0; i < ls->n_checks; i++) {
		size_t place = lane_order_find(&ls->order, ls->checks[i].slot);

		if (place != LANE_ORDER_NONE && !ls->order.v[place].doubt)
			checks[n++] = (struct steering_cbpf_check){
				.source = ls->checks[i].source,
				.index = (uint32_t)place,
			};
	}
	return n;
}

static int
attach_built(const struct listener *l, const struct steering_cbpf_lane *lanes,
    size_t n, const struct steering_cbpf_extras *extras)
{
	struct steering_cbpf_program program;
	int fd, code = steering_cbpf_build_with(key_of(l->lanes.balance), lanes,
	    n, l->all->balancing.optmem_max, extras, &program);

	if (code < 0)
		return code;
	fd = lanes_attach_point(&l->lanes)->fd;
	/* One of datagrams cannot be shut down. */
	if (l->bound.kind == ADDRESS_TCP)
		socket_begin_attach(fd);
	code = socket_attach_cbpf(fd, program.code, program.n);
	socket_end_attach(fd);
	steering_cbpf_free(&program);
	return code;
}

/* Where there is no room for the checks, those do without it. */
int
lanes_attach_classic(struct listener *l, size_t places, bool asks)
{
	struct lanes *ls = &l->lanes;
	struct steering_cbpf_check checks[STEERING_CBPF_CHECKS_MAX];
	struct steering_cbpf_extras extras = {
		.positions = asks ? ls->order.n : 0, .checks = checks,
	};
	struct steering_cbpf_lane *lanes;
	size_t n;
	int code;

	lanes = reallocarray(NULL, ls->order.n, sizeof(*lanes));
	if (lanes == NULL)
		return -ENOMEM;
	n = collect(ls, places, lanes);
	extras.n_checks = collect_checks(ls, checks);
	code = attach_built(l, lanes, n, &extras);
	ls->checks_out = code < 0;
	if (code < 0 && extras.n_checks > 0) {
		extras.n_checks = 0;
		code = attach_built(l, lanes, n, &extras);
	}
	free(lanes);
	return code;
}

/* ---- eBPF ---- */

enum steering_ebpf_mode
lanes_attach_mode(enum balance b)
{
	return b == BALANCE_ROUND_ROBIN ? STEERING_EBPF_TURNS :
	    STEERING_EBPF_LEAST;
}

size_t
lanes_attach_room(const struct lanes *ls)
{
	size_t n = ls->n > ls->expected ? ls->n : ls->expected;
	size_t room = ROOM_MIN;

	while (room < n && room < STEERING_EBPF_LANES_MAX)
		room *= 2;
	return room;
}

/* ---- whether it could be ---- */

void
lanes_attach_failed(struct listener *l, const char *why)
{
	if (l->lanes.warned)
		return;
	l->lanes.warned = true;
	log_app_often(LOG_LEVEL_WARNING, l->app,
	    "new connections to %s cannot be steered: %s",
	    address_text_numeric(&l->bound).s, why);
}

void
lanes_attach_worked(struct listener *l)
{
	l->lanes.warned = false;
}
