#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/sockets/lane_rank.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/lanes_program.h"
#include "daemon/sockets/lanes_words.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer.h"
#include "daemon/steer/steer_claim.h"
#include "daemon/steer/steer_watch.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/socket/lane_queue.h"

/* Between two deaths that are told of one by one, of the same listener. */
#define DEATHS_MS 5

/* Of each turn, for those with news, and for the others: where there was no time
   for all of the first, for one of the others. */
#define NEWS_NS INT64_C(2000000)
#define SWEEP_NS INT64_C(500000)

/* Preferences: of each rank there are two, and of the one that is between
   LANE_RANK_LATER and LANE_RANK_SOON. */
#define RANK_STEP	3
#define UNWELL		(RANK_STEP * LANE_RANK_LATER + 2)

/* One on trial gets what its instance gets, from when it is ready on. */
static bool
is_seated(const struct worker *w)
{
	return w->seated && !w->aside && (w->present || worker_ready(w));
}

/* Where nobody of these is to come, as at an address that only a reload has, of
   whose new workers the one that was ready retires: each that is to stay. Who comes
   waits for it, and whoever retires is left in peace. */
static bool
is_seated_at_all(const struct worker *w)
{
	return w->seated;
}

/* A reload may move an address from one app to another: the new one's workers
   come before the old one's that are as ready. */
static unsigned
preference(const struct worker *w, const struct listener *l)
{
	unsigned rank = lane_rank(w->fsm.state,
	    l->bound.kind == ADDRESS_UDP, w->was_ready);

	if (rank == LANE_RANK_NEVER)
		return 0;
	return RANK_STEP * rank + (strcmp(w->crew->name, l->app) == 0);
}

/* What another instance has of its own is not. */
static bool
is_within_reach(const struct worker *w, const struct listener *l)
{
	return l->instance < 0 || l->instance == (long)w->instance;
}

/* Of the lane for all: the best of those that share it. */
static unsigned
common_preference(const struct crew *crew, struct listener *l,
    bool (*counts)(const struct worker *w))
{
	unsigned best = 0;

	if (l->lanes.common == NULL || crew == NULL)
		return 0;
	for (const struct worker *w = crew->workers; w != NULL; w = w->next) {
		unsigned p;

		if (!counts(w) || !spec_lanes_shared(w->spec, l) ||
		    !is_within_reach(w, l))
			continue;
		p = preference(w, l);
		if (p > best)
			best = p;
	}
	return best;
}

static unsigned
lane_preference(const struct lane *lane, unsigned common,
    bool (*counts)(const struct worker *w))
{
	const struct worker *w = worker_of_holder(lane->holder);
	unsigned p = lane == lane->listener->lanes.common ? common : 0;

	if (w != NULL && counts(w) &&
	    !spec_lanes_shared(w->spec, lane->listener) &&
	    steer_claims(w, lane)) {
		unsigned own = preference(w, lane->listener);

		/* Whoever else may come some time is better; or, than one that
		   is not well, who comes soon. */
		if (lane->deserted && own > 0)
			own = 1;
		else if (w->unwell && own > UNWELL)
			own = UNWELL;
		if (own > p)
			p = own;
	}
	return p;
}

/* While it is not known whether all will share the first lane, what comes had
   better wait there. */
static bool
waits_in_first(const struct app_spec *spec, const struct listener *l,
    unsigned best)
{
	return spec != NULL && best > 0 && best < RANK_STEP * LANE_RANK_NOW &&
	    l->bound.kind == ADDRESS_TCP && app_spec_undecided(spec);
}

/* Each lane's, by those that count; returns the best, 0: there is none. */
static unsigned
look_at_lanes(const struct crew *crew, struct listener *l,
    bool (*counts)(const struct worker *w))
{
	unsigned common = common_preference(crew, l, counts);
	unsigned best = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		struct lane *lane = l->lanes.v[i];
		unsigned p = lane_preference(lane, common, counts);

		/* What is not written is shared with those who are forked. */
		if (lane->preference != p)
			lane->preference = p;
		if (p > best)
			best = p;
	}
	return best;
}

static void
want(const struct steering *st, struct listener *l)
{
	const struct crew *crew = workers_crew(st->workers, l->app);
	const struct lane *only = l->lanes.waiting != NULL ?
	    l->lanes.waiting : listener_deaf_lane(l);
	const struct app_spec *spec = crew != NULL ? crew->stable : NULL;
	unsigned best;

	for (size_t i = 0; only != NULL && i < l->lanes.n; i++)
		lanes_live_want(l->lanes.v[i], l->lanes.v[i] == only);
	if (only != NULL)
		return;
	best = look_at_lanes(crew, l, is_seated);
	if (best == 0) {
		best = look_at_lanes(crew, l, is_seated_at_all);
		spec = crew != NULL ? crew->target : NULL;
	}
	for (size_t i = 0; i < l->lanes.n; i++)
		lanes_live_want(l->lanes.v[i], best > 0 &&
		    l->lanes.v[i]->preference == best);
	if (waits_in_first(spec, l, best))
		for (size_t i = 0; i < l->lanes.n; i++)
			lanes_live_want(l->lanes.v[i], i == 0);
}

/* ---- which listeners are seen to, and when ---- */

static void
note(struct steering *st, struct listener *l)
{
	if (!l->attention.noted)
		l->attention.noted = true;
	st->due = true;
}

/* Whatever else is to come: at that time, too. */
static void
look_at(struct steering *st, struct mono when)
{
	if (mono_before(when, st->look.due))
		loop_timer_set(st->loop, &st->look, when);
}

/* The kernel knows who gets new connections; where that has to wait a little, it
   is told then. */
static void
put_in_force(struct steering *st, struct listener *l, struct mono now)
{
	struct mono *settle = &l->attention.settle;

	*settle = MONO_NEVER;
	if (!lanes_program_has_choice(l))
		return;
	want(st, l);
	*settle = lanes_live_apply(l, now) ? lanes_program_find_out_at(l) :
	    mono_add_ms(now, LANES_LIVE_PAUSE_MS);
	look_at(st, *settle);
}

static void
visit(struct steering *st, struct listener *l, struct mono now)
{
	struct listener_attention *a = &l->attention;

	a->noted = false;
	a->round = st->round;
	put_in_force(st, l, now);
	a->again = steer_watch(st->workers, l, now);
}

/* When it is to be visited, whether something changes or not. One that never was
   has a round to come. */
static struct mono
due_at(const struct listener *l)
{
	const struct listener_attention *a = &l->attention;

	if (a->round == 0)
		return MONO_NEVER;
	return mono_before(a->settle, a->again) ? a->settle : a->again;
}

/* Something is known to have changed, or its time has come. */
static bool
has_news(const struct steering *st, const struct listener *l, struct mono now)
{
	(void)st;
	return l->attention.noted || !mono_before(now, due_at(l));
}

/* It may have been overlooked. */
static bool
misses_round(const struct steering *st, const struct listener *l,
    struct mono now)
{
	(void)now;
	return l->attention.round != st->round;
}

/* Where the last turn had no time: nobody is always the last one. The listener
   may be gone. */
static struct listener *
behind(const struct steering *st, const struct steer_walk *walk)
{
	struct listener *l = st->listeners->first;

	while (l != NULL && l != walk->behind)
		l = l->next;
	return l;
}

static bool
visit_between(struct steering *st, struct steer_walk *walk, int64_t ns,
    struct listener *from, const struct listener *end, struct mono now)
{
	for (struct listener *l = from; l != end; l = l->next) {
		if (!walk->wants(st, l, now))
			continue;
		if (!loop_budget_left(st->loop, &walk->budget, ns)) {
			walk->behind = l;
			return false;
		}
		visit(st, l, now);
	}
	return true;
}

/* As far as there is time. */
static void
visit_some(struct steering *st, struct steer_walk *walk, int64_t ns,
    struct mono now)
{
	struct listener *from = behind(st, walk);

	walk->unfinished = !visit_between(st, walk, ns, from, NULL, now) ||
	    !visit_between(st, walk, ns, st->listeners->first, from, now);
}

/* The next turn goes on with those that this one had no time for. */
static void
visit_all(struct steering *st)
{
	struct mono now = mono_now();

	loop_timer_set(st->loop, &st->look, MONO_NEVER);
	/* A visit may bring news. */
	st->due = false;
	visit_some(st, &st->news, NEWS_NS, now);
	visit_some(st, &st->sweep, st->news.unfinished ? 1 : SWEEP_NS, now);
	if (st->news.unfinished || st->sweep.unfinished)
		st->due = true;
	if (st->due)
		look_at(st, now);
	for (const struct listener *l = st->listeners->first;
	     !st->due && l != NULL; l = l->next)
		look_at(st, due_at(l));
}

void
steer_turn(struct steering *st)
{
	st->round++;
	visit_all(st);
}

void
steer_turn_if_due(struct steering *st)
{
	if (st->due && !st->workers->stopping)
		visit_all(st);
}

bool
steer_is_behind(const struct steering *st)
{
	return st->news.unfinished && !st->workers->stopping;
}

static void
turn_due(void *ctx)
{
	struct steering *st = ctx;

	st->due = true;
}

static void
news(void *ctx, struct listener *l)
{
	note(ctx, l);
}

/* Is it about that worker? It may have a lane of one that is none of its own by
   now. */
static bool
concerns(const struct worker *w, const struct listener *l)
{
	return app_spec_has(w->spec, l) || lanes_find(l, &w->holder) != NULL;
}

void
steer_note(struct steering *st, const struct worker *w)
{
	for (size_t i = 0; i < spec_lanes_n_places(w->spec); i++) {
		struct listener *l = spec_lanes_listener(w->spec, w->instance,
		    i);

		if (l != NULL)
			note(st, l);
	}
}

void
steer_away(struct steering *st, const struct worker *w)
{
	struct mono now = mono_now();

	for (struct listener *l = st->listeners->first; l != NULL; l = l->next)
		if (concerns(w, l))
			put_in_force(st, l, now);
}

/* Of a rollout that was superseded. */
static bool
is_odd(const struct worker *w)
{
	return w->spec != w->crew->stable && w->spec != w->crew->target;
}

/* Without asking each worker for its lane: they may be thousands. */
static bool
concerns_crew(const struct crew *crew, bool has_odd, const struct listener *l)
{
	if (app_spec_has(crew->stable, l) || app_spec_has(crew->target, l))
		return true;
	for (size_t i = 0; i < l->lanes.n; i++) {
		const struct worker *w =
		    worker_of_holder(l->lanes.v[i]->holder);

		if (w != NULL && w->crew == crew)
			return true;
	}
	for (const struct worker *w = crew->workers; has_odd && w != NULL;
	    w = w->next)
		if (is_odd(w) && app_spec_has(w->spec, l))
			return true;
	return false;
}

void
steer_away_crew(struct steering *st, const struct crew *crew)
{
	struct mono now = mono_now();
	bool has_odd = false;

	for (const struct worker *w = crew->workers; w != NULL; w = w->next)
		has_odd |= is_odd(w);
	for (struct listener *l = st->listeners->first; l != NULL; l = l->next)
		if (concerns_crew(crew, has_odd, l))
			put_in_force(st, l, now);
}

int
steer_init(struct steering *st, struct loop *loop, struct listeners *listeners,
    struct workers *workers)
{
	st->loop = loop;
	st->listeners = listeners;
	st->workers = workers;
	st->news.wants = has_news;
	st->sweep.wants = misses_round;
	listeners_on_news(listeners, news, st);
	return loop_timer_init(loop, &st->look, turn_due, st);
}

void
steer_fini(struct steering *st)
{
	if (st->listeners != NULL)
		listeners_on_news(st->listeners, NULL, NULL);
	loop_timer_fini(st->loop, &st->look);
}

/* A stop sees to no notes: until its clients are refused each death counts. */
static bool
can_wait(const struct steering *st, const struct listener *l, struct mono now)
{
	return mono_ms_between(l->attention.died, now) < DEATHS_MS &&
	    (!st->workers->stopping || l->refuses);
}

void
steer_death(struct steering *st, const struct worker *w)
{
	struct mono now = mono_now();

	for (struct listener *l = st->listeners->first; l != NULL;
	     l = l->next) {
		if (!concerns(w, l))
			continue;
		if (can_wait(st, l, now)) {
			note(st, l);
			continue;
		}
		l->attention.died = now;
		put_in_force(st, l, now);
	}
}

void
steer_ended(struct steering *st, const struct worker *w)
{
	for (struct listener *l = st->listeners->first; l != NULL; l = l->next)
		lanes_heal_ended(l, &w->holder);
}

void
steer_death_for_good(struct steering *st, const struct worker *w)
{
	listeners_leave(st->listeners, &w->holder);
	steer_death(st, w);
}

void
steer_ready(struct steering *st, const struct worker *w)
{
	struct listeners *all = st->listeners;

	/* Who has not bound by now has taken what it was given. */
	app_spec_decide(w->spec, BALANCE_ACCEPTS_AT_ONCE);
	for (struct listener *l = all->first; l != NULL; l = l->next) {
		struct lane *lane = app_spec_has(w->spec, l) ?
		    spec_lanes_find(w->spec, l, &w->holder) : NULL;

		if (lane == NULL)
			continue;
		lanes_heal_check(lane);
		lanes_live_suspect(l);
		if (lane->holder == &w->holder)
			lanes_live_ramp(lane, w->spec->conf->slow_start_ms);
	}
}

/* Of its lane: what keeps new connections from it, if it is ready. */
static void
put_obstacles(struct strbuf *sb, const struct worker *w,
    const struct lane *lane)
{
	const struct listener *l = lane->listener;

	if (w->aside)
		strbuf_puts(sb, ", in whose place another one gets them");
	if (app_spec_has(w->spec, l) && app_spec_has_taken(w->spec, l) &&
	    lane->claimed != w->serial)
		strbuf_puts(sb, ", not asked for");
	lanes_words_put_obstacles(sb, lane);
}

void
steer_figures(struct steering *st, const struct worker *w)
{
	const struct log_about seat = {
		.app = w->crew->name, .instance = (long)w->instance,
	};
	struct listeners *all = st->listeners;

	if (!log_enabled(LOG_LEVEL_DEBUG))
		return;
	for (struct listener *l = all->first; l != NULL; l = l->next) {
		const struct lane *lane = lanes_find(l, &w->holder);
		struct strbuf obstacles = STRBUF_INIT;
		struct lane_figures f;

		if (lane == NULL)
			continue;
		lanes_figures(lane, &f);
		put_obstacles(&obstacles, w, lane);
		log_often(LOG_LEVEL_DEBUG, &seat, "lane %u: %u waiting, %llu "
		    "connections open, %llu in all%s%s", lane->slot, f.waiting,
		    (unsigned long long)f.open, (unsigned long long)f.total,
		    f.counted ? "" : " (not counted)",
		    obstacles.text != NULL ? obstacles.text : "");
		strbuf_free(&obstacles);
	}
}

static bool
keeps_waiting(const struct lane *lane, bool dead)
{
	uint32_t n = 0, max;

	if (!lane->listening)
		return false;
	/* There would be no end of them. */
	if (lane->listener->door_closed && !lane->listener->door_filter)
		return false;
	if (lane->listener->bound.kind == ADDRESS_UDP)
		return lane_queue_udp(lane->fd, &n) == 0 && n > 0;
	/* A living worker serves them itself. */
	if (dead && lanes_can_move(lane))
		return false;
	return lane_queue_tcp(lane->fd, &n, &max) == 0 && n > 0;
}

static bool
shares(const struct worker *w, const struct listener *l)
{
	return is_within_reach(w, l) && app_spec_has(w->spec, l) &&
	    spec_lanes_shared(w->spec, l);
}

/* Where all retire, nobody is: who does so serves, or is asked itself whom it
   leaves behind. */
static bool
serves_to_the_end(const struct worker *w)
{
	return w->seated || w->fsm.retiring || worker_ready(w);
}

static bool
is_there(const struct worker *w)
{
	(void)w;
	return true;
}

static bool
has_sharer(const struct listener *l, const struct worker *but,
    bool (*counts)(const struct worker *w))
{
	const struct workers *all = but->crew->all;

	for (const struct crew *c = all->crews; c != NULL; c = c->next)
		for (const struct worker *w = c->workers; w != NULL;
		    w = w->next)
			if (w != but && counts(w) &&
			    !worker_state_final(w->fsm.state) && shares(w, l))
				return true;
	return false;
}

bool
steer_has_sharer(const struct listener *l, const struct worker *but)
{
	return has_sharer(l, but, is_seated_at_all);
}

enum steer_use
steer_use_of(const struct lane *lane, const struct worker *but)
{
	struct listener *l = lane->listener;
	const struct workers *all = but->crew->all;
	enum steer_use use = STEER_USE_NONE;

	if (lane != l->lanes.common)
		return use;
	for (const struct crew *c = all->crews; c != NULL; c = c->next)
		for (const struct worker *w = c->workers; w != NULL;
		    w = w->next) {
			if (w == but || w->pid == 0 || !shares(w, l))
				continue;
			if (w->spec != but->spec)
				return STEER_USE_OTHERS;
			if (w->fsm.state != WORKER_STARTING)
				use = STEER_USE_KIN;
			else if (use == STEER_USE_NONE)
				use = STEER_USE_BEGINS;
		}
	return use;
}

/* The worker's lane, if nobody else has it. */
static const struct lane *
sole_lane(const struct worker *w, const struct listener *l)
{
	if (!spec_lanes_shared(w->spec, l))
		return lanes_find(l, &w->holder);
	return shares(w, l) && !has_sharer(l, w, w->crew->stopping ?
	    serves_to_the_end : is_seated_at_all) ? l->lanes.common : NULL;
}

bool
steer_keeps_waiting(struct steering *st, const struct worker *w)
{
	for (struct listener *l = st->listeners->first; l != NULL; l = l->next) {
		const struct lane *lane = concerns(w, l) ?
		    sole_lane(w, l) : NULL;

		if (lane != NULL && l->bound.kind != ADDRESS_UNIX &&
		    keeps_waiting(lane, !worker_has_leader(w)))
			return true;
	}
	return false;
}

void
steer_unshare(struct steering *st, const struct worker *w)
{
	for (struct listener *l = st->listeners->first; l != NULL; l = l->next)
		if (l->lanes.common != NULL && shares(w, l) &&
		    !has_sharer(l, w, is_there))
			lanes_unshare(l);
}
