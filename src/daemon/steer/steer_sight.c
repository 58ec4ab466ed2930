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
	uint64_t open, came;
	uint32_t waiting, backlog;

	/* Who comes between the two is among those who wait, and not among
	   those who came: never the other way round. */
	if (lanes_figures_counts(lane, &open, &came))
		sight->came += came;
	if (lanes_figures_queue(lane, &waiting, &backlog))
		sight->waiting += waiting;
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
