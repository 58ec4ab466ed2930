#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes_attach.h"
#include "daemon/sockets/lanes_extended.h"
#include "daemon/sockets/lanes_flows.h"
#include "daemon/sockets/lanes_order.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_ledger.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_filter.h"

/* ---- who is in the group ---- */

/* eBPF has lost those that were shut down meanwhile. */
static void
see_returned(struct listener *l)
{
	if (!l->lanes.order_returned)
		return;
	l->lanes.order_returned = false;
	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];

		if (lane->returned)
			lanes_program_check(lane);
		lane->returned = false;
	}
}

/* Those that lanes_order has found to have left. */
static bool
put_out(struct listener *l, size_t n)
{
	see_returned(l);
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

int
lanes_program_reserve(struct listener *l)
{
	return lanes_order_reserve(l);
}

int
lanes_program_room(struct listener *l, struct error *err)
{
	int code = lanes_extended_room(l, err);

	if (code == 0)
		code = lanes_flows_room(&l->lanes, err);
	return code;
}

/* ---- both ---- */

/* So often at most it is looked for the reason. */
#define STRAYED_MS 100

/* One of UDP that has taken another's place has a group since its bind, and no
   program in it. */
static void
found_datagrams(const struct listener *l)
{
	if (l->bound.kind == ADDRESS_UDP && !l->inherited)
		(void)socket_attach_place(
		    l->lanes.v[l->lanes.order.v[0].slot]->fd, 0);
}

/* `see`: as of lanes_extended_attach(); where the lanes have just been set there is no
   need. -errno with words: the old program is still there. */
static int
attach(struct listener *l, bool see, struct error *err)
{
	struct lanes *ls = &l->lanes;
	int code;

	if (ls->order.n == 0)
		return 0;
	if (ls->flows != NULL) {
		code = lanes_flows_attach(l, err);
		ls->attached = code == 0;
		return code;
	}
	/* There is no choice yet; where it is in no group, nor a program. */
	if (ls->order.n == 1 && !ls->attached && (ls->ebpf == NULL ||
	    lanes_extended_set_lane(ls->v[ls->order.v[0].slot]) < 0)) {
		found_datagrams(l);
		return 0;
	}
	if (ls->ebpf != NULL) {
		code = lanes_extended_attach(l, see, err);
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

	if (attach(l, true, &err) < 0)
		lanes_attach_failed(l, error_text(&err));
	else
		lanes_attach_worked(l);
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
lanes_program_strayed(struct listener *l)
{
	struct lanes *ls = &l->lanes;
	struct mono now = mono_now();

	if (mono_ms_between(ls->strayed, now) < STRAYED_MS)
		return;
	ls->strayed = now;
	(void)put_out(l, lanes_order_look(l, false, true));
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

int
lanes_program_found(const struct lane *lane, struct error *err)
{
	int code;

	if (lane->listener->lanes.ebpf != NULL)
		return lanes_extended_found(lane, err);
	code = socket_found_group(lane->fd, -1);
	return code < 0 ? error_set(err, code, "%s", strerror(-code)) : 0;
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
		(void)lanes_extended_set_lane(ls->v[ls->order.v[0].slot]);
	if (ls->ebpf != NULL) {
		(void)lanes_extended_set_lane(lane);
		if (lanes_extended_see_counted(lane))
			ls->balance = BALANCE_ROUND_ROBIN;
	}
	/* Somebody has to get what comes before anything is known. */
	if (ls->order.n == 1)
		lane->live = true;
	listener_ledger_lane(lane);
	if (!ls->attached || changed || ls->flows != NULL)
		lanes_program_again(l);
}

static bool
any_live(const struct lanes *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->v[i]->live && ls->v[i]->listening)
			return true;
	return false;
}

void
lanes_program_found_again(struct lane *lane)
{
	struct lanes *ls = &lane->listener->lanes;

	lane->listening = true;
	if (lane->joined == 0)
		lane->joined = ls->joins + 1;
	if (lane->joined > ls->joins)
		ls->joins = lane->joined;
	lanes_order_joined(lane);
	if (ls->order.n == 1 && !any_live(ls))
		lane->live = true;
	listener_ledger_lane(lane);
}

/* The program that is attached, if one is, may be another supervisor's, and what it
   goes by is about to go. */
void
lanes_program_take_over(struct listener *l, bool sure)
{
	struct lanes *ls = &l->lanes;
	int code;

	if (!sure)
		lanes_order_doubt_all(l);
	if (ls->order.n == 0 || l->bound.kind == ADDRESS_UNIX ||
	    l->inherited)
		return;
	code = attach_classic(l, ls->order.n);
	ls->attached = code == 0;
	/* In no group there is none. */
	if (code < 0 && (code != -EINVAL || ls->order.n > 1))
		lanes_attach_failed(l, strerror(-code));
}

void
lanes_program_left(struct lane *lane, bool for_good)
{
	struct lanes *ls = &lane->listener->lanes;

	lane->listening = false;
	if (for_good)
		lane->live = false;
	lanes_order_left(lane);
	listener_ledger_lane(lane);
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
		(void)lanes_extended_set_lane(lane);
}

void
lanes_program_free(struct listener *l)
{
	lanes_extended_free(l);
	lanes_flows_free(l);
	lanes_order_free(l);
	free(l->lanes.checks);
	l->lanes.checks = NULL;
	l->lanes.n_checks = 0;
}

bool
lanes_program_has_choice(const struct listener *l)
{
	return l->lanes.n > 1 || l->lanes.ebpf != NULL ||
	    l->lanes.flows != NULL;
}

void
lanes_program_expect(struct listener *l, size_t n)
{
	l->lanes.expected = n;
}

void
lanes_program_set_live(struct lane *lane, bool live)
{
	if (lane->live == live)
		return;
	lane->live = live;
	listener_ledger_lane(lane);
}

/* eBPF goes by no order. */
static bool
needs_order(const struct listener *l)
{
	return l->lanes.ebpf == NULL && l->lanes.flows == NULL &&
	    l->lanes.attached;
}

bool
lanes_program_find_out(struct listener *l)
{
	if (!needs_order(l))
		return true;
	if (lanes_order_may_ask_again(l) ||
	    !mono_before(mono_now(), lanes_order_ask_at(l)))
		lanes_program_again(l);
	return !lanes_order_may_ask_again(l);
}

struct mono
lanes_program_find_out_at(const struct listener *l)
{
	return needs_order(l) ? lanes_order_ask_at(l) : MONO_NEVER;
}

bool
lanes_program_see_news(struct listener *l)
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

/* The lanes under a program of another kind, which knows them before it is
   there. */
static int
use_extended(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	bool attached = ls->attached, fresh = ls->ebpf == NULL;
	int code = lanes_extended_open(l, b, err);

	if (code < 0 || !fresh)
		return code;
	ls->attached = false;
	for (size_t i = 0; i < ls->n; i++) {
		if (!ls->v[i]->listening)
			continue;
		(void)lanes_extended_set_lane(ls->v[i]);
		/* It may have been by a supervisor before, from the beginning. */
		ls->v[i]->counted_late = !steering_ebpf_lane_counted(ls->ebpf,
		    ls->v[i]->slot);
	}
	code = attach(l, false, err);
	if (code < 0) {
		steering_ebpf_clear(ls->ebpf);
		lanes_extended_free(l);
		ls->attached = attached;
	}
	return code;
}

static int
use_classic(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	struct steering_ebpf *old_ebpf = lanes_extended_swap(l, NULL);
	enum balance old = ls->balance;
	int code;

	ls->balance = b;
	code = attach(l, true, err);
	if (code < 0) {
		(void)lanes_extended_swap(l, old_ebpf);
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
	bool fresh = l->lanes.flows == NULL;
	int code = lanes_flows_open(l, b, err);

	if (code < 0)
		return code;
	code = attach(l, true, err);
	if (code < 0 && fresh)
		lanes_flows_end(lanes_flows_swap(l, NULL));
	return code;
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
	struct steering_flows *flows;
	int code;

	if (b == l->lanes.balance)
		return 0;
	if (keeps_flows(l, b)) {
		l->lanes.balance = b;
		return 0;
	}
	flows = lanes_flows_swap(l, NULL);
	code = balance_is_privileged(b) ? use_extended(l, b, err) :
	    use_classic(l, b, err);
	/* The old program is still there. */
	if (code < 0) {
		(void)lanes_flows_swap(l, flows);
		return code;
	}
	lanes_flows_end(flows);
	l->lanes.balance = b;
	return 0;
}
