#include "core/sockets/lane_watch.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_watch.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/lane_queue.h"

static bool
is_watched(const struct lane *lane)
{
	return lane->listening && listener_is_own_tcp(lane->listener) &&
	    !lane->listener->door_closed &&
	    lane != lane->listener->lanes.waiting;
}

/* It is another one's, or nobody's: what was before counts for nothing. */
static void
note_turn(struct lane *lane)
{
	if (lane->watched_turn == lane->turn)
		return;
	lane->watched_turn = lane->turn;
	lane->watch = (struct lane_watch){ .counts = false };
}

/* New connections go to it, since nobody else could have them: it is not for us
   to change what waits in it (lanes_move, lanes_reset), until they go
   elsewhere. */
static bool
is_wanted(const struct lane *lane)
{
	return lane->live && lane->wanted;
}

static uint32_t
count_queue(const struct lane *lane)
{
	uint32_t waiting, backlog;

	return lane_queue_tcp(lane->fd, &waiting, &backlog) < 0 ? 0 : waiting;
}

/* Has somebody come to it though nobody is sent there? Of the order of lanes
   something is not known then. While there was somebody before, epoll does not
   tell of the next one. */
static void
see_strays(struct lane *lane)
{
	struct listener *l = lane->listener;
	uint32_t waiting = lane->waits && !is_wanted(lane) ?
	    count_queue(lane) : 0;

	if (waiting > lane->waiting) {
		lanes_program_strayed(l);
		listener_tell(l);
	}
	if (waiting != lane->waiting)
		lane->waiting = waiting;
}

static bool
is_same(const struct lane_watch *a, const struct lane_watch *b)
{
	return a->counts == b->counts && a->since.ns == b->since.ns &&
	    a->waits == b->waits && a->came.ns == b->came.ns &&
	    a->queue == b->queue && a->grew.ns == b->grew.ns;
}

/* Whoever was to have it no more is gone, or takes long: what comes waits then
   until it is. Returns when to come again. */
static struct mono
see_to_seal(struct lane *lane, enum lane_holding holding, struct mono now)
{
	if (!lane->sealed)
		return MONO_NEVER;
	if ((holding >= LANE_STUCK || holding == LANE_ENDING) &&
	    !lane->live && mono_before(now, lane->sealed_until))
		return lane->sealed_until;
	lanes_unseal(lane);
	return MONO_NEVER;
}

static struct mono
see_to_waiting(struct lane *lane, const struct lane_facts *given,
    struct mono now)
{
	const struct lanes *ls = &lane->listener->lanes;
	struct lane_facts facts = *given;
	struct lane_watch watch;
	struct lane_decision d;

	if (!is_watched(lane))
		return MONO_NEVER;
	/* Another one would answer for it. */
	if (given->holding == LANE_STUCK && mono_before(now, lane->checked)) {
		lane->listens = false;
		lanes_news_await_clients(lane, lane->heeded);
		return lane->checked;
	}
	note_turn(lane);
	facts.can_move = ls->ebpf != NULL && ls->attached;
	facts.waits = lane->waits;
	facts.queue = facts.waits && facts.can_move ? count_queue(lane) : 0;
	watch = lane->watch;
	d = lane_watch_decide(&watch, &facts, now);
	/* Of most there is no news: memory that is not written is shared with
	   those who have been forked, and are not executed yet. */
	if (!is_same(&watch, &lane->watch))
		lane->watch = watch;
	if ((d.deed == LANE_MOVE || d.deed == LANE_RESET) && is_wanted(lane))
		d.deed = LANE_WAIT;	/* the news are that it is no more */
	if (d.deed == LANE_MOVE)
		lanes_move(lane);
	else if (d.deed == LANE_RESET)
		lanes_reset(lane);
	if (d.deed == LANE_MOVE || d.deed == LANE_RESET)
		d.deed = LANE_LISTEN;	/* more may come */
	if (d.deed != LANE_WAIT && lane->waits)
		lane->waits = false;
	if (lane->listens != (d.deed == LANE_LISTEN))
		lane->listens = d.deed == LANE_LISTEN;
	lanes_news_await_clients(lane, lane->listens || lane->heeded);
	see_strays(lane);
	return d.until;
}

struct mono
lanes_watch(struct lane *lane, const struct lane_facts *facts,
    struct mono now)
{
	struct mono seal = see_to_seal(lane, facts->holding, now);
	struct mono waiting = see_to_waiting(lane, facts, now);

	return mono_before(seal, waiting) ? seal : waiting;
}

void
lanes_watch_heed(struct lane *lane, bool on)
{
	lane->heeded = on && lane->listener->bound.kind == ADDRESS_TCP;
	lanes_news_await_clients(lane, lane->listens || lane->heeded);
}

static void
tell_who_heeds(struct lane *lane)
{
	const struct listeners *all = lane->listener->all;

	lane->heeded = false;
	if (all != NULL && all->came != NULL)
		all->came(all->came_ctx, lane);
}

void
lanes_watch_came(struct lane *lane)
{
	bool listens = lane->listens;

	/* It would be heard of all the time. */
	lane->listens = false;
	lanes_news_await_clients(lane, false);
	if (lane->heeded)
		tell_who_heeds(lane);
	if (!listens)
		return;
	lane->waits = true;
	if (!is_wanted(lane))
		lanes_program_strayed(lane->listener);
	listener_tell(lane->listener);
}
