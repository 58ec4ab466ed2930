#include "daemon/watch/look_queue.h"

int
look_queue_init(struct look_queue *q, struct loop *loop,
    void (*fn)(void *ctx), void *ctx)
{
	q->loop = loop;
	TAILQ_INIT(&q->entries);
	return loop_timer_init(loop, &q->timer, fn, ctx);
}

void
look_queue_fini(struct look_queue *q)
{
	loop_timer_fini(q->loop, &q->timer);
}

void
look_queue_add(struct look_queue *q, struct look_entry *e)
{
	e->due = MONO_NEVER;
	e->listed = true;
	TAILQ_INSERT_TAIL(&q->entries, e, link);
}

void
look_queue_remove(struct look_queue *q, struct look_entry *e)
{
	if (!e->listed)
		return;
	e->listed = false;
	TAILQ_REMOVE(&q->entries, e, link);
}

void
look_queue_rotate(struct look_queue *q, struct look_entry *e)
{
	TAILQ_REMOVE(&q->entries, e, link);
	TAILQ_INSERT_TAIL(&q->entries, e, link);
}

void
look_queue_set(struct look_queue *q, struct look_entry *e, struct mono now,
    int64_t ms)
{
	e->due = mono_add_ms(now, ms);
	if (mono_before(e->due, q->timer.due))
		look_queue_wake(q, e->due);
}

struct look_entry *
look_queue_first(const struct look_queue *q)
{
	struct look_entry *e, *first = NULL;

	TAILQ_FOREACH(e, &q->entries, link)
		if (!mono_is_never(e->due) &&
		    (first == NULL || mono_before(e->due, first->due)))
			first = e;
	return first;
}

void
look_queue_wake(struct look_queue *q, struct mono when)
{
	loop_timer_set(q->loop, &q->timer, when);
}
