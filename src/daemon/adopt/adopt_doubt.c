#include <stddef.h>

#include "core/conf/conf.h"
#include "daemon/adopt/adopt_clients.h"
#include "daemon/adopt/adopt_doubt.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listener.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

/* So often in a row nobody must be seen; with the pauses that is 2.5 s at least. */
#define LOOKS 6

/* … and so often it is looked at one whose workers wait for nobody. */
#define UNSURE_LOOKS 20

/* After the first look; then twice as long each time, but no longer than that. */
#define PAUSE_MS 100
#define PAUSE_MAX_MS 1000

/* … where somebody has clients: they may have come to one who is not there any more. */
#define PAUSE_WORK_MS 10000

enum seen {
	SEEN_NOBODY,	/* and who is there waits for others */
	SEEN_SOMEBODY,
	SEEN_CLIENTS,	/* whosever */
	SEEN_UNSURE,
	SEEN_NOT_ALL,
};

bool
adopt_is_escaped_by_any(struct orphans *o, const struct crew *crew,
    struct listener *l)
{
	uint64_t last = 0;

	if (orphans_look_for_crew(o, crew))
		return true;
	for (const struct worker *w = crew->workers; w != NULL; w = w->next) {
		const struct lane *lane = w->pid != 0 && app_spec_has(w->spec,
		    l) ? spec_lanes_find(w->spec, l, &w->holder) : NULL;

		if (lane == NULL || lane->ino == last)
			continue;
		last = lane->ino;
		if (adopt_is_escaped(o, w, lane->ino))
			return true;
	}
	return false;
}

static bool
serves(const struct worker *w, struct listener *l)
{
	return w->pid != 0 && app_spec_has(w->spec, l) &&
	    (adopt_waits(w, l) || adopt_holds(w, l));
}

static bool
any_serves(const struct crew *crew, struct listener *l, bool ready)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (worker_ready(w) == ready && serves(w, l))
			return true;
	return false;
}

bool
adopt_is_served(struct orphans *o, const struct crew *crew, struct listener *l)
{
	/* Who is ready most likely does, and is not about to execute anything, for which
	   whoever looks would have to wait. */
	return any_serves(crew, l, true) || any_serves(crew, l, false) ||
	    adopt_is_escaped_by_any(o, crew, l);
}

bool
adopt_may_be_served(const struct crew *crew, const struct listener *l)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->pid != 0 && app_spec_has(w->spec, l) &&
		    adopt_n_given(w) > 0)
			return true;
	return false;
}

/* The same as adopt_is_served(), from where the last turn had no more time for it. */
static enum seen
look_on(struct orphans *o, const struct crew *crew, struct listener *l,
    struct mono end)
{
	size_t at = 0;

	for (const struct worker *w = crew->workers; w != NULL; w = w->next) {
		if (at++ < l->doubt.looked_at)
			continue;
		if (serves(w, l))
			return SEEN_SOMEBODY;
		l->doubt.looked_at = at;
		if (!mono_before(mono_now(), end))
			return SEEN_NOT_ALL;
	}
	l->doubt.looked_at = 0;
	return adopt_is_escaped_by_any(o, crew, l) ? SEEN_SOMEBODY :
	    SEEN_NOBODY;
}

static bool
waits_elsewhere(const struct crew *crew, struct listener *l, struct mono end)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next) {
		if (worker_ready(w) && app_spec_has(w->spec, l) &&
		    adopt_waits_but_for(w, l))
			return true;
		if (!mono_before(mono_now(), end))
			return false;
	}
	return false;
}

static void
pause_after(struct listener *l, unsigned looks, int64_t max_ms)
{
	int64_t ms = PAUSE_MS;

	while (--looks > 0 && ms < max_ms)
		ms *= 2;
	l->doubt.next = mono_add_ms(mono_now(), ms < max_ms ? ms : max_ms);
}

/* Until the next look; 1: now, but for other things first. */
static int64_t
pause_left(const struct listener *l)
{
	int64_t ms = mono_ms_between(mono_now(), l->doubt.next);

	return ms < 0 ? 1 : ms + 1;
}

static void
forget(struct listener *l)
{
	adopt_doubt_anew(l);
	l->doubt.next = (struct mono){ .ns = 0 };
}

/* Nobody waits for its clients: he may have some. The kernel is not asked after `end`, but
   first of all in a later turn. */
static enum seen
look_for_clients(const struct crew *crew, struct listener *l, struct mono end)
{
	if (!mono_before(mono_now(), end)) {
		l->doubt.waited_for = true;
		return SEEN_NOT_ALL;
	}
	l->doubt.waited_for = false;
	switch (adopt_clients_of(crew, l)) {
	case ADOPT_CLIENTS_SOME:
		return SEEN_CLIENTS;
	case ADOPT_CLIENTS_UNSURE:
		return SEEN_UNSURE;
	default:
		return SEEN_NOBODY;
	}
}

static enum seen
look(struct orphans *o, const struct crew *crew, struct listener *l,
    struct mono end)
{
	enum seen seen;

	if (l->doubt.waited_for)
		return look_for_clients(crew, l, end);
	seen = look_on(o, crew, l, end);
	if (seen == SEEN_NOBODY && !waits_elsewhere(crew, l, end))
		return SEEN_UNSURE;
	return seen == SEEN_NOBODY ? look_for_clients(crew, l, end) : seen;
}

bool
adopt_doubt_ends(struct orphans *o, const struct crew *crew, struct listener *l,
    struct mono end, int64_t *ret_ms)
{
	enum seen seen;

	*ret_ms = -1;
	if (l->doubt.unsure >= UNSURE_LOOKS)
		return false;
	if (mono_before(mono_now(), l->doubt.next)) {
		*ret_ms = pause_left(l);
		return false;
	}
	seen = look(o, crew, l, end);
	if (seen == SEEN_SOMEBODY) {
		forget(l);
		return false;
	}
	if (seen == SEEN_NOBODY) {
		l->doubt.unsure = l->doubt.clients = 0;
		if (++l->doubt.nobody >= LOOKS) {
			forget(l);
			return true;
		}
		pause_after(l, l->doubt.nobody, PAUSE_MAX_MS);
	} else if (seen == SEEN_CLIENTS) {
		l->doubt.nobody = l->doubt.unsure = 0;
		pause_after(l, ++l->doubt.clients, PAUSE_WORK_MS);
	} else if (seen == SEEN_UNSURE) {
		if (++l->doubt.unsure >= UNSURE_LOOKS)
			return false;
		pause_after(l, l->doubt.unsure, PAUSE_MAX_MS);
	}
	*ret_ms = pause_left(l);
	return false;
}

bool
adopt_doubt_goes_on(const struct listener *l)
{
	return l->doubt.unsure < UNSURE_LOOKS &&
	    (l->doubt.next.ns != 0 || l->doubt.looked_at > 0 ||
	    l->doubt.waited_for);
}

void
adopt_doubt_anew(struct listener *l)
{
	const struct mono soon = mono_add_ms(mono_now(), PAUSE_MAX_MS);

	l->doubt.nobody = l->doubt.unsure = l->doubt.clients = 0;
	l->doubt.looked_at = 0;
	l->doubt.waited_for = false;
	if (mono_before(soon, l->doubt.next))
		l->doubt.next = soon;
}
