#include <stddef.h>

#include "core/worker/trial.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer_sight.h"
#include "daemon/workers/worker.h"

static void
add(struct trial_sight *sight, const struct lane *lane)
{
	struct lane_figures before, after;

	/* Who comes between the two is among those who wait, and not among
	   those who came: never the other way round. */
	lanes_figures(lane, &before);
	lanes_figures(lane, &after);
	if (after.queued)
		sight->waiting += after.waiting;
	if (before.counted)
		sight->came += before.total;
}

void
steer_sight(const struct worker *w, struct trial_sight *ret_sight)
{
	size_t n = app_spec_n_listeners(w->spec);
	struct trial_sight sight = { .waiting = 0 };

	for (size_t i = 0; i < n; i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		const struct lane *lane = NULL;

		if (l != NULL && l->bound.kind == ADDRESS_TCP &&
		    !spec_lanes_shared(w->spec, l))
			lane = lanes_find(l, &w->holder);
		if (lane != NULL && lane->listening)
			add(&sight, lane);
	}
	*ret_sight = sight;
}
