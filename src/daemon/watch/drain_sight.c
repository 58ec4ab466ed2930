#include <sys/socket.h>

#include <errno.h>

#include "base/mono.h"
#include "core/worker/drain.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/workers/worker.h"
#include "linux/socket/lane_queue.h"

/* Connections, or whether there are datagrams. -errno. */
static int
lane_queue(struct sockdiag *diag, const struct lane *lane, uint32_t *ret_n)
{
	struct sockdiag_unix u = { .queue = 0 };
	uint32_t max;
	int code;

	switch (lane->listener->bound.kind) {
	case ADDRESS_UDP:
		code = lane_queue_udp(lane->fd, ret_n);
		*ret_n = *ret_n > 0;
		return code;
	case ADDRESS_UNIX:
		code = sockdiag_unix_one(diag, lane->ino, &u);
		*ret_n = u.queue;
		return code;
	default:
		return lane_queue_tcp(lane->fd, ret_n, &max);
	}
}

/* Of a lane that others have too, what waits in it is theirs. */
int64_t
drain_sight_queue(const struct worker *w, struct sockdiag *diag)
{
	int64_t all = 0;

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		const struct lane *lane = l != NULL ?
		    spec_lanes_find(w->spec, l, &w->holder) : NULL;
		uint32_t n = 0;
		int code;

		if (lane == NULL || !lane->listening ||
		    (spec_lanes_shared(w->spec, l) && steer_has_sharer(l, w)))
			continue;
		code = lane_queue(diag, lane, &n);
		/* It has just been shut down: there is none. */
		if (code < 0 && code != -EINVAL)
			return DRAIN_UNKNOWN;
		all += n;
	}
	return all;
}

#define PORTS_OF_ONE (1 + LISTENER_OLD_FILES)

/* Those who came before somebody shut it down, too. */
static size_t
collect_unix(const struct listener *l, struct connections_of *of)
{
	size_t n = 0;

	of[n++] = (struct connections_of){
		.family = AF_UNIX, .ino = listener_first_lane(l)->ino,
	};
	for (size_t i = 0; i < l->n_old_files; i++)
		of[n++] = (struct connections_of){
			.family = AF_UNIX, .file = l->old_files[i],
		};
	return n;
}

size_t
drain_sight_ports(const struct worker *w, struct connections_of *of)
{
	size_t n = 0;

	for (size_t i = 0; i < spec_lanes_n_places(w->spec) &&
	    n + PORTS_OF_ONE <= DRAIN_SIGHT_PORTS_MAX; i++) {
		struct listener *l =
		    spec_lanes_listener(w->spec, w->instance, i);

		if (l == NULL || l->bound.kind == ADDRESS_UDP)
			continue;
		if (l->bound.kind == ADDRESS_UNIX)
			n += collect_unix(l, of + n);
		else
			of[n++] = (struct connections_of){
				.family = l->bound.host == ADDRESS_HOST_IPV4 ?
				    AF_INET : AF_INET6,
				.port = l->bound.port,
			};
	}
	return n;
}

/* What no server of it has bound yet has no clients. */
static const struct listener *
serving(const struct worker *w, size_t i)
{
	const struct listener *l = app_spec_listener(w->spec, i);

	return l != NULL && l->listening ? l : NULL;
}

bool
drain_sight_refused(const struct worker *w)
{
	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		const struct listener *l = serving(w, i);

		if (l != NULL && !l->door_filter)
			return false;
	}
	return true;
}

/* Has it any lane, or only such ones, that others have too? */
static bool
shares(const struct worker *w, bool all)
{
	bool any = false;

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		const struct listener *l = serving(w, i);

		if (l == NULL)
			continue;
		/* Who comes to this one waits elsewhere. */
		if (spec_lanes_shared(w->spec, l) && l->lanes.waiting == NULL)
			any = true;
		else if (all)
			return false;
	}
	return any;
}

bool
drain_sight_gets_more(const struct worker *w, bool all)
{
	return !drain_sight_refused(w) && shares(w, all);
}

void
drain_sight_flows(const struct worker *w, const struct drain_policy *policy,
    struct drain_tally *tally)
{
	struct mono now = mono_now();

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		const struct lane *lane =
		    l != NULL ? lanes_find(l, &w->holder) : NULL;
		int64_t known_ms, fresh_ms;

		if (lane != NULL && lanes_figures_flows(lane, now, &known_ms,
		    &fresh_ms))
			drain_count_flows(tally, known_ms, fresh_ms, policy);
	}
}

bool
drain_sight_open(const struct worker *w, struct drain_tally *ret_open)
{
	struct drain_tally open = { .busy = 0 };

	for (size_t i = 0; i < app_spec_n_listeners(w->spec); i++) {
		struct listener *l = app_spec_listener(w->spec, i);
		const struct lane *lane =
		    l != NULL ? lanes_find(l, &w->holder) : NULL;
		uint64_t its, total;

		if (l == NULL || l->bound.kind == ADDRESS_UDP)
			continue;
		if (lane == NULL || spec_lanes_shared(w->spec, l))
			return false;
		if (!lanes_figures_counts(lane, &its, &total) ||
		    lane->counted_late)
			return false;
		open.busy += (unsigned)its;
	}
	*ret_open = open;
	return true;
}

bool
drain_sight_open_is_all(const struct worker *w)
{
	for (size_t i = 0; i < spec_lanes_n_places(w->spec); i++) {
		const struct listener *l =
		    spec_lanes_listener(w->spec, w->instance, i);

		if (l != NULL && l->bound.kind != ADDRESS_UDP &&
		    !lanes_figures_are_all(l))
			return false;
	}
	return true;
}
