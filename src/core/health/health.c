#include "core/health/health.h"

/* Of one on trial, between two checks. */
#define SOON_MS 100

/* The golden ratio's part of 2^32: however many there are, they lie evenly. */
#define SPREAD 2654435769u

bool
health_in_doubt(const struct health *h)
{
	return h->unwell || (!h->known && !h->blind);
}

enum health_news
health_take(struct health *h, enum verdict_kind kind, unsigned failures_max)
{
	bool was_known = h->known, was_unwell = h->unwell;

	h->blind = kind == VERDICT_UNKNOWN;
	if (kind == VERDICT_UNKNOWN)
		return HEALTH_NOTHING;
	h->known = true;
	if (kind == VERDICT_GOOD) {
		h->unwell = h->condemned = false;
		h->failures = 0;
		return was_unwell ? HEALTH_RECOVERED :
		    was_known ? HEALTH_NOTHING : HEALTH_WELL;
	}
	h->unwell = true;
	h->failures++;
	if (!h->condemned && h->failures >= failures_max) {
		h->condemned = true;
		return HEALTH_CONDEMNED;
	}
	return was_unwell ? HEALTH_NOTHING : HEALTH_FELL_ILL;
}

/* Where an app's first one lies: FNV-1a. */
static uint32_t
place_of(const char *app)
{
	uint32_t h = 2166136261u;

	for (; *app != '\0'; app++)
		h = (h ^ (unsigned char)*app) * 16777619u;
	return h * SPREAD;
}

struct mono
health_next(const char *app, unsigned instance, int64_t interval_ms, bool soon,
    struct mono now)
{
	const int64_t interval = interval_ms * 1000000;
	uint32_t place = place_of(app) + instance * SPREAD;
	int64_t phase = (int64_t)((uint64_t)place *
	    (uint64_t)interval_ms >> 32) * 1000000;
	int64_t at = now.ns - now.ns % interval + phase;

	if (soon && interval_ms > SOON_MS)
		return mono_add_ms(now, SOON_MS);
	while (at <= now.ns)
		at += interval;
	return (struct mono){ .ns = at };
}

/* Twice as long each time. */
static int64_t
delay_of(const struct health_ward *w, const struct health_terms *t)
{
	int64_t ms = t->delay_ms > t->patience_ms ? t->delay_ms :
	    t->patience_ms;
	int64_t most = t->delay_max_ms > ms ? t->delay_max_ms : ms;

	for (unsigned i = 1; i < w->failed && ms < most; i++)
		ms *= 2;
	return ms < most ? ms : most;
}

/* It may be the fault of what all of them need. */
static bool
is_common(const struct health_view *v)
{
	return v->ready > 1 && v->unwell == v->ready;
}

enum health_deed
health_decide(struct health_ward *w, const struct health_view *v,
    const struct health_terms *t, struct mono now, bool *ret_tell_all)
{
	*ret_tell_all = false;
	if (v->unwell < v->ready)
		w->all_told = false;
	if (is_common(v) && v->condemned > 0 && !w->all_told) {
		w->all_told = *ret_tell_all = true;
		/* Those of a moment ago may be well again by then. */
		if (w->failed == 0)
			w->failed = 1;
		w->next = mono_add_ms(now, delay_of(w, t));
	}
	if (v->condemned == 0 || v->busy || t->never)
		return HEALTH_LEAVE;
	return mono_before(now, w->next) ? HEALTH_LATER : HEALTH_REPLACE;
}

void
health_replaced(struct health_ward *w, bool well, const struct health_terms *t,
    struct mono now)
{
	if (well) {
		w->failed = 0;
		w->next = now;
		return;
	}
	w->failed++;
	w->next = mono_add_ms(now, delay_of(w, t));
}
