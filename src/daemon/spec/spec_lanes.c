#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener_open.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"

bool
spec_lanes_shared(const struct app_spec *spec, const struct listener *l)
{
	return listener_balance(l, spec->conf, spec->accepts) ==
	    BALANCE_SHARED;
}

int
spec_lanes_take(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder, struct lane **ret_lane, struct error *err)
{
	if (!spec_lanes_shared(spec, l))
		return lanes_take(l, holder, ret_lane, err);
	return lanes_share(l, holder, ret_lane, err);
}

struct lane *
spec_lanes_find(const struct app_spec *spec, struct listener *l,
    const struct lane_holder *holder)
{
	if (!spec_lanes_shared(spec, l))
		return lanes_find(l, holder);
	return l->instance < 0 || l->instance == holder->about.instance ?
	    l->lanes.common : NULL;
}

size_t
spec_lanes_n_places(const struct app_spec *spec)
{
	return spec->conf->n_listens + spec->beside.n;
}

struct listener *
spec_lanes_listener(const struct app_spec *spec, unsigned instance, size_t i)
{
	struct listener *l;

	if (i < spec->conf->n_listens)
		return app_spec_place(spec, instance, i);
	l = app_spec_listener(spec, i);
	return l != NULL && (l->instance < 0 || l->instance == (long)instance) ?
	    l : NULL;
}

size_t
spec_lanes_inodes(const struct app_spec *spec, const struct lane_holder *holder,
    uint64_t *inos, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < spec_lanes_n_places(spec) && n < max; i++) {
		struct listener *l = spec_lanes_listener(spec,
		    (unsigned)holder->about.instance, i);
		const struct lane *lane = l != NULL ?
		    spec_lanes_find(spec, l, holder) : NULL;

		if (lane != NULL && lane->listening && !l->quiet)
			inos[n++] = lane->ino;
	}
	return n;
}
