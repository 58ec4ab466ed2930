#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/error.h"
#include "daemon/sockets/lanes_attach.h"
#include "daemon/sockets/lanes_flows.h"
#include "daemon/sockets/listener.h"
#include "linux/bpf/steering_flows.h"

int
lanes_flows_room(const struct lanes *ls, struct error *err)
{
	if (ls->flows != NULL && ls->n > STEERING_FLOWS_LANES_MAX)
		return error_set(err, -EMFILE,
		    "too many sockets of one UDP listener");
	return 0;
}

int
lanes_flows_open(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	int code = 0;

	if (ls->n > STEERING_FLOWS_LANES_MAX)
		return error_set(err, -EMFILE, "too many sockets");
	if (ls->flows == NULL)
		code = steering_flows_new(l->instance >= 0, &ls->flows, err);
	if (code == 0)
		steering_flows_by_source(ls->flows, b == BALANCE_SOURCE);
	return code;
}

/* Another holder's: another number, and none is 0. */
static uint32_t
number_of(const struct lane *lane)
{
	return (uint32_t)lane->turn | UINT32_C(1) << 31;
}

int
lanes_flows_attach(struct listener *l, struct error *err)
{
	struct lanes *ls = &l->lanes;
	struct steering_flows_lane *lanes =
	    reallocarray(NULL, ls->n, sizeof(*lanes));
	const struct lane *first;
	size_t n = 0;
	int code;

	if (lanes == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ls->n; i++) {
		const struct lane *lane = ls->v[i];

		if (lane->listening && lane->fd >= 0)
			(void)steering_flows_set_lane(ls->flows, lane->slot,
			    lane->fd);
		if (!lane->live || !lane->listening)
			continue;
		lanes[n++] = (struct steering_flows_lane){
			.seat = lanes_attach_seat(lane), .slot = lane->slot,
		};
		steering_flows_open(ls->flows, lane->slot, number_of(lane));
	}
	if (n == 0 && !ls->known_alone) {
		first = ls->v[ls->order.v[0].slot];
		lanes[n++] = (struct steering_flows_lane){
			.seat = lanes_attach_seat(first), .slot = first->slot,
		};
	}
	steering_flows_set_live(ls->flows, lanes, ls->known_alone ? 0 : n);
	free(lanes);
	code = steering_flows_attach(ls->flows, lanes_attach_point(ls)->fd,
	    err);
	/* One that its worker has connected is in no group any more. */
	if (code != -EINVAL)
		return code;
	error_clear(err);
	return 0;
}

void
lanes_flows_turned(const struct lane *lane)
{
	struct steering_flows *flows = lane->listener->lanes.flows;

	if (flows != NULL && lane->live && lane->listening)
		steering_flows_open(flows, lane->slot, number_of(lane));
}

void
lanes_flows_ended(const struct lane *lane)
{
	struct steering_flows *flows = lane->listener->lanes.flows;

	if (flows != NULL)
		steering_flows_open(flows, lane->slot, 0);
}

bool
lanes_flows_close_door(struct listener *l)
{
	struct lanes *ls = &l->lanes;

	if (ls->flows == NULL || !ls->attached)
		return false;
	ls->known_alone = true;
	steering_flows_set_live(ls->flows, NULL, 0);
	return true;
}

bool
lanes_flows_open_door(struct listener *l)
{
	bool was_closed = l->lanes.known_alone;

	l->lanes.known_alone = false;
	return was_closed && l->lanes.flows != NULL;
}

struct steering_flows *
lanes_flows_swap(struct listener *l, struct steering_flows *flows)
{
	struct steering_flows *old = l->lanes.flows;

	l->lanes.flows = flows;
	return old;
}

void
lanes_flows_end(struct steering_flows *flows)
{
	if (flows != NULL)
		steering_flows_clear(flows);
	steering_flows_free(flows);
}

void
lanes_flows_free(struct listener *l)
{
	steering_flows_free(l->lanes.flows);
	l->lanes.flows = NULL;
}
