/* Which of an app's addresses its program really serves, once it is ready. */
#include <errno.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/adopt/adopt_clients.h"
#include "daemon/adopt/adopt_doubt.h"
#include "daemon/adopt/adopt_held.h"
#include "daemon/adopt/adopt_hint.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/adopt/trap_priv.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listeners.h"
#include "daemon/watch/hint.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/inspect.h"
#include "linux/process/waiting.h"

/* What was looked up for one READY worker mostly holds for those that follow
   at once. */
#define REVIEW_MS 50

/* What all looks that may be put off have of one review, beside the first; and all
   apps, of which the others come in a turn soon after, as at a reload of all. */
#define REVIEW_LOOK_MS 5
#define REVIEW_NEXT_MS 5

/* Whose clients of a Unix socket are looked for once, of those of an app. */
#define CLIENTS_LOOK_MS 20

/* After a move: soon at first, seldom for those who bind all the time, and not
   for long at a time. */
#define MOVE_MS 50
#define MOVE_PAUSE_MS 1000
#define MOVE_LOOK_MS 20

/* Has some process of the spec's workers the lane open? Who had it last is
   asked first. */
static bool
is_held(const struct adopt_review *r, const struct crew *crew,
    const struct app_spec *spec, struct listener *l)
{
	const struct worker *last = workers_find(crew->all, l->seen_pid);

	if (last != NULL && last->spec == spec && adopt_holds(last, l))
		return true;
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->spec == spec && w->pid != 0 && w != last &&
		    adopt_holds(w, l)) {
			listener_note_seen(l, w->pid);
			return true;
		}
	return adopt_is_escaped_by_any(r->orphans, crew, l);
}

/* The dual-stack listener of the app that takes its clients too, or NULL. */
static const struct listener *
cover_of(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		const struct listener *other = spec->listeners[i];

		if (other != NULL && other != l && other->listening &&
		    other->bound.kind == l->bound.kind &&
		    other->bound.port == l->bound.port &&
		    other->bound.host == ADDRESS_HOST_ANY)
			return other;
	}
	return NULL;
}

/* Is it another address of what is in its place? UDP beside `port` is none. */
static bool
is_rival(const struct app_spec *spec, size_t i)
{
	const struct listener *first = app_spec_in_place(spec, i);

	return first != NULL &&
	    first->bound.kind == spec->beside.v[i].listener->bound.kind;
}

/* Then that one may take its place, if nobody who was told of the first serves
   it: promote_instead(). */
static bool
has_beside(const struct app_spec *spec, const struct listener *l)
{
	for (size_t i = 0; conf_app_announces(spec->conf) &&
	    i < spec->beside.n; i++)
		if (is_rival(spec, i) && app_spec_in_place(spec, i) == l)
			return true;
	return false;
}

/* One who might serve it: what an instance has of its own, its worker alone. */
static bool
has_ready_for(const struct crew *crew, const struct app_spec *spec,
    const struct listener *l)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->spec == spec && worker_ready(w) && (l->instance < 0 ||
		    l->instance == (long)w->instance))
			return true;
	return false;
}

/* Some instance has bound it, and that may be one at its end: who else is to come
   may do so too, and who is ready is asked itself. */
static bool
may_be_bound(const struct crew *crew, const struct app_spec *spec,
    const struct listener *l)
{
	bool ended = false;

	if (!app_spec_has_taken(spec, l))
		return false;
	for (const struct worker *w = crew->workers; w != NULL; w = w->next) {
		if (!w->seated || !app_spec_has(w->spec, l))
			continue;
		if (worker_state_final(w->fsm.state))
			ended = true;
		else if (!worker_ready(w))
			return true;
	}
	return !ended;
}

static void
review_in(struct adopt_review *r, int64_t ms)
{
	struct mono due = mono_add_ms(mono_now(), ms);

	if (mono_before(due, r->timer.due))
		loop_timer_set(r->loop, &r->timer, due);
}

/* At what is in doubt, and at nothing else. */
static void
look_in(struct adopt_review *r, struct crew *crew, int64_t ms)
{
	crew->doubts = true;
	review_in(r, ms);
}

/* Is there anything to ask: do clients come, for whom some ready worker ought to be
   there? */
static bool
is_at_stake(const struct crew *crew, const struct app_spec *spec,
    const struct listener *l)
{
	return l->listening && !l->inherited && l->bound.kind == ADDRESS_TCP &&
	    !may_be_bound(crew, spec, l) && !has_beside(spec, l) &&
	    has_ready_for(crew, spec, l);
}

static void
suspend_if_unserved(struct adopt_review *r, struct crew *crew,
    const struct app_spec *spec, struct listener *l)
{
	/* Its clients are served as soon as it is out of the way. */
	const struct listener *cover = cover_of(spec, l);
	bool certain = (cover != NULL && app_spec_has_taken(spec, cover)) ||
	    !adopt_may_be_served(crew, l);
	int64_t ms = -1;

	if ((!r->whole && !adopt_doubt_goes_on(l)) ||
	    !is_at_stake(crew, spec, l))
		return;
	if (certain ? adopt_is_served(r->orphans, crew, l) :
	    !adopt_doubt_ends(r->orphans, crew, l, r->end, &ms)) {
		if (ms >= 0)
			look_in(r, crew, ms);
		return;
	}
	listener_suspend(l);
	if (cover != NULL)
		return;
	log_app_often(LOG_LEVEL_WARNING, crew->name, "its program serves other "
	    "addresses and not %s: connections to it are refused until it does",
	    address_text_numeric(&l->bound).s);
}

/* Does its program bind what it serves, as far as can be told? One that was
   told of what it was given may serve that, and bind something beside it. */
static bool
binds(const struct app_spec *spec)
{
	for (size_t i = 0; i < spec->beside.n; i++)
		if (!conf_app_announces(spec->conf) && is_rival(spec, i))
			return true;
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		const struct listener *l = app_spec_listener(spec, i);

		if (l != NULL && !l->beside && app_spec_has_taken(spec, l))
			return true;
	}
	return false;
}
/*
 * A program that has bound one of its addresses, and is ready, will hardly
 * accept on another that it has not bound. Clients are refused there, as they
 * would be without clusterd, instead of left to wait; should it bind the
 * address later, all is well from then on.
 */
static void
suspend_unserved(struct adopt_review *r, struct crew *crew,
    const struct app_spec *spec)
{
	size_t n = app_spec_n_listeners(spec);

	if (!binds(spec))
		return;
	for (size_t i = 0; i < n; i++)
		if (app_spec_listener(spec, i) != NULL)
			suspend_if_unserved(r, crew, spec,
			    app_spec_listener(spec, i));
}

/* One that is at work waits for nobody: may anybody have a client of the listener?
   Without the time to ask all of very many nobody is advised. */
static bool
may_have_clients(const struct crew *crew, const struct app_spec *spec,
    struct listener *l)
{
	struct mono end = mono_add_ms(mono_now(), CLIENTS_LOOK_MS);

	if (l->bound.kind != ADDRESS_UNIX)
		return adopt_clients_of(crew, l) != ADOPT_CLIENTS_NONE;
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->spec == spec && worker_ready(w) &&
		    (adopt_has_taken(w, l) || !mono_before(mono_now(), end)))
			return true;
	return false;
}

/* For a program that waits for a descriptor that it was not told of: ready as
   it says, it serves nobody. */
static void
hint_unbound(const struct adopt_review *r, const struct crew *crew,
    struct app_spec *spec)
{
	const struct worker *w = crew->workers;

	while (w != NULL && (w->spec != spec || !worker_ready(w) ||
	    !hint_is_unbound(w)))
		w = w->next;
	if (w == NULL)
		return;
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		struct listener *l = app_spec_listener(spec, i);

		if (l != NULL && (adopt_is_served(r->orphans, crew, l) ||
		    may_have_clients(crew, spec, l)))
			return;
	}
	if (app_spec_note_unbound(spec, crew->stable))
		worker_log(LOG_LEVEL_WARNING, w, "is ready and has not bound "
		    "%s, and of its descriptor it is told by CLUSTERD_FD "
		    "alone: if it looks for LISTEN_FDS, add handoff = env; for "
		    "another protocol see fd_protocol",
		    address_text(app_spec_bound(spec, w->instance)).s);
}

static bool
has_ready(const struct crew *crew, const struct app_spec *spec)
{
	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		if (w->spec == spec && worker_ready(w))
			return true;
	return false;
}

/* Might what is in the place of entry `i` of beside, which is not only tried, be of
   no use to anybody, so that the entry may take its place? By the number that
   it was given under it is served without a bind: then somebody waits on it,
   in whichever process. */
static bool
may_be_useless(const struct app_spec *spec, size_t i)
{
	const struct listener *beside = spec->beside.v[i].listener;
	const struct listener *l = app_spec_in_place(spec, i);

	return l != NULL && beside->listening && !beside->quiet &&
	    (app_spec_has_taken(spec, l) || conf_app_announces(spec->conf));
}

static void
promote_instead(struct adopt_review *r, struct crew *crew,
    struct app_spec *spec, size_t i)
{
	struct listener *l = app_spec_in_place(spec, i);
	bool useless;
	int64_t ms = -1;

	if (!may_be_useless(spec, i) || (!r->whole && !adopt_doubt_goes_on(l)))
		return;
	useless = conf_app_announces(spec->conf) ?
	    adopt_doubt_ends(r->orphans, crew, l, r->end, &ms) :
	    !is_held(r, crew, spec, l) && !adopt_is_served(r->orphans, crew, l);
	/* What its program binds is another question now, and who is to be told. */
	if (useless && !r->whole) {
		crew->review = true;
		review_in(r, REVIEW_MS);
	}
	/* It was seen to be held, at the last whole review. */
	if (useless && (r->whole || is_held(r, crew, spec,
	    spec->beside.v[i].listener)))
		app_spec_promote(spec, i);
	else if (useless)
		app_spec_drop(spec, i);
	else if (ms >= 0)
		look_in(r, crew, ms);
}

struct review_of {
	const struct adopt_review *review;
	const struct crew *crew;
};

static bool
is_served_now(void *ctx, struct listener *l)
{
	const struct review_of *of = ctx;

	return adopt_is_served(of->review->orphans, of->crew, l);
}

static void
review_spec(struct adopt_review *r, struct crew *crew, struct app_spec *spec)
{
	if (spec == NULL || !has_ready(crew, spec))
		return;
	for (size_t i = r->whole ? spec->beside.n : 0; i-- > 0;)
		if (!is_held(r, crew, spec, spec->beside.v[i].listener))
			app_spec_drop(spec, i);
	for (size_t i = spec->beside.n; i-- > 0;)
		promote_instead(r, crew, spec, i);
	suspend_unserved(r, crew, spec);
	if (!r->whole)
		return;
	hint_unbound(r, crew, spec);
	adopt_hint_public(spec, is_served_now,
	    &(struct review_of){ .review = r, .crew = crew });
}

/* Has no process of it the lane open any more? */
static bool
is_deserted(const struct worker *w, const struct lane *lane)
{
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	bool held = waiting_holds(w->pid, lane->ino, 0, 0);

	inspect_end(&ids);
	return !held;
}

/* Of what it has to itself: new clients go elsewhere. Returns false if there was
   no time for all. */
static bool
review_moved(const struct adopt_review *r, struct worker *w, struct mono end)
{
	const struct app_spec *spec = w->spec;

	if (!mono_before(mono_now(), end))
		return false;
	/* Asked once: that takes a while too. */
	if (!worker_ready(w) || orphans_look_for_crew(r->orphans, w->crew))
		return true;
	for (size_t i = 0; i < app_spec_n_listeners(spec); i++) {
		struct listener *l = app_spec_listener(spec, i);
		struct lane *lane = l == NULL || spec_lanes_shared(spec, l) ?
		    NULL : lanes_find(l, &w->holder);

		if (lane == NULL || lane->deserted)
			continue;
		if (!mono_before(mono_now(), end))
			return false;
		if (!is_deserted(w, lane) ||
		    adopt_is_escaped(r->orphans, w, lane->ino))
			continue;
		lanes_desert(lane);
		worker_log_often(LOG_LEVEL_WARNING, w, "has left the listener %s "
		    "and serves another address: new connections go to others, "
		    "if there are any, until it binds it again",
		    address_text(&l->bound).s);
	}
	return true;
}

static void
moves_due(void *ctx)
{
	struct adopt_review *r = ctx;
	struct mono end = mono_add_ms(mono_now(), MOVE_LOOK_MS);

	for (struct crew *c = r->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next) {
			if (!w->trap->moved)
				continue;
			w->trap->moved = !review_moved(r, w, end);
			if (w->trap->moved)
				loop_timer_start(r->loop, &r->moves,
				    MOVE_PAUSE_MS);
		}
	r->looked = mono_now();
}

void
adopt_review_move(struct adopt_review *r, struct worker *w)
{
	bool again = r->looked.ns != 0 &&
	    mono_ms_between(r->looked, mono_now()) < MOVE_PAUSE_MS;

	w->trap->moved = true;
	loop_timer_start(r->loop, &r->moves, again ? MOVE_PAUSE_MS : MOVE_MS);
}

static void
review_crew(struct adopt_review *r, struct crew *crew)
{
	if (!crew->review && !crew->doubts)
		return;
	r->whole = crew->review;
	crew->review = crew->doubts = false;
	if (crew->stopping)
		return;
	for (struct worker *w = r->whole ? crew->workers : NULL; w != NULL;
	    w = w->next)
		if (worker_ready(w))
			adopt_hint_late(w);
	review_spec(r, crew, crew->target);
	if (crew->stable != crew->target)
		review_spec(r, crew, crew->stable);
}

/* Of those whose number is `from` or more, and less than `to`, the first one. */
static struct crew *
find_due(const struct adopt_review *r, uint64_t from, uint64_t to)
{
	struct crew *first = NULL;

	for (struct crew *c = r->workers->crews; c != NULL; c = c->next)
		if ((c->review || c->doubts) && c->number >= from &&
		    c->number < to &&
		    (first == NULL || c->number < first->number))
			first = c;
	return first;
}

/* Each once, as long as there is time, and one at least. False: some wait. */
static bool
review_some(struct adopt_review *r, uint64_t from, uint64_t to, unsigned *n)
{
	struct crew *c;

	while ((c = find_due(r, from, to)) != NULL) {
		if ((*n)++ > 0 && !mono_before(mono_now(), r->end)) {
			r->from = c->number;
			return false;
		}
		from = c->number + 1;
		review_crew(r, c);
	}
	return true;
}

/* One after the other: who is due again and again holds up none. */
static void
review_due(void *ctx)
{
	struct adopt_review *r = ctx;
	const uint64_t from = r->from;
	unsigned n = 0;

	r->end = mono_add_ms(mono_now(), REVIEW_LOOK_MS);
	r->from = 0;
	if (!review_some(r, from, UINT64_MAX, &n) ||
	    !review_some(r, 0, from, &n))
		review_in(r, REVIEW_NEXT_MS);
}

static void
doubt_anew(const struct app_spec *spec)
{
	for (size_t i = 0; spec != NULL && i < app_spec_n_listeners(spec); i++)
		if (app_spec_listener(spec, i) != NULL)
			adopt_doubt_anew(app_spec_listener(spec, i));
}

void
adopt_review_soon(struct adopt_review *r, struct crew *crew)
{
	doubt_anew(crew->target);
	doubt_anew(crew->stable);
	crew->review = true;
	review_in(r, REVIEW_MS);
}

int
adopt_review_init(struct adopt_review *r, struct loop *loop,
    struct workers *workers, struct orphans *orphans)
{
	r->loop = loop;
	r->workers = workers;
	r->orphans = orphans;
	if (loop_timer_init(loop, &r->timer, review_due, r) < 0)
		return -ENOMEM;
	return loop_timer_init(loop, &r->moves, moves_due, r);
}

void
adopt_review_fini(struct adopt_review *r)
{
	loop_timer_fini(r->loop, &r->timer);
	loop_timer_fini(r->loop, &r->moves);
}
