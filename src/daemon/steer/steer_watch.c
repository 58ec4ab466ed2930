#include <stddef.h>

#include "core/sockets/lane_watch.h"
#include "daemon/sockets/lanes_watch.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer_claim.h"
#include "daemon/steer/steer_watch.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

/* What is to be expected of a lane's holder, or of the best of several. */
struct prospect {
	enum lane_holding holding;
	struct mono due;
	bool comes;	/* one that stays will be ready at some time */
};

#define NOBODY ((struct prospect){ .holding = LANE_FREE, .due = MONO_NEVER })

static struct prospect
of_worker(const struct worker *w, struct mono now)
{
	struct prospect p = {
		.holding = lane_holding(w->fsm.state),
		.due = w->fsm.state == WORKER_BACKOFF ? w->fsm.deadline : now,
	};

	p.comes = w->seated &&
	    (p.holding == LANE_DUE || p.holding == LANE_STARTING);
	return p;
}

static struct prospect
better(struct prospect a, struct prospect b)
{
	bool is_b = b.holding > a.holding ||
	    (b.holding == a.holding && mono_before(b.due, a.due));
	bool comes = a.comes || b.comes;

	if (is_b)
		a = b;
	a.comes = comes;
	return a;
}

/* The lane for all: the best of those that share it. */
static struct prospect
of_common(const struct workers *workers, const struct listener *l,
    struct mono now)
{
	struct prospect p = NOBODY;

	if (l->lanes.common == NULL)
		return p;
	for (const struct crew *c = workers->crews; c != NULL; c = c->next)
		for (const struct worker *w = c->workers; w != NULL;
		    w = w->next)
			if ((l->instance < 0 ||
			    l->instance == (long)w->instance) &&
			    app_spec_has(w->spec, l) &&
			    spec_lanes_shared(w->spec, l))
				p = better(p, of_worker(w, now));
	return p;
}

static struct prospect
of_lane(const struct lane *lane, struct prospect common, struct mono now)
{
	const struct worker *w = worker_of_holder(lane->holder);
	struct prospect p = lane == lane->listener->lanes.common ?
	    common : NOBODY;

	if (w == NULL || lane->deserted ||
	    (worker_ready(w) && !steer_claims(w, lane)))
		return p;
	p = better(p, of_worker(w, now));
	if (p.holding == LANE_SERVED && w->stuck &&
	    lane != lane->listener->lanes.common)
		p.holding = LANE_STUCK;
	return p;
}

/* Where what waits cannot move: a dead one's successor brings somebody for it
   (daemon/apps/seats), and who that is has the time that its start takes; it may
   fail once. */
static bool
has_heir(const struct lane *lane)
{
	const struct worker *w = worker_of_holder(lane->holder);

	if (w == NULL || lane->deserted)
		return false;
	return w->followed ? !worker_ready(w) : w->heir &&
	    w->fsm.rescues <= 1 && (w->fsm.state == WORKER_EXECING ||
		w->fsm.state == WORKER_STARTING);
}

/* Do new connections go to it, and are they served? */
static bool
is_ready(const struct lane *lane, struct prospect p)
{
	return lane->live && lane->listening && p.holding == LANE_SERVED;
}

struct mono
steer_watch(const struct workers *workers, struct listener *l, struct mono now)
{
	struct prospect common;
	struct mono next = MONO_NEVER;
	size_t ready = 0, coming = 0;

	if (l->lanes.n < 2)
		return next;
	common = of_common(workers, l, now);
	for (size_t i = 0; i < l->lanes.n; i++) {
		struct prospect p = of_lane(l->lanes.v[i], common, now);

		ready += is_ready(l->lanes.v[i], p);
		coming += p.comes;
	}
	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];
		struct prospect p = of_lane(lane, common, now);
		struct mono until = lanes_watch(lane, &(struct lane_facts){
			.holding = p.holding,
			.due = p.due,
			.heir = has_heir(lane),
			.others = ready > is_ready(lane, p) ?
			    LANE_OTHERS_READY : coming > p.comes ?
			    LANE_OTHERS_COMING : LANE_OTHERS_NONE,
		}, now);

		if (mono_before(until, next))
			next = until;
	}
	return next;
}
