#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_flows.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/sockdiag.h"

/* A question of its own each time: a Unix listener has one lane, and whoever
   drains may be in the middle of another question. */
static int
queue_of_unix(const struct lane *lane, uint32_t *ret_waiting,
    uint32_t *ret_backlog)
{
	struct sockdiag diag = SOCKDIAG_INIT;
	struct sockdiag_unix s;
	int code = sockdiag_open(&diag);

	if (code == 0)
		code = sockdiag_unix_one(&diag, lane->ino, &s);
	if (code == 0) {
		*ret_waiting = s.queue;
		*ret_backlog = s.queue_max;
	}
	sockdiag_close(&diag);
	return code;
}

bool
lanes_figures_queue(const struct lane *lane, uint32_t *ret_waiting,
    uint32_t *ret_backlog)
{
	switch (lane->listener->bound.kind) {
	case ADDRESS_TCP:
		return lane->listening && lane_queue_tcp(lane->fd, ret_waiting,
		    ret_backlog) == 0;
	case ADDRESS_UNIX:
		return queue_of_unix(lane, ret_waiting, ret_backlog) == 0;
	default:
		return false;
	}
}

bool
lanes_figures_counts(const struct lane *lane, uint64_t *ret_open,
    uint64_t *ret_total)
{
	const struct lanes *ls = &lane->listener->lanes;

	return ls->ebpf != NULL && !lane->uncounted &&
	    steering_ebpf_counts(ls->ebpf, lane->slot, ret_open, ret_total);
}

void
lanes_figures(const struct lane *lane, struct lane_figures *ret_figures)
{
	struct lane_figures f = { .waiting = 0 };

	f.queued = lanes_figures_queue(lane, &f.waiting, &f.backlog);
	f.counted = lanes_figures_counts(lane, &f.open, &f.total);
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
