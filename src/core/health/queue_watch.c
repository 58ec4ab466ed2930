#include "core/health/queue_watch.h"

/* So many looks in a time-out, but not more often than that, nor than makes sense. */
#define LOOKS		8
#define LOOK_MAX_MS	500
#define LOOK_MIN_MS	5

/* Of who is not counted one may have taken the place of another while nobody could
   look. */
static bool
was_out_of_sight(const struct queue_watch *w, const struct queue_sight *s,
    int64_t timeout_ms, struct mono now)
{
	return !(w->counted && s->counted) &&
	    mono_ms_between(w->seen, now) > timeout_ms;
}

/* Nobody leaves a queue by himself. */
static bool
has_taken(const struct queue_watch *w, const struct queue_sight *s,
    uint64_t taken)
{
	if (w->counted && s->counted)
		return taken > w->taken;
	return s->waiting < w->waiting;
}

static void
remember(struct queue_watch *w, const struct queue_sight *s, uint64_t taken,
    struct mono now)
{
	w->seen = now;
	w->known = true;
	w->waits = s->waiting > 0;
	w->waiting = s->waiting;
	w->counted = s->counted;
	w->taken = taken;
	w->moves = s->moves;
}

enum queue_news
queue_watch_see(struct queue_watch *w, const struct queue_sight *s,
    int64_t timeout_ms, struct mono now)
{
	uint64_t taken = s->counted && s->came > s->waiting ?
	    s->came - s->waiting : 0;
	bool emptied = w->known && w->moves != s->moves;
	bool began = !w->waits || emptied ||
	    was_out_of_sight(w, s, timeout_ms, now);
	bool takes = !began && has_taken(w, s, taken);
	enum queue_news news = QUEUE_WAITS;

	if (s->waiting == 0)
		news = emptied ? QUEUE_EMPTIED : QUEUE_TAKES;
	else if (takes)
		news = QUEUE_TAKES;
	if (began || takes)
		w->since = now;
	remember(w, s, taken, now);
	if (news == QUEUE_WAITS &&
	    mono_ms_between(w->since, now) >= timeout_ms) {
		w->since = now;
		news = QUEUE_HANGS;
	}
	return news;
}

int64_t
queue_watch_pause_ms(int64_t timeout_ms)
{
	int64_t ms = timeout_ms / LOOKS;

	return ms > LOOK_MAX_MS ? LOOK_MAX_MS :
	    ms < LOOK_MIN_MS ? LOOK_MIN_MS : ms;
}

void
queue_watch_say(uint32_t waiting, int64_t timeout_ms, struct verdict *ret)
{
	bool whole = timeout_ms % 1000 == 0;

	verdict_say(ret, VERDICT_BAD, "%u connection%s, and none was "
	    "accepted in %lld%s", (unsigned)waiting,
	    waiting == 1 ? " waits" : "s wait",
	    (long long)(whole ? timeout_ms / 1000 : timeout_ms),
	    whole ? "s" : "ms");
	ret->took_us = -1;
}
