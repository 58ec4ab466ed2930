#include <stdlib.h>

#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "linux/process/inspect.h"
#include "linux/process/waiting.h"

/* Between two looks at the same worker: from the first to the last. */
#define GAP_MIN_MS	1
#define GAP_MAX_MS	100

/* Looking stops for a while when it has taken this long, and resumes when
   PAUSE_FACTOR times as long has passed: workers that start by the thousand
   must not keep the loop from everything else. */
#define SPELL_NS	(3 * INT64_C(1000000))
#define PAUSE_FACTOR	3

static bool
asks_for_it(const struct conf_app *conf)
{
	return conf->n_listens > 0 && (conf->ready == CONF_READY_AUTO ||
	    conf->ready == CONF_READY_ACCEPT);
}

/* The timer for the first that is due, but not before `earliest`. */
static void
set_timer(struct readiness *r, struct mono earliest)
{
	struct mono due = MONO_NEVER;
	const struct worker *w;

	TAILQ_FOREACH(w, &r->starters, starter)
		if (mono_before(w->look_due, due))
			due = w->look_due;
	if (!mono_is_never(due) && mono_before(due, earliest))
		due = earliest;
	loop_timer_set(r->loop, &r->look, due);
}

static void
set_due(struct worker *w, struct mono now)
{
	w->look_due = mono_add_ms(now, w->look_gap_ms);
	w->look_gap_ms += (w->look_gap_ms + 1) / 2;
	if (w->look_gap_ms > GAP_MAX_MS)
		w->look_gap_ms = GAP_MAX_MS;
}

void
readiness_watch(struct readiness *r, struct worker *w)
{
	if (w->look_gap_ms != 0 || !asks_for_it(w->spec->conf))
		return;
	w->look_gap_ms = GAP_MIN_MS;
	set_due(w, mono_now());
	w->readiness = r;
	TAILQ_INSERT_TAIL(&r->starters, w, starter);
	if (mono_before(w->look_due, r->look.due))
		loop_timer_set(r->loop, &r->look, w->look_due);
}

void
readiness_expect(struct worker *w)
{
	struct readiness *r = w->readiness;

	w->listens = true;
	if (w->look_gap_ms == 0)
		return;
	w->look_gap_ms = GAP_MIN_MS;
	set_due(w, mono_now());
	if (mono_before(w->look_due, r->look.due))
		loop_timer_set(r->loop, &r->look, w->look_due);
}

void
readiness_forget(struct worker *w)
{
	if (w->look_gap_ms == 0)
		return;
	w->look_gap_ms = 0;
	TAILQ_REMOVE(&w->readiness->starters, w, starter);
}

static bool
waits(const struct worker *w)
{
	uint64_t inos[2 * CONF_LISTENS_MAX];
	size_t n =
	    app_spec_inodes(w->spec, &w->holder, inos, 2 * CONF_LISTENS_MAX);
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	enum waiting seen = waiting_look(w->pid, inos, n);

	inspect_end(&ids);
	/* Where it may not be looked at, that it has come to listen(2) is all
	   that can be known. */
	return seen == WAITING_YES || (seen == WAITING_REFUSED && w->listens);
}

static void
look_at_starters(struct readiness *r)
{
	struct mono begin = mono_now(), now = begin;
	struct worker *w, *next, *last = TAILQ_LAST(&r->starters, starters);
	bool more = last != NULL;

	for (w = TAILQ_FIRST(&r->starters); more; w = next) {
		next = TAILQ_NEXT(w, starter);
		more = w != last && now.ns - begin.ns < SPELL_NS;
		if (mono_before(now, w->look_due))
			continue;
		if (waits(w)) {
			worker_post(w, WORKER_EV_WAITS);
		} else {
			/* Behind those that were not looked at yet. */
			TAILQ_REMOVE(&r->starters, w, starter);
			TAILQ_INSERT_TAIL(&r->starters, w, starter);
			set_due(w, mono_now());
		}
		now = mono_now();
	}
	if (now.ns - begin.ns >= SPELL_NS)
		now.ns += (now.ns - begin.ns) * PAUSE_FACTOR;
	set_timer(r, now);
}

static void
look_due(void *ctx)
{
	look_at_starters(ctx);
}

int
readiness_init(struct readiness *r, struct loop *loop)
{
	r->loop = loop;
	TAILQ_INIT(&r->starters);
	return loop_timer_init(loop, &r->look, look_due, r);
}

void
readiness_fini(struct readiness *r)
{
	loop_timer_fini(r->loop, &r->look);
}
