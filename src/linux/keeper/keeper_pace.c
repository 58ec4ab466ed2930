#include "linux/keeper/keeper_pace.h"

#define GAP_MS		100
#define GAP_MAX_MS	10000

/* Whoever dies as soon as it is up is not to have a CPU for it. */
#define BRIEF_MS	100
#define BRIEF		10

static int
death_of_up(struct keeper_pace *p, int64_t lived_ms)
{
	p->deaths = 0;
	p->slow = false;
	p->brief = lived_ms < BRIEF_MS ? p->brief + 1 : 0;
	p->spins = p->brief > BRIEF;
	return p->spins ? GAP_MS : 0;
}

static bool
too_many(const struct keeper_pace *p, struct mono now)
{
	struct mono oldest = p->died[p->deaths % KEEPER_PACE_DEATHS];

	return p->deaths >= KEEPER_PACE_DEATHS &&
	    mono_ms_between(oldest, now) <= KEEPER_PACE_WITHIN_MS;
}

int
keeper_pace_death(struct keeper_pace *p, bool was_up, int64_t lived_ms,
    struct mono now)
{
	int ms = GAP_MS;

	if (was_up || lived_ms >= KEEPER_PACE_WITHIN_MS)
		return death_of_up(p, lived_ms);
	p->spins = false;
	p->died[p->deaths++ % KEEPER_PACE_DEATHS] = now;
	p->slow = p->slow || too_many(p, now);
	if (p->slow)
		return GAP_MAX_MS;
	if (p->deaths == 1)
		return 0;
	for (unsigned i = 2; i < p->deaths && ms < GAP_MAX_MS; i++)
		ms *= 2;
	return ms < GAP_MAX_MS ? ms : GAP_MAX_MS;
}
