#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/names/address.h"
#include "core/sockets/steering_cbpf.h"
#include "daemon/sockets/lanes_check.h"
#include "daemon/sockets/lanes_extended.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_hub.h"

/* Without a program there is no other lane. */
static bool
is_alone(const struct lanes *ls)
{
	return ls->order.n < 2 && !ls->attached;
}

/* The program is there, and takes the lane. Who shuts it down and lets it listen
   again takes it away from there: a check would be dropped, and be a bad one. */
static bool
is_reached(struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	return ls->attached && (steering_ebpf_knows(ls->ebpf, lane->slot) ||
	    lanes_extended_set_lane(lane) == 0);
}

static int
begin_extended(struct lane *lane, const struct check_source *source,
    struct error *err)
{
	int code;

	if (!is_reached(lane))
		return error_set(err, -EBUSY, "the kernel does not steer to it "
		    "at the moment");
	code = steering_ebpf_check(lane->listener->lanes.ebpf, lane->slot,
	    source);
	return code < 0 ? error_set(err, code, "another check is in the way") :
	    0;
}

static int
reserve(struct lanes *ls)
{
	if (ls->checks == NULL)
		ls->checks = calloc(STEERING_CBPF_CHECKS_MAX,
		    sizeof(*ls->checks));
	if (ls->checks == NULL)
		return -ENOMEM;
	return ls->n_checks < STEERING_CBPF_CHECKS_MAX ? 0 : -EBUSY;
}

static bool
is_from(const struct check_source *a, const struct check_source *b)
{
	return a->ipv6 == b->ipv6 && a->port == b->port &&
	    memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

/* False: it is not there. */
static bool
drop(struct lanes *ls, const struct check_source *source)
{
	for (size_t i = 0; i < ls->n_checks; i++)
		if (is_from(&ls->checks[i].source, source)) {
			ls->checks[i] = ls->checks[--ls->n_checks];
			return true;
		}
	return false;
}

static bool
is_known(const struct lanes *ls, const struct lane *lane)
{
	size_t place = lane_order_find(&ls->order, lane->slot);

	return place != LANE_ORDER_NONE && !ls->order.v[place].doubt;
}

/* All of a program come from one address. */
static bool
fits(const struct lanes *ls, const struct check_source *source)
{
	const struct check_source *first = &ls->checks[0].source;

	return ls->n_checks == 0 || (first->ipv6 == source->ipv6 &&
	    memcmp(first->ip, source->ip, sizeof(first->ip)) == 0);
}

static int
begin_classic(struct lane *lane, const struct check_source *source,
    struct error *err)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	int code = reserve(ls);

	if (code < 0 || !fits(ls, source))
		return error_set(err, code < 0 ? code : -EBUSY, "%s", code ==
		    -ENOMEM ? "out of memory" : "other checks are in the way");
	ls->checks[ls->n_checks++] = (struct lane_check){
		.source = *source, .slot = lane->slot,
	};
	lanes_program_again(l);
	if (ls->attached && !ls->checks_out && is_known(ls, lane))
		return 0;
	(void)drop(ls, source);
	if (ls->attached && !ls->checks_out)
		return error_set(err, -EBUSY, "its place in the kernel is not "
		    "known at the moment");
	return error_set(err, -E2BIG, "the kernel takes no program that lets "
	    "a check through to one instance of so many");
}

static int
begin(struct lane *lane, const struct check_source *source, struct error *err)
{
	const struct lanes *ls = &lane->listener->lanes;

	if (is_alone(ls))
		return 0;
	return ls->ebpf != NULL ? begin_extended(lane, source, err) :
	    begin_classic(lane, source, err);
}

int
lanes_check_begin(struct lane *lane, const struct check_source *source,
    struct mono ends, struct error *err)
{
	int code;

	assert(lane->listener->bound.kind == ADDRESS_TCP);
	if (!lane->listening)
		return error_set(err, -ENOTCONN, "nobody listens there");
	code = begin(lane, source, err);
	if (code == 0 && mono_before(lane->checked, ends))
		lane->checked = ends;
	return code;
}

bool
lanes_check_is_full(const struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	return ls->ebpf == NULL && ls->n_checks >= STEERING_CBPF_CHECKS_MAX;
}

static struct listener *
find(const struct listeners *all, uint64_t serial)
{
	struct listener *l = all->first;

	while (l != NULL && l->serial != serial)
		l = l->next;
	return l;
}

/* What was begun in classic BPF has an ACK under way at most, which is no question
   to the program, unless the kernel remembers no requests (SYN cookies). */
void
lanes_check_connected(struct listeners *all, uint64_t serial,
    const struct check_source *source)
{
	struct listener *l = find(all, serial);

	if (l == NULL || !drop(&l->lanes, source))
		return;
	if (l->lanes.ebpf == NULL && l->lanes.attached)
		lanes_program_again(l);
}

/* Where it is noted, be there another program by now. */
void
lanes_check_end(struct listeners *all, uint64_t serial,
    const struct check_source *source)
{
	if (all->balancing.hub != NULL)
		steering_hub_check_end(all->balancing.hub, source);
	lanes_check_connected(all, serial, source);
}
