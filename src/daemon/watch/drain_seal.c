#include <stddef.h>

#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_flows.h"
#include "daemon/sockets/lanes_hush.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/drain_seal.h"
#include "daemon/workers/worker.h"

/* Its lane for new connections of TCP, if it has one for itself. */
static struct lane *
lane_of(const struct worker *w, size_t i)
{
	struct listener *l = app_spec_listener(w->spec, i);
	struct lane *lane = l != NULL && l->bound.kind == ADDRESS_TCP ?
	    lanes_find(l, &w->holder) : NULL;

	return lane != NULL && lane->listening && !lane->deserted ? lane :
	    NULL;
}

bool
drain_seal(const struct worker *w)
{
	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct lane *lane = lane_of(w, i);

		/* New clients come to it: there is nobody else. */
		if (lane != NULL && (lane->live || lanes_seal(lane) < 0)) {
			drain_unseal(w);
			return false;
		}
	}
	return true;
}

void
drain_unseal(const struct worker *w)
{
	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct lane *lane = lane_of(w, i);

		if (lane != NULL)
			lanes_unseal(lane);
	}
}

bool
drain_sealed(const struct worker *w)
{
	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		const struct lane *lane = lane_of(w, i);

		if (lane != NULL && !lane->sealed)
			return false;
	}
	return true;
}

static bool
has_live(const struct listener *l)
{
	for (size_t i = 0; i < l->lanes.n; i++)
		if (l->lanes.v[i]->live && l->lanes.v[i]->listening)
			return true;
	return false;
}

bool
drain_leave_flows(const struct worker *w)
{
	bool any = false;

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		struct lane *lane = l != NULL &&
		    l->bound.kind == ADDRESS_UDP ?
		    lanes_find(l, &w->holder) : NULL;

		/* Where it alone is live, or nobody, they have nobody else. */
		if (lane == NULL || lane->live || l->lanes.flows == NULL ||
		    !has_live(l))
			continue;
		lanes_flows_ended(lane);
		any = true;
	}
	return any;
}
