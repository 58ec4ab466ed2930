#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer_claim.h"
#include "daemon/workers/worker.h"

bool
steer_claims(const struct worker *w, const struct lane *lane)
{
	const struct listener *l = lane->listener;

	if (!app_spec_has(w->spec, l) || !app_spec_has_taken(w->spec, l))
		return true;
	return worker_ready(w) ? lane->claimed == w->serial :
	    lane->claimed != 0;
}
