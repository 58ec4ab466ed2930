#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes_attach.h"
#include "daemon/sockets/lanes_order.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listener.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_flows.h"
#include "linux/socket/socket.h"

/* Of more lanes than these, those that may be added are not at once: a large
   program is built for each change. */
#define LANES_AT_ONCE	64

static void
warn(struct listener *l, const char *why)
{
	if (l->lanes.warned)
		return;
	l->lanes.warned = true;
	log_app_often(LOG_LEVEL_WARNING, l->app,
	    "new connections to %s cannot be steered: %s",
	    address_text_numeric(&l->bound).s, why);
}

/* ---- who is in the group ---- */

/* Those that lanes_order has found to have left. */
static bool
put_out(struct listener *l, size_t n)
{
	for (size_t i = 0; n > 0 && i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];

		if (lane->listening && lane_order_find(&l->lanes.order,
		    lane->slot) == LANE_ORDER_NONE)
			lane->listening = false;
	}
	if (l->lanes.order.n == 0)
		l->lanes.attached = false;
	return n > 0;
}

/* ---- classic BPF ---- */

/* So often at once, when somebody is shut down meanwhile. */
#define ASK_TIMES 3

/* Places that are in doubt are asked about; those that stay so get nothing. */
static void
find_out(struct listener *l)
{
	struct lanes *ls = &l->lanes;

	for (int i = 0; i < ASK_TIMES && lanes_order_is_question(l); i++) {
		int code;

		(void)put_out(l, lanes_order_look(l, false, true));
		if (ls->order.doubts == 0)
			return;
		code = lanes_attach_classic(l, ls->order.n, true);
		if (code < 0)
			lanes_order_failed(l, code);
		if (code < 0 || !lanes_order_ask(l))
			return;
	}
}

static int
attach_classic(struct listener *l, size_t places)
{
	size_t absent = l->lanes.order.n - places;

	find_out(l);
	if (l->lanes.order.n <= absent)
		absent = 0;
	return l->lanes.order.n == 0 ? 0 :
	    lanes_attach_classic(l, l->lanes.order.n - absent, false);
}

/* ---- eBPF ---- */

/* One that has listened alone from the beginning is in no group (-EINVAL): with
   the second one its time comes. */
static int
set_lane(struct lane *lane)
{
	struct lanes *ls = &lane->listener->lanes;
	struct error err = ERROR_INIT;
	int code = steering_ebpf_set_lane(ls->ebpf, lane->slot, lane->fd,
	    &err);

	if (code < 0 && (code != -EINVAL || ls->order.n > 1))
		warn(lane->listener, error_text(&err));
	error_clear(&err);
	return code;
}

static int
attach_extended(struct listener *l, struct error *err)
{
	struct lanes *ls = &l->lanes;
	unsigned *slots = reallocarray(NULL, ls->n, sizeof(*slots));
	size_t n = 0;

	if (slots == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < ls->n; i++) {
		if (!ls->v[i]->live || !ls->v[i]->listening)
			continue;
		slots[n++] = ls->v[i]->slot;
		/* An opportunity to see that the kernel knows it still. */
		if (ls->n <= LANES_AT_ONCE)
			(void)set_lane(ls->v[i]);
	}
	if (n == 0)
		slots[n++] = ls->order.v[0].slot;
	steering_ebpf_set_live(ls->ebpf, slots, n);
	free(slots);
	/* A worker may have put its own in its place, or taken it away: nobody
	   tells, so it is attached each time. */
	return steering_ebpf_attach(ls->ebpf, lanes_attach_point(ls)->fd, err);
}

/* ---- eBPF, of datagrams ---- */

/* Another holder's: another number, and none is 0. */
static uint32_t
number_of(const struct lane *lane)
{
	return (uint32_t)lane->turn | UINT32_C(1) << 31;
}

/* One that is not live, and was, stays open to the flows that it has, until its
   holder's process ends. */
static int
attach_flows(struct listener *l, struct error *err)
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
	if (n == 0) {
		first = ls->v[ls->order.v[0].slot];
		lanes[n++] = (struct steering_flows_lane){
			.seat = lanes_attach_seat(first), .slot = first->slot,
		};
	}
	steering_flows_set_live(ls->flows, lanes, n);
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
lanes_program_ended(const struct lane *lane)
{
	struct steering_flows *flows = lane->listener->lanes.flows;

	if (flows != NULL)
		steering_flows_open(flows, lane->slot, 0);
}

int
lanes_program_reserve(struct listener *l)
{
	return lanes_order_reserve(l);
}

int
lanes_program_room(struct listener *l, struct error *err)
{
	struct lanes *ls = &l->lanes;
	int code;

	if (ls->n > STEERING_EBPF_LANES_MAX)
		return error_set(err, -EMFILE,
		    "too many sockets of one listener");
	if (ls->flows != NULL && ls->n > STEERING_FLOWS_LANES_MAX)
		return error_set(err, -EMFILE,
		    "too many sockets of one UDP listener");
	if (ls->ebpf == NULL || ls->n <= ls->ebpf_room)
		return 0;
	code = steering_ebpf_grow(ls->ebpf, lanes_attach_room(ls), err);
	if (code == 0)
		ls->ebpf_room = lanes_attach_room(ls);
	return code;
}

/* ---- both ---- */

/* -errno with words: the old program is still there. */
static int
attach(struct listener *l, struct error *err)
{
	struct lanes *ls = &l->lanes;
	int code;

	if (ls->order.n == 0)
		return 0;
	if (ls->flows != NULL) {
		code = attach_flows(l, err);
		ls->attached = code == 0;
		return code;
	}
	/* There is no choice yet; where it is in no group, nor a program. */
	if (ls->order.n == 1 && !ls->attached && (ls->ebpf == NULL ||
	    set_lane(ls->v[ls->order.v[0].slot]) < 0))
		return 0;
	if (ls->ebpf != NULL) {
		code = attach_extended(l, err);
	} else {
		code = attach_classic(l, ls->order.n);
		if (code < 0)
			error_set(err, code, "%s", strerror(-code));
	}
	/* One that has listened alone since before there was a choice is in no
	   group, until a second one joins it. */
	if (code == -EINVAL && ls->order.n == 1) {
		error_clear(err);
		return 0;
	}
	if (code == 0)
		ls->attached = ls->order.n > 0;
	return code;
}

void
lanes_program_again(struct listener *l)
{
	struct error err = ERROR_INIT;

	if (attach(l, &err) < 0)
		warn(l, error_text(&err));
	else
		l->lanes.warned = false;
	error_clear(&err);
}

/* A second one makes it a choice: with a program there from the beginning. */
static void
attach_before_second(struct listener *l)
{
	struct lanes *ls = &l->lanes;
	int code;

	if (ls->order.n != 1 || ls->attached)
		return;
	code = attach_classic(l, ls->order.n);
	ls->attached = code == 0;
	if (code < 0)
		log_app_often(LOG_LEVEL_DEBUG, l->app,
		    "the kernel may choose a lane for a moment: %s",
		    strerror(-code));
}

void
lanes_program_look(struct listener *l)
{
	(void)put_out(l, lanes_order_look(l, false, false));
}

void
lanes_program_shut(struct lane *lane)
{
	struct listener *l = lane->listener;

	if (!lane->listening)
		return;
	(void)put_out(l, lanes_order_look(l, false, true));
	/* It was, and listens again by itself, since nobody knows when. */
	if (!lane->listening)
		return;
	lanes_order_doubt(lane);
	lanes_program_check(lane);
}

void
lanes_program_doubt(struct lane *lane)
{
	struct listener *l = lane->listener;

	if (!lane->listening)
		return;
	lanes_order_doubt(lane);
	if (l->lanes.ebpf == NULL && l->lanes.attached &&
	    lanes_order_is_question(l))
		lanes_program_again(l);
}

void
lanes_program_found(const struct lane *lane)
{
	int code = socket_found_group(lane->fd);

	if (code < 0)
		log_app_often(LOG_LEVEL_DEBUG, lane->listener->app,
		    "the first lane is in no group yet: %s", strerror(-code));
}

void
lanes_program_joining(struct lane *lane)
{
	struct lanes *ls = &lane->listener->lanes;

	lanes_program_look(lane->listener);
	lane->unseen = listener_is_own_tcp(lane->listener) &&
	    socket_is_listening(lane->fd);
	if (ls->ebpf == NULL && ls->flows == NULL)
		attach_before_second(lane->listener);
	/* Of one that listens already, its beginning would not be seen any more:
	   then it has the mark from before. */
	else if (!lane->unseen)
		(void)steering_ebpf_mark_lane(ls->ebpf, lane->slot, lane->fd);
}

/* Its place is the last one's until there is another program, and then its own
   again: nobody is sent there in between. */
void
lanes_program_leaving(const struct lane *lane)
{
	struct lanes *ls = &lane->listener->lanes;
	int code;

	if (ls->ebpf != NULL || !ls->attached || ls->order.n < 2)
		return;
	code = attach_classic(lane->listener, ls->order.n - 1);
	if (code < 0)
		log_app_often(LOG_LEVEL_DEBUG, lane->listener->app,
		    "some connections may go astray for a moment: %s",
		    strerror(-code));
}

/*
 * A lane whose connections are not counted seems to have none, and would draw
 * all that come: from now on they go by turns. Where the supervisor was moved
 * to a cgroup that it cannot count in.
 */
static void
compare_no_more(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	struct error why = ERROR_INIT, err = ERROR_INIT;

	if (balancing_cover(&l->all->balancing, &why) == 0)
		error_set(&why, 0, "clusterd has been moved to another "
		    "cgroup");
	if (steering_ebpf_set_mode(ls->ebpf, lanes_attach_mode(BALANCE_ROUND_ROBIN),
	    ls->attached ? lanes_attach_point(ls)->fd : -1, &err) < 0) {
		warn(l, error_text(&err));
	} else {
		ls->balance = BALANCE_ROUND_ROBIN;
		log_app(LOG_LEVEL_WARNING, l->app,
		    "balance = least-connections failed, it is round-robin "
		    "now: the connections of a new listener of %s are not "
		    "counted: %s", address_text_numeric(&l->bound).s,
		    error_text(&why));
	}
	error_clear(&why);
	error_clear(&err);
}

static void
see_if_counted(struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	lane->uncounted = !steering_ebpf_lane_counted(ls->ebpf, lane->slot);
	if (lane->uncounted && ls->balance == BALANCE_LEAST_CONNECTIONS)
		compare_no_more(lane);
}

void
lanes_program_joined(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	bool changed;

	lane->listening = true;
	lane->joined = ++ls->joins;
	lanes_order_joined(lane);
	changed = put_out(l, lanes_order_look(l, true, false));
	if (lane->unseen)
		lanes_order_doubt_all(l);
	lane->unseen = false;
	if (ls->ebpf != NULL && ls->order.n == 2)
		(void)set_lane(ls->v[ls->order.v[0].slot]);
	if (ls->ebpf != NULL) {
		(void)set_lane(lane);
		see_if_counted(lane);
	}
	/* Somebody has to get what comes before anything is known. */
	if (ls->order.n == 1)
		lane->live = true;
	if (!ls->attached || changed || ls->flows != NULL)
		lanes_program_again(l);
}

void
lanes_program_left(struct lane *lane, bool for_good)
{
	struct lanes *ls = &lane->listener->lanes;

	lane->listening = false;
	if (for_good)
		lane->live = false;
	lanes_order_left(lane);
	/* With the last one the group has gone, and the program with it. */
	if (ls->order.n == 0)
		ls->attached = false;
}

void
lanes_program_replaced(struct lane *lane)
{
	struct lane_order *order = &lane->listener->lanes.order;

	/* It is in the list twice now, of which the first one was the old. */
	lanes_order_left(lane);
	if (lane_order_find(order, lane->slot) == LANE_ORDER_NONE)
		lanes_order_joined(lane);
	lanes_program_again(lane->listener);
}

void
lanes_program_check(struct lane *lane)
{
	if (lane->listener->lanes.ebpf != NULL)
		(void)set_lane(lane);
}

static void
free_extended(struct lanes *ls)
{
	steering_ebpf_free(ls->ebpf);
	ls->ebpf = NULL;
}

void
lanes_program_free(struct listener *l)
{
	free_extended(&l->lanes);
	steering_flows_free(l->lanes.flows);
	l->lanes.flows = NULL;
	lanes_order_free(l);
}

bool
lanes_program_has_choice(const struct listener *l)
{
	return l->lanes.n > 1 || l->lanes.ebpf != NULL ||
	    l->lanes.flows != NULL;
}

void
lanes_program_want(struct lane *lane, bool wanted)
{
	lane->wanted = wanted;
}

void
lanes_program_nobody(struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		l->lanes.v[i]->wanted = l->lanes.v[i]->live = false;
}

void
lanes_program_expect(struct listener *l, size_t n)
{
	l->lanes.expected = n;
}

void
lanes_program_suspect(struct listener *l)
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

/* Doubts that were left. Returns whether none are that may be asked about. */
static bool
find_out_more(struct listener *l)
{
	if (l->lanes.ebpf != NULL || l->lanes.flows != NULL ||
	    !l->lanes.attached)
		return true;
	if (lanes_order_may_ask_again(l))
		lanes_program_again(l);
	return !lanes_order_may_ask_again(l);
}

/*
 * Those that were shut down, as a look has shown, with the news to come. None
 * will come of one that its holder lets listen again. Returns whether all is
 * known.
 */
static bool
see_news(struct listener *l)
{
	struct lanes *ls = &l->lanes;
	bool all = true, any = false;

	for (size_t i = 0; i < ls->n; i++) {
		struct lane *lane = ls->v[i];

		if (lane->listening || lane->hangup == 0 ||
		    !listener_is_own_tcp(l))
			continue;
		if (!socket_is_listening(lane->fd) ||
		    lanes_order_reserve(l) < 0) {
			all = false;
			continue;
		}
		lane->listening = any = true;
		lanes_order_joined(lane);
		lanes_program_check(lane);
	}
	if (any) {
		lanes_order_doubt_all(l);
		lanes_program_again(l);
	}
	return all;
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
		return find_out_more(l);
	if (ls->n > LANES_AT_ONCE && !is_urgent(ls) &&
	    mono_ms_between(ls->changed, now) < LANES_PROGRAM_PAUSE_MS)
		return false;
	for (size_t i = 0; i < ls->n; i++)
		ls->v[i]->live = ls->v[i]->wanted;
	ls->changed = now;
	ls->suspect = false;
	lanes_program_again(l);
	return ls->ebpf != NULL || !lanes_order_may_ask_again(l);
}

bool
lanes_program_apply(struct listener *l, struct mono now)
{
	bool known = see_news(l);

	return put_in_force(l, now) && known;
}

/* May connections be compared? */
static int
check_counted(struct listener *l, struct error *err)
{
	const struct lanes *ls = &l->lanes;
	int code = balancing_cover(&l->all->balancing, err);

	for (size_t i = 0; code == 0 && i < ls->n; i++)
		if (ls->v[i]->listening && ls->v[i]->uncounted)
			code = error_set(err, -ENOENT, "not all connections "
			    "are counted, since clusterd was moved to another "
			    "cgroup");
	return code;
}

/* The lanes under a program of another kind, which knows them before it is
   there. */
static int
use_extended(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	bool attached = ls->attached;
	struct steering_hub *hub;
	int code = b != BALANCE_LEAST_CONNECTIONS ? 0 : check_counted(l, err);

	if (code < 0)
		return code;
	if (ls->ebpf != NULL)
		return steering_ebpf_set_mode(ls->ebpf, lanes_attach_mode(b),
		    attached ? lanes_attach_point(ls)->fd : -1, err);
	code = balancing_hub(&l->all->balancing, &hub, err);
	if (code == 0)
		code = steering_ebpf_new(lanes_attach_mode(b),
		    lanes_attach_room(ls), hub, &ls->ebpf, err);
	if (code < 0)
		return code;
	ls->ebpf_room = lanes_attach_room(ls);
	ls->attached = false;
	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i]->listening)
			(void)set_lane(ls->v[i]);
	code = attach(l, err);
	if (code < 0) {
		steering_ebpf_clear(ls->ebpf);
		free_extended(ls);
		ls->attached = attached;
	}
	return code;
}

static int
use_classic(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	struct steering_ebpf *old_ebpf = ls->ebpf;
	enum balance old = ls->balance;
	int code;

	ls->ebpf = NULL;
	ls->balance = b;
	code = attach(l, err);
	if (code < 0) {
		ls->ebpf = old_ebpf;
		ls->balance = old;
		/* A program that asks may have taken its place. */
		if (old_ebpf != NULL && ls->attached) {
			ls->attached = false;
			lanes_program_again(l);
		}
		return code;
	}
	if (old_ebpf != NULL)
		steering_ebpf_clear(old_ebpf);
	steering_ebpf_free(old_ebpf);
	return 0;
}

/* Known flows stay with their workers. -errno with words. */
static int
use_flows(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	bool fresh = ls->flows == NULL;
	int code = 0;

	if (ls->n > STEERING_FLOWS_LANES_MAX)
		return error_set(err, -EMFILE, "too many sockets");
	if (fresh)
		code = steering_flows_new(&ls->flows, err);
	if (code < 0)
		return code;
	steering_flows_by_source(ls->flows, b == BALANCE_SOURCE);
	code = attach(l, err);
	if (code < 0 && fresh) {
		steering_flows_clear(ls->flows);
		steering_flows_free(ls->flows);
		ls->flows = NULL;
	}
	return code;
}

static void
leave_flows(struct lanes *ls)
{
	struct steering_flows *flows = ls->flows;

	ls->flows = NULL;
	if (flows != NULL)
		steering_flows_clear(flows);
	steering_flows_free(flows);
}

/* True: that is it. Else they go by what they are, which takes no privilege. */
static bool
keeps_flows(struct listener *l, enum balance b)
{
	struct balancing *balancing = &l->all->balancing;
	struct error err = ERROR_INIT;
	int code;

	if (l->bound.kind != ADDRESS_UDP || l->inherited ||
	    (b != BALANCE_FLOW && b != BALANCE_SOURCE))
		return false;
	code = use_flows(l, b, &err);
	if (code < 0 && !balancing->told_flows)
		log_app(LOG_LEVEL_INFO, l->app, "flows of datagrams do not "
		    "stay with their worker while it drains, at a reload: %s",
		    error_text(&err));
	balancing->told_flows |= code < 0;
	error_clear(&err);
	return code == 0;
}

int
lanes_program_set_balance(struct listener *l, enum balance b, struct error *err)
{
	int code;

	if (b == l->lanes.balance)
		return 0;
	if (keeps_flows(l, b)) {
		l->lanes.balance = b;
		return 0;
	}
	leave_flows(&l->lanes);
	code = balance_is_privileged(b) ? use_extended(l, b, err) :
	    use_classic(l, b, err);
	if (code == 0)
		l->lanes.balance = b;
	return code;
}
