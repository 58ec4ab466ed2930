#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_order.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_words.h"
#include "daemon/sockets/listener.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/socket_shut.h"

/* Of more lanes than these, those that may be added are not at once: a large
   program is built for each change. */
#define LANES_LIVE_AT_ONCE 64

void
lanes_live_want(struct lane *lane, bool wanted)
{
	/* Most stay as they are: not to be written is to share memory with those
	   who have been forked, and are not executed yet. */
	if (lane->wanted != wanted)
		lane->wanted = wanted;
}

void
lanes_live_ramp(struct lane *lane, int64_t ms)
{
	lane->ramps = true;
	lane->ramp_ms = ms;
}

/* Before they are live, so that nobody comes to one at full speed. */
static void
begin_ramps(const struct lanes *ls, struct mono now)
{
	for (size_t i = 0; i < ls->n; i++) {
		struct lane *lane = ls->v[i];

		if (!lane->ramps || !lane->wanted)
			continue;
		lane->ramps = false;
		if (ls->ebpf != NULL)
			steering_ebpf_ramp(ls->ebpf, lane->slot, now,
			    lane->ramp_ms);
	}
}

void
lanes_live_nobody(struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++) {
		l->lanes.v[i]->wanted = false;
		lanes_program_set_live(l->lanes.v[i], false);
	}
}

void
lanes_live_suspect(struct listener *l)
{
	if (!l->lanes.attached || l->lanes.suspect)
		return;
	l->lanes.suspect = true;
	listener_tell(l);
}

/* Returns whether something gets worse by waiting. */
static bool
is_urgent(const struct lanes *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i]->live && !ls->v[i]->wanted)
			return true;
	return false;
}

static bool
put_in_force(struct listener *l, struct mono now)
{
	struct lanes *ls = &l->lanes;
	bool any = false, changes = false;

	for (size_t i = 0; i < ls->n; i++) {
		any |= ls->v[i]->wanted && ls->v[i]->listening;
		changes |= ls->v[i]->wanted != ls->v[i]->live;
	}
	if (!any || (!changes && !ls->suspect))
		return lanes_program_find_out(l);
	if (ls->n > LANES_LIVE_AT_ONCE && !is_urgent(ls) &&
	    mono_ms_between(ls->changed, now) < LANES_LIVE_PAUSE_MS)
		return false;
	for (size_t i = 0; i < ls->n; i++)
		lanes_program_set_live(ls->v[i], ls->v[i]->wanted);
	ls->changed = now;
	ls->suspect = false;
	lanes_program_again(l);
	if (changes)
		lanes_words_tell_live(l);
	return ls->ebpf != NULL || !lanes_order_may_ask_again(l);
}

bool
lanes_live_apply(struct listener *l, struct mono now)
{
	bool known = lanes_program_see_news(l);

	begin_ramps(&l->lanes, now);
	return put_in_force(l, now) && known;
}

void
lanes_live_wake(const struct listener *l)
{
	const struct lanes *ls = &l->lanes;
	uint32_t waiting, backlog;

	for (size_t i = 0; ls->ebpf != NULL && i < ls->n; i++) {
		const struct lane *lane = ls->v[i];

		if (lane->live && lane->listening &&
		    lane_queue_tcp(lane->fd, &waiting, &backlog) == 0 &&
		    waiting > 0)
			socket_wake(lane->fd);
	}
}
