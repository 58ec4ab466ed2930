#include "base/log.h"
#include "base/mono.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_flows.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_news.h"
#include "daemon/sockets/lanes_sockets.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_ledger.h"
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

/* One that nobody has, as good as new. */
static int
find_another(struct listener *l, struct lane **ret_lane, struct error *err)
{
	struct lane *lane = find_free(l);
	int code = 0;

	if (lane == NULL)
		return lanes_sockets_add(l, ret_lane, err);
	if (lane->broken)
		code = lanes_sockets_replace(lane, err);
	if (code == 0)
		*ret_lane = lane;
	return code;
}

/* Whatever was, was another one's: at once, lest somebody comes before steering
   is put in force again, and is another one's then. */
static void
begin_turn(struct lane *lane)
{
	lane->claimed = 0;
	lane->turn++;
	lanes_unseal(lane);
	lanes_flows_turned(lane);
}

static void
hand_over(struct lane *lane, const struct lane_holder *holder)
{
	lane->holder = holder;
	begin_turn(lane);
	listener_ledger_lane(lane);
}

int
lanes_take(struct listener *l, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err)
{
	struct lane *lane = lanes_find(l, holder);
	int code;

	if (lane == NULL) {
		code = find_another(l, &lane, err);
		if (code < 0)
			return code;
		hand_over(lane, holder);
	}
	if (lane->deserted)
		listener_tell(l);
	lane->deserted = false;
	lanes_unseal(lane);
	*ret_lane = lane;
	return 0;
}

void
lanes_claim(struct lane *lane, uint64_t process)
{
	if (lane->claimed == process)
		return;
	lane->claimed = process;
	listener_ledger_lane(lane);
	listener_tell(lane->listener);
}

void
lanes_desert(struct lane *lane)
{
	struct listener *l = lane->listener;

	lane->deserted = true;
	lanes_live_want(lane, false);
	(void)lanes_live_apply(l, mono_now());
	listener_tell(l);
}

/* Those who come before anybody is ready wait in the first one. */
static struct lane *
find_for_all(struct listener *l, const struct lane_holder *holder)
{
	struct lane *first = l->lanes.v[0];
	struct lane *own = lanes_find(l, holder);

	if (first->holder == NULL || first->holder->crowd == holder->crowd)
		return first;
	return own != NULL ? own : find_free(l);
}

static int
begin_to_share(struct listener *l, const struct lane_holder *holder,
    struct error *err)
{
	struct lane *lane = find_for_all(l, holder);
	int code = lane != NULL ? 0 : lanes_sockets_add(l, &lane, err);

	if (code < 0)
		return code;
	lane->holder = NULL;
	begin_turn(lane);
	l->lanes.common = lane;
	listener_ledger_lane(lane);
	return 0;
}

/* Nobody will come to it, for those who could share another. */
static void
leave_own(struct listener *l, const struct lane_holder *holder)
{
	struct lane *own = lanes_find(l, holder);

	if (own == NULL)
		return;
	lanes_leave(l, holder);
	if (l->door_closed)
		return;
	if (lanes_can_move(own))
		lanes_move(own);
	else
		lanes_reset(own);
}

int
lanes_share(struct listener *l, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err)
{
	int code = l->lanes.common != NULL ? 0 :
	    begin_to_share(l, holder, err);

	if (code < 0)
		return code;
	leave_own(l, holder);
	*ret_lane = l->lanes.common;
	return 0;
}

static uint32_t
queue_length(const struct lane *lane)
{
	uint32_t waiting, backlog;

	return lane_queue_tcp(lane->fd, &waiting, &backlog) < 0 ? 0 : waiting;
}

/* How many wait, if that is for us to change; live lanes have somebody. */
static uint32_t
count_waiting(const struct lane *lane)
{
	if (!lane->listening || !listener_is_own_tcp(lane->listener) ||
	    (lane->live && lane->wanted))
		return 0;
	return queue_length(lane);
}

static void
log_end_of_wait(const struct lane *lane, uint32_t n, const char *how)
{
	log_app_often(LOG_LEVEL_INFO, lane->listener->app,
	    "%u connection%s that waited for a worker %s", n, n == 1 ? "" : "s",
	    how);
}

/* Nobody will come to it any more. With a deaf one it stays, lest places in the
   kernel's order change, and clients get elsewhere for a moment; but nobody
   waits in it. */
static void
close_free(struct lane *lane)
{
	uint32_t n;

	if (listener_deaf_lane(lane->listener) != NULL) {
		lanes_reset(lane);
		return;
	}
	n = listener_is_own_tcp(lane->listener) ? queue_length(lane) : 0;
	lanes_sockets_refuse_lane(lane);
	if (n > 0)
		log_end_of_wait(lane, n, "reset: none comes in time");
}

void
lanes_close_free(struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (lane_is_free(l->lanes.v[i]) && l->lanes.v[i]->listening)
			close_free(l->lanes.v[i]);
}

void
lanes_unshare(struct listener *l)
{
	struct lane *lane = l->lanes.common;

	if (lane == NULL)
		return;
	l->lanes.common = NULL;
	listener_ledger_lane(lane);
	if (!lane_is_free(lane))
		return;
	if (l->door_closed)
		close_free(lane);
	if (l->door_closed || (l->lanes.n == 1 && lane->live))
		return;
	lanes_live_want(lane, false);
	listener_tell(l);
}

void
lanes_leave(struct listener *l, const struct lane_holder *holder)
{
	struct lane *lane = lanes_find(l, holder);

	if (lane == NULL)
		return;
	lane->holder = NULL;
	begin_turn(lane);
	listener_ledger_lane(lane);
	lane->deserted = false;
	lanes_live_want(lane, false);
	if (!lane_is_free(lane))
		return;
	if (l->door_closed) {
		close_free(lane);
		return;
	}
	listener_tell(l);
}

void
lanes_pass(struct listener *l, const struct lane_holder *from,
    const struct lane_holder *to)
{
	struct lane *lane = lanes_find(l, from);

	if (lane == NULL)
		return;
	hand_over(lane, to);
	lane->deserted = false;
	listener_tell(l);
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
lanes_move(struct lane *lane)
{
	uint32_t n = count_waiting(lane);

	/* Handshakes stay with it, and end in it later. */
	if (n == 0 || !lanes_can_move(lane))
		return;
	lanes_sockets_list_again(lane);
	lane->moves++;
	log_end_of_wait(lane, n, "moved to others");
}

void
lanes_reset(struct lane *lane)
{
	uint32_t n;

	if (count_waiting(lane) == 0)
		return;
	if (lane_queue_reset_tcp(lane->fd, &n) < 0) {
		n += queue_length(lane);
		lanes_sockets_list_again(lane);
	}
	if (n > 0)
		log_end_of_wait(lane, n, "reset: none comes in time");
}

/* Whoever hears of clients of the one (lanes_watch_heed()) hears of the other's. */
static void
hand_on_heed(struct lane *from, struct lane *to)
{
	to->heeded = from->heeded;
	from->heeded = false;
	lanes_news_await_clients(from, from->listens);
	lanes_news_await_clients(to, to->listens || to->heeded);
}

/* Clients of the one are the other's from now on. */
static void
exchange(struct lane *from, struct lane *to, const struct lane_holder *holder)
{
	hand_over(to, holder);
	hand_over(from, NULL);
	hand_on_heed(from, to);
	lanes_live_want(to, from->wanted);
	lanes_live_want(from, false);
	(void)lanes_live_apply(from->listener, mono_now());
}

int
lanes_exchange(struct listener *l, const struct lane_holder *holder,
    struct lane **ret_lane, struct error *err)
{
	struct lane *old = lanes_find(l, holder), *lane;
	int code = find_another(l, &lane, err);

	if (code < 0)
		return code;
	exchange(old, lane, holder);
	if (count_waiting(old) > 0 && !lanes_can_move(old)) {
		exchange(lane, old, holder);
		lane = old;
	} else {
		lanes_sockets_refuse_lane(old);
		lanes_sockets_spoilt(old);
	}
	listener_tell(l);
	*ret_lane = lane;
	return 0;
}

void
lanes_rejoin(struct listener *l, const struct lane_holder *holder)
{
	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];

		if (lane->held_by == 0 || lane->held_by != holder->number)
			continue;
		lane->held_by = 0;
		lane->holder = holder;
	}
}

void
lanes_rejoined(struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++) {
		if (l->lanes.v[i]->held_by == 0)
			continue;
		l->lanes.v[i]->held_by = 0;
		begin_turn(l->lanes.v[i]);
		listener_ledger_lane(l->lanes.v[i]);
	}
	listener_tell(l);
}
