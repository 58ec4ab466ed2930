#include <limits.h>

#include "core/conf/conf.h"
#include "core/worker/rollout.h"

/* ---- its beginning ---- */

void
rollout_begin(struct rollout *r, unsigned *wanted, unsigned before,
    unsigned after)
{
	/* Workers that have changed over stay until the new rollout comes to
	   their seats. */
	if (r->kind != ROLLOUT_NONE)
		*wanted = r->stable_wanted;
	*r = (struct rollout){
		.kind = ROLLOUT_RELOAD, .stable_wanted = *wanted,
	};
	if (after != before)
		*wanted = after;
}

void
rollout_begin_restart(struct rollout *r, unsigned instance, unsigned wanted)
{
	*r = (struct rollout){
		.kind = ROLLOUT_RESTART, .instance = instance,
		.stable_wanted = wanted,
	};
}

void
rollout_note_death(struct rollout *r, unsigned seat)
{
	if (r->kind != ROLLOUT_RELOAD)
		return;
	r->deaths++;
	r->died = seat;
}

void
rollout_note_retired(struct rollout *r, bool soon)
{
	if (!soon)
		r->idle = 0;
	else if (r->idle < CONF_INSTANCES_MAX)
		r->idle++;
}

static unsigned
within_limits(int64_t n)
{
	return n < 1 ? 1 : n > CONF_INSTANCES_MAX ? CONF_INSTANCES_MAX :
	    (unsigned)n;
}

bool
rollout_scale(struct rollout *r, unsigned *wanted, int by)
{
	unsigned n = within_limits((int64_t)*wanted + by);

	if (n == *wanted)
		return false;
	*wanted = n;
	r->stable_wanted = within_limits((int64_t)r->stable_wanted + by);
	return true;
}

/* ---- what there is ---- */

/* Whoever goes back is known: a trial would only take time. */
static enum rollout_next
look_at_ready(const struct rollout *r, const struct rollout_worker *w)
{
	if (r->kind == ROLLOUT_BACK)
		return ROLLOUT_NEXT_PASSED;
	switch (w->trial) {
	case TRIAL_WAITS:
	case TRIAL_STALLS:
		return ROLLOUT_NEXT_TRIED;
	case TRIAL_SERVES:
		return ROLLOUT_NEXT_SERVES;
	case TRIAL_PASSED:
		return ROLLOUT_NEXT_PASSED;
	case TRIAL_FAILS:
		return ROLLOUT_NEXT_FAILED;
	default:
		return ROLLOUT_NEXT_READY;
	}
}

static enum rollout_next
look_at_next(const struct rollout *r, const struct rollout_worker *w)
{
	if (w == NULL)
		return ROLLOUT_NEXT_NONE;
	switch (w->state) {
	case WORKER_IDLE:
		return ROLLOUT_NEXT_IDLE;
	case WORKER_READY:
		return look_at_ready(r, w);
	case WORKER_ENDED:
		return ROLLOUT_NEXT_PASSED;
	case WORKER_EXECING:
	case WORKER_STARTING:
		return w->outdated ? ROLLOUT_NEXT_OUTDATED : w->relapsed ?
		    ROLLOUT_NEXT_FAILED : ROLLOUT_NEXT_STARTING;
	default:
		return worker_state_final(w->state) || w->relapsed ?
		    ROLLOUT_NEXT_FAILED : ROLLOUT_NEXT_STARTING;
	}
}

static void
look_at_present(struct rollout_seat *seat, const struct rollout_worker *w)
{
	seat->waits = w->state == WORKER_BACKOFF || w->state == WORKER_IDLE;
	seat->alive = worker_state_alive(w->state);
	seat->generation = w->generation;
	seat->changed = w->of_target;
	seat->odd = !w->of_stable;
	seat->newer = w->newer && w->state == WORKER_READY;
}

struct rollout_seat
rollout_look(const struct rollout *r, unsigned i,
    const struct rollout_worker *w, const struct rollout_worker *next)
{
	struct rollout_seat seat = { .next = look_at_next(r, next) };

	if (w == NULL)
		return seat;
	look_at_present(&seat, w);
	/* Beside an instance that is restarted alone, the others are none of
	   its business. */
	if (r->kind == ROLLOUT_RESTART && i != r->instance) {
		seat.on_target = seat.final = true;
		seat.alive = false;
		return seat;
	}
	seat.on_target = w->of_target && !w->outdated;
	seat.ready = w->state == WORKER_READY;
	if (r->kind == ROLLOUT_BACK) {
		/* What had been stable may well crash, as it did before. */
		seat.final = seat.on_target || worker_state_final(w->state);
		return seat;
	}
	seat.final = w->state == WORKER_ENDED;
	/* One that keeps clients waiting does not serve. */
	if (seat.on_target && w->trial == TRIAL_STALLS)
		seat.ready = false;
	/* One death may be anybody's fault, two in a row are the program's. */
	seat.relapsed = seat.on_target && (w->relapsed ||
	    w->state == WORKER_PARKED || w->state == WORKER_FAILED ||
	    (seat.ready && w->trial == TRIAL_FAILS) ||
	    w->streak >= ROLLOUT_DEATHS);
	return seat;
}

/* One that waits for its restart has no process, but will have one at any
   moment: if its place were given away, there would be one too many. */
bool
rollout_takes_place(enum worker_state state)
{
	return worker_state_alive(state) || state == WORKER_BACKOFF;
}

size_t
rollout_leaving_max(size_t n_seats, unsigned surge)
{
	return surge == 0 ? 0 : n_seats / ROLLOUT_LEAVING;
}

/* Not who may yet be started again for those who wait. */
bool
rollout_leaves(enum worker_state state)
{
	return state == WORKER_DRAINING || state == WORKER_STOPPING ||
	    state == WORKER_KILLED;
}

/* ---- what to do ---- */

static struct rollout_decision
decision(enum rollout_what what, size_t seat)
{
	return (struct rollout_decision){ .what = what, .seat = seat };
}

/* A seat that needs no (more) work: its worker has the target and serves. */
static bool
settled(const struct rollout_seat *s)
{
	return s->on_target && (s->ready || s->final);
}

/* Without room beside the old ones whoever is down comes first, lest another one
   goes down too; a seat that is new comes last. */
static unsigned
turn_of(const struct rollout_view *v, const struct rollout_seat *s)
{
	if (v->surge == 0 && !s->alive)
		return 0;
	return s->generation > 0 ? s->generation : UINT_MAX;
}

/*
 * The seat that comes next, of those wanted that have no worker of the target
 * yet: the one of the oldest generation, so that reloads which come faster than
 * they can be carried out move everybody on. One whose new worker is IDLE has
 * begun already.
 */
static size_t
first_behind(const struct rollout_view *v)
{
	size_t found = v->n_wanted;

	for (size_t i = 0; i < v->n_wanted; i++) {
		const struct rollout_seat *s = &v->seats[i];

		if (s->next == ROLLOUT_NEXT_IDLE)
			return i;
		if (!s->on_target && s->next == ROLLOUT_NEXT_NONE &&
		    (found == v->n_wanted ||
			turn_of(v, s) < turn_of(v, &v->seats[found])))
			found = i;
	}
	return found;
}

/* Has any seat changed over? Until then a new worker is the canary. */
static bool
canary_passed(const struct rollout_view *v)
{
	for (size_t i = 0; i < v->n_wanted; i++)
		if (v->seats[i].on_target)
			return true;
	return false;
}

/* Is there a new worker that has not taken its seat yet? */
static bool
any_next(const struct rollout_view *v)
{
	for (size_t i = 0; i < v->n_wanted; i++)
		if (v->seats[i].next > ROLLOUT_NEXT_IDLE)
			return true;
	return false;
}

/* Is one there that is not ready yet? On a way back that is no reason to wait,
   unless another one had to go down meanwhile. */
static bool
any_begins(const struct rollout_view *v)
{
	for (size_t i = 0; i < v->n_wanted; i++)
		if (v->seats[i].on_target && v->seats[i].alive &&
		    !v->seats[i].ready)
			return true;
	return false;
}

/* Has it shown what it has to show? */
static bool
may_take_over(const struct rollout_view *v, enum rollout_next next,
    bool canary)
{
	switch (next) {
	case ROLLOUT_NEXT_PASSED:
		return true;
	case ROLLOUT_NEXT_SERVES:
		return !canary;
	case ROLLOUT_NEXT_READY:
		return !canary && !v->slow;
	default:
		return false;
	}
}

/* One that waits for its restart must not come up beside the new. */
static struct rollout_decision
start(const struct rollout_view *v, size_t seat)
{
	return (struct rollout_decision){
		.what = ROLLOUT_START, .seat = seat,
		.stop = v->seats[seat].waits,
	};
}

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* New ones that are not ready yet, and so have made nobody retire. */
static size_t
n_beginning(const struct rollout_view *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_wanted; i++)
		n += v->seats[i].next == ROLLOUT_NEXT_STARTING;
	return n;
}

/* What the surge bounds: neither those that leave, nor those that begin, as long
   as the old ones have nothing left to finish. */
static size_t
n_counted(const struct rollout_view *v)
{
	size_t most = rollout_leaving_max(v->n_seats, v->surge);
	size_t beside = v->n_leaving;

	if (beside < most && v->idle > 0)
		beside += least(n_beginning(v), v->idle);
	return v->n_alive - least(beside, most);
}

/* The next new worker, where there is room for it; else nothing. */
static struct rollout_decision
start_next(const struct rollout_view *v, bool canary)
{
	size_t i = first_behind(v);
	const struct rollout_seat *s = &v->seats[i];
	bool room = n_counted(v) < v->n_seats + v->surge;

	if (i == v->n_wanted || ((canary || v->surge == 0) && any_next(v)))
		return decision(ROLLOUT_WAIT, 0);
	if (v->surge == 0) {
		if (s->alive)
			return decision(any_begins(v) ? ROLLOUT_WAIT :
			    ROLLOUT_VACATE, i);
		/* What waits for its restart has a place, and gives it up. */
		room = !s->leaving && (room || s->waits);
	}
	return room ? start(v, i) : decision(ROLLOUT_WAIT, 0);
}

static struct rollout_decision
take_over(const struct rollout_view *v, bool canary)
{
	for (size_t i = 0; i < v->n_wanted; i++)
		if (may_take_over(v, v->seats[i].next, canary))
			return decision(ROLLOUT_PROMOTE, i);
	return decision(ROLLOUT_WAIT, 0);
}

struct rollout_decision
rollout_decide(const struct rollout_view *v)
{
	bool all_settled = true, changed_over_serve = true;
	bool canary = v->trial && (v->alone || !canary_passed(v));
	struct rollout_decision d = decision(ROLLOUT_WAIT, 0);

	for (size_t i = 0; i < v->n_wanted; i++) {
		const struct rollout_seat *s = &v->seats[i];

		if (s->next == ROLLOUT_NEXT_FAILED || s->relapsed)
			return decision(ROLLOUT_ABORT, i);
		if (!settled(s))
			all_settled = false;
		if (s->on_target && !settled(s))
			changed_over_serve = false;
	}
	if (v->deaths >= ROLLOUT_DEATHS && v->died < v->n_wanted)
		return decision(ROLLOUT_ABORT, v->died);
	/* Scaled away meanwhile, or nobody reaches it: it only takes somebody's
	   room. */
	for (size_t i = 0; i < v->n_seats; i++)
		if (v->seats[i].next == ROLLOUT_NEXT_OUTDATED ||
		    (i >= v->n_wanted &&
			v->seats[i].next != ROLLOUT_NEXT_NONE))
			return decision(ROLLOUT_DROP, i);

	/* A seat that changed over and crashed since comes back first: else
	   a crash and a retirement together would take two from service. */
	if (changed_over_serve)
		d = take_over(v, canary);
	if (changed_over_serve && d.what == ROLLOUT_WAIT)
		d = start_next(v, !canary_passed(v));
	if (d.what != ROLLOUT_WAIT || !all_settled)
		return d;

	/* Scaled down: only now, so that there were never too few. */
	if (v->n_seats > v->n_wanted)
		return decision(ROLLOUT_TRIM, v->n_seats - 1);
	return decision(ROLLOUT_DONE, 0);
}

/* ---- its end ---- */

/* Where to go back to: what nobody had a way back from, or the newest that has
   somebody who serves. */
static void
find_way_back(struct rollout_aborted *a, const struct rollout_view *v,
    bool over)
{
	const struct rollout_seat *newest = NULL;

	for (size_t i = v->n_seats; i-- > 0; ) {
		const struct rollout_seat *s = &v->seats[i];

		if (s->changed)
			a->leave = false;
		if (s->odd) {
			a->after = over ? ROLLOUT_ADOPTS : ROLLOUT_RETURNS;
			a->odd = i;
		}
		if (s->newer && !s->changed && (newest == NULL ||
			s->generation > newest->generation))
			newest = s;
	}
	if (newest != NULL) {
		a->after = over ? ROLLOUT_ADOPTS : ROLLOUT_TURNS;
		a->odd = (size_t)(newest - v->seats);
	}
}

/*
 * Back to what serves: first what has not changed over, at once; then, by
 * another rollout, the seats that have, be it to this target or to one that it
 * superseded. A way back to a configuration that was never in force may fail
 * too, and leaves the one to what is.
 */
struct rollout_aborted
rollout_abort(struct rollout *r, unsigned *wanted,
    const struct rollout_view *v, bool over)
{
	struct rollout_aborted a = { .after = ROLLOUT_STAYS, .leave = true };

	find_way_back(&a, v, over);
	if (r->kind == ROLLOUT_BACK && !v->unproven) {
		a.after = ROLLOUT_GIVES_UP;
		a.leave = false;
	} else if (r->kind == ROLLOUT_BACK) {
		a.after = ROLLOUT_RETURNS;
	}
	*wanted = r->stable_wanted;
	*r = (struct rollout){
		.kind = a.after == ROLLOUT_RETURNS ||
		    a.after == ROLLOUT_TURNS ? ROLLOUT_BACK : ROLLOUT_NONE,
		.instance = r->instance, .stable_wanted = r->stable_wanted,
	};
	return a;
}

enum rollout_kind
rollout_done(struct rollout *r)
{
	enum rollout_kind kind = r->kind;

	r->kind = ROLLOUT_NONE;
	return kind;
}
