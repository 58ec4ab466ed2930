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

static enum rollout_next
look_at_next(const struct rollout_worker *w)
{
	if (w == NULL)
		return ROLLOUT_NEXT_NONE;
	if (w->state == WORKER_READY || w->state == WORKER_ENDED)
		return ROLLOUT_NEXT_READY;
	if (worker_state_final(w->state) || w->relapsed)
		return ROLLOUT_NEXT_FAILED;
	return ROLLOUT_NEXT_STARTING;
}

struct rollout_seat
rollout_look(const struct rollout *r, unsigned i,
    const struct rollout_worker *w, const struct rollout_worker *next)
{
	struct rollout_seat seat = { .next = look_at_next(next) };

	if (w == NULL)
		return seat;
	seat.waits = w->state == WORKER_BACKOFF;
	seat.changed = w->of_target;
	seat.odd = !w->of_stable;
	/* Beside an instance that is restarted alone, the others are none of
	   its business. */
	if (r->kind == ROLLOUT_RESTART && i != r->instance) {
		seat.on_target = seat.final = true;
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
	/* One death may be anybody's fault, two in a row are the program's. */
	seat.relapsed = seat.on_target && (w->relapsed ||
	    w->state == WORKER_PARKED || w->state == WORKER_FAILED ||
	    w->streak >= 2);
	return seat;
}

/* One that waits for its restart has no process, but will have one at any
   moment: if its place were given away, there would be one too many. */
bool
rollout_takes_place(enum worker_state state)
{
	return worker_state_alive(state) || state == WORKER_BACKOFF;
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

/* The first seat, of those wanted, that has no worker of the target yet. */
static size_t
first_behind(const struct rollout_view *v)
{
	for (size_t i = 0; i < v->n_wanted; i++)
		if (!v->seats[i].on_target &&
		    v->seats[i].next == ROLLOUT_NEXT_NONE)
			return i;
	return v->n_wanted;
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

static bool
any_starting(const struct rollout_view *v)
{
	for (size_t i = 0; i < v->n_wanted; i++)
		if (v->seats[i].next == ROLLOUT_NEXT_STARTING)
			return true;
	return false;
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

struct rollout_decision
rollout_decide(const struct rollout_view *v)
{
	bool all_settled = true;
	bool changed_over_serve = true;
	size_t behind;

	for (size_t i = 0; i < v->n_wanted; i++) {
		const struct rollout_seat *s = &v->seats[i];

		if (s->next == ROLLOUT_NEXT_FAILED || s->relapsed)
			return decision(ROLLOUT_ABORT, i);
		if (!settled(s))
			all_settled = false;
		if (s->on_target && !settled(s))
			changed_over_serve = false;
	}

	/* A seat that changed over and crashed since comes back first: else
	   a crash and a retirement together would take two from service. */
	if (changed_over_serve)
		for (size_t i = 0; i < v->n_wanted; i++)
			if (v->seats[i].next == ROLLOUT_NEXT_READY)
				return decision(ROLLOUT_PROMOTE, i);

	behind = first_behind(v);
	if (behind < v->n_wanted && changed_over_serve &&
	    v->n_alive < v->n_seats + v->surge &&
	    (canary_passed(v) || !any_starting(v)))
		return start(v, behind);

	if (!all_settled)
		return decision(ROLLOUT_WAIT, 0);

	/* Scaled down: only now, so that there were never too few. */
	if (v->n_seats > v->n_wanted)
		return decision(ROLLOUT_TRIM, v->n_seats - 1);
	return decision(ROLLOUT_DONE, 0);
}

/* ---- its end ---- */

/*
 * Back to what is stable: first what has not changed over, at once; then, by
 * another rollout, the seats that have, be it to this target or to one that it
 * superseded.
 */
struct rollout_aborted
rollout_abort(struct rollout *r, unsigned *wanted,
    const struct rollout_view *v, bool over)
{
	struct rollout_aborted a = { .after = ROLLOUT_STAYS, .leave = true };

	for (size_t i = v->n_seats; i-- > 0; ) {
		if (v->seats[i].changed)
			a.leave = false;
		if (v->seats[i].odd) {
			a.after = over ? ROLLOUT_ADOPTS : ROLLOUT_RETURNS;
			a.odd = i;
		}
	}
	if (r->kind == ROLLOUT_BACK) {
		a.after = ROLLOUT_GIVES_UP;
		a.leave = false;
	}
	*wanted = r->stable_wanted;
	r->kind = a.after == ROLLOUT_RETURNS ? ROLLOUT_BACK : ROLLOUT_NONE;
	return a;
}

enum rollout_kind
rollout_done(struct rollout *r)
{
	enum rollout_kind kind = r->kind;

	r->kind = ROLLOUT_NONE;
	return kind;
}
