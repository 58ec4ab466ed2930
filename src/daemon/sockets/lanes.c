#include "base/log.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "linux/socket/lane_queue.h"

struct lane *
lanes_find(const struct listener *l, const struct lane_holder *holder)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->holder == holder)
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

/* One with clients in its queue first: they wait for somebody. */
static struct lane *
find_free(struct listener *l)
{
	struct lane *found = NULL;
	unsigned most = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];
		uint32_t waiting = 0, backlog;

		if (!lane_is_free(lane))
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

int
lanes_take(struct listener *l, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err)
{
	struct lane *lane = lanes_find(l, holder);
	int code;

	if (lane == NULL) {
		lane = find_free(l);
		code = lane != NULL ? 0 : lanes_sockets_add(l, &lane, err);
		if (code < 0)
			return code;
		lane->holder = holder;
		lanes_sockets_await_strays(lane, false);
	}
	*ret_lane = lane;
	return 0;
}

struct lane *
lanes_common(struct listener *l)
{
	l->lanes.common = true;
	return l->lanes.v[0];
}

/* Nobody will come to it any more. With a deaf one it stays, lest places in the
   kernel's order change, and clients get elsewhere for a moment. */
static void
close_free(struct lane *lane)
{
	if (listener_deaf_lane(lane->listener) == NULL)
		lanes_sockets_refuse_lane(lane);
}

void
lanes_unshare(struct listener *l)
{
	struct lane *lane = l->lanes.v[0];

	if (!l->lanes.common)
		return;
	l->lanes.common = false;
	if (!lane_is_free(lane))
		return;
	if (l->door_closed)
		close_free(lane);
	if (l->door_closed || (l->lanes.n == 1 && lane->live))
		return;
	lanes_program_want(lane, false);
	lanes_evacuate(lane, true);
	lanes_sockets_await_strays(lane, true);
}

void
lanes_leave(struct listener *l, const struct lane_holder *holder)
{
	struct lane *lane = lanes_find(l, holder);
	uint32_t waiting = 0, backlog;

	if (lane == NULL)
		return;
	lane->holder = NULL;
	lanes_program_want(lane, false);
	if (!lane_is_free(lane))
		return;
	if (l->door_closed) {
		close_free(lane);
		return;
	}
	lanes_evacuate(lane, false);
	if (lane->listening && l->bound.kind == ADDRESS_TCP &&
	    lane_queue_tcp(lane->fd, &waiting, &backlog) == 0 && waiting == 0)
		lanes_sockets_await_strays(lane, true);
}

/* Is there another one that gets what this one's clients cannot have? */
static bool
has_other_live(const struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i] != lane && ls->v[i]->live &&
		    ls->v[i]->listening && !ls->v[i]->deaf)
			return true;
	return false;
}

bool
lanes_can_move(const struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	return ls->ebpf != NULL && ls->attached && has_other_live(lane);
}

void
lanes_evacuate(struct lane *lane, bool or_reset)
{
	struct listener *l = lane->listener;
	bool moves = lanes_can_move(lane);
	uint32_t waiting, backlog;

	if (!lane->listening || !listener_is_own_tcp(l) ||
	    (lane->live && lane->wanted))
		return;
	if (!moves && !or_reset)
		return;
	if (lane_queue_tcp(lane->fd, &waiting, &backlog) < 0)
		waiting = 0;
	if (!moves && waiting == 0)
		return;
	lanes_sockets_list_again(lane);
	if (waiting > 0)
		log_app(LOG_LEVEL_INFO, l->app,
		    "%u connection%s that waited for a worker %s", waiting,
		    waiting == 1 ? "" : "s", moves ? "moved to others" :
		    "reset, nobody would come");
}
