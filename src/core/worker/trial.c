#include "core/worker/trial.h"

static void
begin(struct trial *t, uint64_t serial, const struct trial_sight *sight)
{
	/* What one process of it has kept waiting, the next one may too. */
	*t = (struct trial){
		.serial = serial, .came = sight->came, .kept = t->kept,
	};
}

/* Fewer than before, or more have come than wait now: they were taken. Nobody
   leaves a queue by himself. */
static bool
has_taken(const struct trial *t, const struct trial_sight *sight)
{
	return sight->serves || (t->waits && sight->waiting < t->waiting) ||
	    sight->came > t->came + sight->waiting;
}

static bool
stalls(const struct trial *t, struct mono now)
{
	return t->waits && !t->taken &&
	    mono_ms_between(t->since, now) >= TRIAL_STALL_MS;
}

void
trial_see(struct trial *t, uint64_t serial, const struct trial_sight *sight,
    struct mono now)
{
	if (t->serial != serial)
		begin(t, serial, sight);
	t->taken = t->taken || has_taken(t, sight);
	if (sight->waiting > 0 && !t->waits)
		t->since = now;
	t->waits = sight->waiting > 0;
	t->waiting = sight->waiting;
	t->kept = t->kept || stalls(t, now);
}

enum trial_verdict
trial_decide(const struct trial *t, const struct trial_terms *terms,
    struct mono now)
{
	int64_t lived_ms = mono_ms_between(terms->since, now);

	if (terms->canary_ms == 0)
		return TRIAL_PASSED;
	if (stalls(t, now))
		return mono_ms_between(t->since, now) >=
		    terms->ready_timeout_ms ? TRIAL_FAILS : TRIAL_STALLS;
	if (t->waits && !t->taken)
		return TRIAL_WAITS;
	if (lived_ms >= terms->canary_ms)
		return TRIAL_PASSED;
	return t->taken ? TRIAL_SERVES : TRIAL_NEW;
}
