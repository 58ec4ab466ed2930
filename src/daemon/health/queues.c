#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/health/queue_watch.h"
#include "daemon/health/queues.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/lanes_watch.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer_claim.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

/* A lane that others have too tells nothing of this one. */
static bool
is_common(const struct worker *w, const struct lane *lane)
{
	const struct listener *l = lane->listener;

	return lane == l->lanes.common && l->instance < 0 &&
	    w->crew->wanted > 1;
}

/* The lane at that place, or NULL. */
static struct lane *
lane_at(const struct worker *w, size_t place)
{
	struct listener *l = spec_lanes_listener(w->spec, w->instance, place);

	return l != NULL && l->bound.kind == ADDRESS_TCP ?
	    spec_lanes_find(w->spec, l, &w->holder) : NULL;
}

/* Is it to accept from it? */
static bool
is_served(const struct worker *w, const struct lane *lane)
{
	const struct listener *l = lane->listener;

	return lane->listening && lane->fd >= 0 && !l->quiet && !lane->deaf &&
	    !lane->deserted &&
	    (lane == l->lanes.common || steer_claims(w, lane));
}

void
queues_free(struct queues *q)
{
	free(q->v);
	*q = (struct queues){ .v = NULL };
}

/* A server may have asked for another one. */
static int
make_room(struct queues *q, size_t n)
{
	struct queue_watch *v;

	if (n <= q->n)
		return 0;
	v = reallocarray(q->v, n, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	memset(v + q->n, 0, (n - q->n) * sizeof(*v));
	q->v = v;
	q->n = n;
	return 0;
}

static enum queue_news
see(struct queue_watch *watch, const struct lane *lane, int64_t timeout_ms,
    struct mono now, uint32_t *ret_waiting)
{
	struct lane_figures f;
	struct queue_sight sight = { .moves = lane->moves };

	lanes_figures(lane, &f);
	if (f.queued)
		sight.waiting = f.waiting;
	sight.counted = f.counted && !lane->counted_late;
	sight.came = f.total;
	*ret_waiting = sight.waiting;
	return queue_watch_see(watch, &sight, timeout_ms, now);
}

static enum queues_news
unknown(struct verdict *ret, const char *words)
{
	verdict_say(ret, VERDICT_UNKNOWN, "%s", words);
	return QUEUES_VERDICT;
}

enum queues_news
queues_look(struct queues *q, const struct worker *w, int64_t timeout_ms,
    struct mono now, struct verdict *ret, bool *ret_waits)
{
	size_t n = spec_lanes_n_places(w->spec);
	bool takes = false, waits = false, hangs = false, common = false;

	*ret_waits = false;
	if (make_room(q, n) < 0)
		return unknown(ret, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const struct lane *lane = lane_at(w, i);
		enum queue_news news;
		uint32_t waiting;

		if (lane == NULL || !is_served(w, lane))
			continue;
		if (is_common(w, lane)) {
			common = true;
			continue;
		}
		news = see(&q->v[i], lane, timeout_ms, now, &waiting);
		*ret_waits |= waiting > 0;
		takes |= news == QUEUE_TAKES;
		waits |= news == QUEUE_WAITS;
		if (news != QUEUE_HANGS)
			continue;
		hangs = true;
		queue_watch_say(waiting, timeout_ms, ret);
	}
	if (hangs)
		return QUEUES_VERDICT;
	/* Of two queues it may serve one alone. */
	if (takes && !waits) {
		verdict_say(ret, VERDICT_GOOD, "%s", "");
		return QUEUES_VERDICT;
	}
	return common && !takes && !waits ? unknown(ret, "all instances have "
	    "one queue in common (balance = shared)") : QUEUES_SILENT;
}

/* Those that it does not serve yet, too: it may ask for them later. */
void
queues_heed(const struct worker *w)
{
	size_t n = spec_lanes_n_places(w->spec);

	for (size_t i = 0; i < n; i++) {
		struct lane *lane = lane_at(w, i);

		if (lane != NULL && !is_common(w, lane))
			lanes_watch_heed(lane, true);
	}
}

/* What one instance alone has in common with its successor is that one's. */
void
queues_heed_no_more(const struct worker *w)
{
	size_t n = spec_lanes_n_places(w->spec);

	for (size_t i = 0; i < n; i++) {
		struct lane *lane = lane_at(w, i);

		if (lane != NULL && lane->holder == &w->holder)
			lanes_watch_heed(lane, false);
	}
}

bool
queues_have(const struct worker *w, const struct lane *lane)
{
	size_t n = spec_lanes_n_places(w->spec);

	if (lane->holder != NULL)
		return worker_of_holder(lane->holder) == w;
	for (size_t i = 0; i < n; i++)
		if (lane_at(w, i) == lane)
			return true;
	return false;
}
