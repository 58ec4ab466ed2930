#include <errno.h>

#include "core/control/answer.h"
#include "core/control/request.h"
#include "web/sampler.h"

/* For the whole answer. */
#define LATE_MS		5000

/* CPU is measured between two samples that are not closer. */
#define BETWEEN_MS	100

/* They may want another one at once, which comes behind those that are there. */
static void
tell_all(struct sampler *s, const struct status *status, const char *words)
{
	struct sampler_wait *w;
	size_t n = 0;

	TAILQ_FOREACH(w, &s->waits, entry)
		n++;
	while (n-- > 0 && (w = TAILQ_FIRST(&s->waits)) != NULL) {
		TAILQ_REMOVE(&s->waits, w, entry);
		w->busy = false;
		w->fn(w->ctx, status, words);
	}
}

static void
on_line(void *ctx, const struct answer_line *line)
{
	struct sampler *s = ctx;

	if (line->kind == ANSWER_RECORD && status_add(&s->coming, line) < 0)
		s->no_memory = true;
}

/* What it has used since the last one may have been for others; but no more of it was
   for us than the answer took. */
static int64_t
cost_of(const struct sampler *s, struct mono now)
{
	uint64_t before = s->status.clusterd.cpu_ns;
	uint64_t after = s->coming.clusterd.cpu_ns;
	int64_t took = now.ns - s->asked.ns;

	if (s->known && before != STATUS_UNKNOWN && after != STATUS_UNKNOWN &&
	    after >= before && after - before < (uint64_t)took &&
	    s->status.clusterd.pid == s->coming.clusterd.pid)
		return (int64_t)(after - before);
	return took;
}

static void
take_sample(struct sampler *s)
{
	struct mono now = mono_now();

	s->cost_ns = cost_of(s, now);
	if (s->known && mono_ms_between(s->at, s->asked) < BETWEEN_MS)
		status_measure(&s->coming, NULL);
	else
		status_measure(&s->coming, s->known ? &s->status : NULL);
	status_free(&s->status);
	s->status = s->coming;
	s->coming = (struct status)STATUS_INIT;
	s->known = true;
	s->at = s->asked;
}

static void
on_end(void *ctx, int code, const char *words)
{
	struct sampler *s = ctx;

	if (code == 0)
		words = NULL;
	loop_timer_set(s->loop, &s->late, MONO_NEVER);
	if (words == NULL && s->no_memory)
		words = "out of memory";
	if (words == NULL && !s->coming.told)
		words = "clusterd has told nothing";
	if (words == NULL)
		take_sample(s);
	status_free(&s->coming);
	s->coming = (struct status)STATUS_INIT;
	s->no_memory = false;
	tell_all(s, words == NULL ? &s->status : NULL, words);
}

static void
on_late(void *ctx)
{
	struct sampler *s = ctx;

	stream_close(&s->stream);
	on_end(s, -ETIMEDOUT, "clusterd is there and does not answer");
}

static const struct stream_events events = {
	.line = on_line, .end = on_end,
};

int
sampler_init(struct sampler *s, struct loop *loop, struct asker *asker)
{
	*s = (struct sampler){ .loop = loop };
	TAILQ_INIT(&s->waits);
	stream_init(&s->stream, asker, &events, s);
	return loop_timer_init(loop, &s->late, on_late, s);
}

void
sampler_fini(struct sampler *s)
{
	if (s->loop == NULL)
		return;
	stream_close(&s->stream);
	loop_timer_fini(s->loop, &s->late);
	status_free(&s->status);
	status_free(&s->coming);
}

static bool
is_young(const struct sampler *s, int fresh)
{
	return s->known &&
	    mono_now().ns - s->at.ns < s->cost_ns * fresh;
}

void
sampler_want(struct sampler *s, int fresh, struct sampler_wait *wait,
    sampler_fn *fn, void *ctx)
{
	static const struct request request = {
		.verb = REQUEST_STATUS, .instance = -1,
	};

	if (!stream_is_open(&s->stream) && is_young(s, fresh)) {
		fn(ctx, &s->status, NULL);
		return;
	}
	if (!stream_is_open(&s->stream)) {
		if (stream_open(&s->stream, &request, NULL) < 0) {
			fn(ctx, NULL, "too much is asked at a time");
			return;
		}
		s->asked = mono_now();
		loop_timer_set(s->loop, &s->late,
		    mono_add_ms(s->asked, LATE_MS));
	}
	wait->fn = fn;
	wait->ctx = ctx;
	wait->busy = true;
	TAILQ_INSERT_TAIL(&s->waits, wait, entry);
}

void
sampler_forget(struct sampler *s, struct sampler_wait *wait)
{
	if (wait->busy)
		TAILQ_REMOVE(&s->waits, wait, entry);
	wait->busy = false;
}
