#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_flows.h"
#include "linux/socket/lane_queue.h"

void
lanes_figures(const struct lane *lane, struct lane_figures *ret_figures)
{
	const struct lanes *ls = &lane->listener->lanes;
	struct lane_figures f = { .waiting = 0 };

	if (lane->listening && lane->listener->bound.kind == ADDRESS_TCP)
		f.queued = lane_queue_tcp(lane->fd, &f.waiting,
		    &f.backlog) == 0;
	else if (lane->listener->bound.kind == ADDRESS_UNIX)
		f.queued = lane_queue_unix(lane->ino, &f.waiting,
		    &f.backlog) == 0;
	if (ls->ebpf != NULL && !lane->uncounted)
		f.counted = steering_ebpf_counts(ls->ebpf, lane->slot,
		    &f.open, &f.total);
	*ret_figures = f;
}

bool
lanes_figures_of(const struct listeners *listeners,
    const struct lane_holder *holder, struct lane_figures *ret_figures)
{
	struct lane_figures sum = { .queued = true, .counted = true };
	bool any = false;

	for (const struct listener *l = listeners->first; l != NULL;
	    l = l->next) {
		const struct lane *lane = lanes_find(l, holder);
		struct lane_figures f;

		if (lane == NULL || lane->fd < 0)
			continue;
		any = true;
		lanes_figures(lane, &f);
		sum.queued = sum.queued && f.queued;
		sum.waiting += f.waiting;
		sum.open += f.open;
		sum.total += f.total;
		sum.counted = sum.counted && f.counted;
	}
	if (any)
		*ret_figures = sum;
	return any;
}

bool
lanes_figures_are_all(const struct listener *l)
{
	const struct lanes *ls = &l->lanes;

	if (ls->ebpf == NULL || !steering_ebpf_counts_all(ls->ebpf))
		return false;
	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i]->listening &&
		    (ls->v[i]->uncounted || ls->v[i]->counted_late))
			return false;
	return true;
}

bool
lanes_figures_flows(const struct lane *lane, struct mono now,
    int64_t *ret_known_ms, int64_t *ret_fresh_ms)
{
	const struct steering_flows *flows = lane->listener->lanes.flows;

	if (flows == NULL)
		return false;
	steering_flows_heard(flows, lane->slot, now, ret_known_ms,
	    ret_fresh_ms);
	return true;
}

bool
lanes_figures_dropped(const struct listener *l, uint64_t *ret_packets)
{
	if (l->lanes.flows != NULL)
		*ret_packets = steering_flows_dropped(l->lanes.flows);
	else if (l->lanes.ebpf != NULL)
		*ret_packets = steering_ebpf_dropped(l->lanes.ebpf);
	else
		return false;
	return true;
}
