#include "core/worker/rollout.h"

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
		return decision(ROLLOUT_START, behind);

	if (!all_settled)
		return decision(ROLLOUT_WAIT, 0);

	/* Scaled down: only now, so that there were never too few. */
	if (v->n_seats > v->n_wanted)
		return decision(ROLLOUT_TRIM, v->n_seats - 1);
	return decision(ROLLOUT_DONE, 0);
}
