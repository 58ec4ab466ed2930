#include <inttypes.h>

#include "base/str.h"
#include "core/worker/autoscale.h"

static const char *const names[] = {
	[AUTOSCALE_WAITING] = "waiting",
	[AUTOSCALE_BUSY_CPU] = "busy",
	[AUTOSCALE_IDLE_CPU] = "idle",
};
_Static_assert(sizeof(names) / sizeof(names[0]) == AUTOSCALE_REASONS,
    "each has its name");

const char *
autoscale_why_name(enum autoscale_why why)
{
	return names[why];
}

/* Has it been so at every look? */
static void
note(bool *was, struct mono *since, bool is, struct mono now)
{
	if (is && !*was)
		*since = now;
	*was = is;
}

void
autoscale_queue_note(struct autoscale_queue *q, uint32_t waiting,
    struct mono now)
{
	note(&q->waits, &q->since, waiting > 0, now);
}

/* Before the last change had come to its end, it was another app. */
static int64_t
ms_waited(const struct autoscale *s, const struct autoscale_queue *q,
    struct mono now)
{
	if (!q->waits)
		return -1;
	return mono_ms_between(mono_before(q->since, s->settled_since) ?
	    s->settled_since : q->since, now);
}

static int64_t
ms_since(bool is, struct mono since, struct mono now)
{
	return is ? mono_ms_between(since, now) : -1;
}

/* Until one may go that may have to come back. */
static int64_t
patience_ms(const struct autoscale *s, const struct autoscale_rules *rules)
{
	return rules->down_ms * ((int64_t)1 << s->patience);
}

/* If the last one that went had to come back soon, it was too early; if another one
   goes, it was not. */
static void
learn(struct autoscale *s, const struct autoscale_rules *rules, int by,
    struct mono now)
{
	bool soon = s->shrunk && mono_ms_between(s->shrunk_at, now) <=
	    patience_ms(s, rules);

	if (by > 0 && soon && 2 << s->patience <= AUTOSCALE_PATIENCE_MAX)
		s->patience++;
	if (by < 0 && s->shrunk)
		s->patience = 0;
	s->shrunk = by < 0;
	s->shrunk_at = now;
}

static struct autoscale_decision
change(struct autoscale *s, const struct autoscale_rules *rules,
    enum autoscale_why why, int64_t ms, struct mono now)
{
	int by = why == AUTOSCALE_IDLE_CPU ? -1 : 1;

	learn(s, rules, by, now);
	s->settled = false;
	return (struct autoscale_decision){
		.by = by, .why = why, .for_ms = ms,
		.next_ms = AUTOSCALE_LOOK_MS,
	};
}

static void
settle(struct autoscale *s, const struct autoscale_sample *sample,
    struct mono now)
{
	if (s->settled && s->wanted == sample->wanted)
		return;
	s->settled = true;
	s->settled_since = now;
	s->busy = false;
	/* Restarts may come more often than it is idle for long enough. */
	if (s->wanted != sample->wanted)
		s->idle = false;
	s->wanted = sample->wanted;
}

/* Many workers take their time. */
static int64_t
look_again(const struct autoscale_sample *sample, bool soon)
{
	int64_t ms = soon ? AUTOSCALE_LOOK_SOON_MS : AUTOSCALE_LOOK_MS;
	int64_t least = (int64_t)sample->wanted * AUTOSCALE_EACH_MS;

	return ms < least ? least : ms;
}

struct autoscale_decision
autoscale_decide(struct autoscale *s, const struct autoscale_rules *rules,
    const struct autoscale_sample *sample, struct mono now)
{
	const uint64_t n = sample->measured;
	/* The last one would go. */
	const uint64_t rest = n > 0 && !sample->starting ? n - 1 : n;
	int64_t waited, busy, idle;
	bool may_grow = sample->wanted < rules->most && !sample->starting;

	if (!sample->settled) {
		s->settled = false;
		return (struct autoscale_decision){
			.next_ms = look_again(sample, false),
		};
	}
	settle(s, sample, now);
	if (sample->starting || s->starting)
		s->settled_since = now;
	s->starting = sample->starting;
	waited = ms_waited(s, &sample->queue, now);
	note(&s->busy, &s->busy_since,
	    may_grow && n > 0 && sample->cpu >= n * AUTOSCALE_BUSY, now);
	/* That somebody waits at a single look is usual. Who waits for the one that
	   is being started, waits. */
	note(&s->idle, &s->idle_since, ms_since(sample->queue.waits,
		sample->queue.since, now) <= 0 && rest > 0 &&
	    sample->cpu < rest * AUTOSCALE_IDLE, now);
	busy = ms_since(s->busy, s->busy_since, now);
	idle = ms_since(s->idle, s->idle_since, now);
	if (may_grow && waited >= rules->up_ms && !sample->spare)
		return change(s, rules, AUTOSCALE_WAITING, waited, now);
	if (may_grow && busy >= rules->up_ms)
		return change(s, rules, AUTOSCALE_BUSY_CPU, busy, now);
	if (sample->wanted > rules->least && idle >=
	    (s->shrunk ? rules->down_ms : patience_ms(s, rules)))
		return change(s, rules, AUTOSCALE_IDLE_CPU, idle, now);
	return (struct autoscale_decision){
		.next_ms = look_again(sample,
		    may_grow && (waited >= 0 || busy >= 0)),
	};
}

static const char *
words_of(enum autoscale_why why)
{
	switch (why) {
	case AUTOSCALE_WAITING:
		return "connections waited";
	case AUTOSCALE_BUSY_CPU:
		return "workers were busy";
	default:
		return "workers were idle";
	}
}

void
autoscale_put_words(struct strbuf *sb, const struct autoscale_decision *d)
{
	strbuf_printf(sb, "%s for %" PRId64 ".%ds", words_of(d->why),
	    d->for_ms / 1000, (int)(d->for_ms % 1000 / 100));
}
