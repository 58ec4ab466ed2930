#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/sockets/balancing.h"
#include "daemon/sockets/lanes_attach.h"
#include "daemon/sockets/lanes_extended.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listener_ledger.h"
#include "linux/bpf/steering_ebpf.h"

/* Of more lanes than these not each change looks at all of them. */
#define LANES_EXTENDED_AT_ONCE 64

/* ---- whether there is one ---- */

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

int
lanes_extended_open(struct listener *l, enum balance b, struct error *err)
{
	struct lanes *ls = &l->lanes;
	struct steering_hub *hub;
	int code = b != BALANCE_LEAST_CONNECTIONS ? 0 : check_counted(l, err);

	if (code < 0)
		return code;
	if (ls->ebpf != NULL)
		return steering_ebpf_set_mode(ls->ebpf, lanes_attach_mode(b),
		    err);
	code = balancing_hub(&l->all->balancing, &hub, err);
	if (code == 0)
		code = steering_ebpf_new(lanes_attach_mode(b),
		    lanes_attach_room(ls), hub, &ls->ebpf, err);
	listener_ledger_count(l->all);
	if (code == 0)
		ls->ebpf_room = lanes_attach_room(ls);
	return code;
}

int
lanes_extended_room(struct listener *l, struct error *err)
{
	struct lanes *ls = &l->lanes;
	int code;

	if (ls->n > STEERING_EBPF_LANES_MAX)
		return error_set(err, -EMFILE,
		    "too many sockets of one listener");
	if (ls->ebpf == NULL || ls->n <= ls->ebpf_room)
		return 0;
	code = steering_ebpf_grow(ls->ebpf, lanes_attach_room(ls), err);
	if (code == 0)
		ls->ebpf_room = lanes_attach_room(ls);
	return code;
}

struct steering_ebpf *
lanes_extended_swap(struct listener *l, struct steering_ebpf *ebpf)
{
	struct steering_ebpf *old = l->lanes.ebpf;

	l->lanes.ebpf = ebpf;
	return old;
}

void
lanes_extended_free(struct listener *l)
{
	steering_ebpf_free(l->lanes.ebpf);
	l->lanes.ebpf = NULL;
}

/* ---- what it knows ---- */

int
lanes_extended_set_lane(struct lane *lane)
{
	struct lanes *ls = &lane->listener->lanes;
	struct error err = ERROR_INIT;
	int code = steering_ebpf_set_lane(ls->ebpf, lane->slot, lane->fd,
	    &err);

	if (code < 0 && (code != -EINVAL || ls->order.n > 1))
		lanes_attach_failed(lane->listener, error_text(&err));
	error_clear(&err);
	return code;
}

int
lanes_extended_found(const struct lane *lane, struct error *err)
{
	struct steering_ebpf *ebpf = lane->listener->lanes.ebpf;
	int code = steering_ebpf_mark_lane(ebpf, lane->slot, lane->fd);

	return code < 0 ? error_set(err, code, "%s", strerror(-code)) :
	    steering_ebpf_found(ebpf, lane->slot, lane->fd, err);
}

int
lanes_extended_attach(struct listener *l, bool see, struct error *err)
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
		if (see && ls->n <= LANES_EXTENDED_AT_ONCE)
			(void)lanes_extended_set_lane(ls->v[i]);
	}
	if (n == 0)
		slots[n++] = ls->order.v[0].slot;
	steering_ebpf_set_live(ls->ebpf, slots, n);
	free(slots);
	/* A worker may have put its own in its place, or taken it away: nobody
	   tells, so it is attached each time. */
	return steering_ebpf_attach(ls->ebpf, lanes_attach_point(ls)->fd, err);
}

/*
 * A lane whose connections are not counted seems to have none, and would draw
 * all that come: from now on they go by turns. Where the supervisor was moved
 * to a cgroup that it cannot count in.
 */
static bool
compare_no_more(struct lane *lane)
{
	struct listener *l = lane->listener;
	struct lanes *ls = &l->lanes;
	struct error why = ERROR_INIT, err = ERROR_INIT;
	bool changed = false;

	if (balancing_cover(&l->all->balancing, &why) == 0)
		error_set(&why, 0, "clusterd has been moved to another "
		    "cgroup");
	if (steering_ebpf_set_mode(ls->ebpf,
	    lanes_attach_mode(BALANCE_ROUND_ROBIN), &err) < 0) {
		lanes_attach_failed(l, error_text(&err));
	} else {
		changed = true;
		log_app(LOG_LEVEL_WARNING, l->app,
		    "balance = least-connections failed, it is round-robin "
		    "now: the connections of a new listener of %s are not "
		    "counted: %s", address_text_numeric(&l->bound).s,
		    error_text(&why));
	}
	error_clear(&why);
	error_clear(&err);
	return changed;
}

bool
lanes_extended_see_counted(struct lane *lane)
{
	const struct lanes *ls = &lane->listener->lanes;

	lane->uncounted = !steering_ebpf_lane_counted(ls->ebpf, lane->slot);
	return lane->uncounted && ls->balance == BALANCE_LEAST_CONNECTIONS &&
	    compare_no_more(lane);
}
