#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "core/control/answer.h"
#include "core/control/event_json.h"
#include "core/control/request.h"
#include "web/feed.h"

/* So long what happens is gathered. */
#define EVENTS_MS	50
#define LINES_MS	100

/* With so much gathered no more is read until it is told. */
#define GATHERED_MAX	(64 * 1024)

/* Until a stream that has ended is opened again. */
#define AGAIN_MIN_MS	100
#define AGAIN_MAX_MS	2000

/*
 * Between two samples: at least so long, and so many times as long as one has cost
 * clusterd, half a percent of its time; where something has happened, a percent.
 */
#define GAP_MIN_MS	2000
#define GAP_MAX_MS	10000
#define GAP_COSTS	200
#define NEWS_MIN_MS	200
#define NEWS_COSTS	100

/* Pages hear something every so often, or take us for gone. */
#define BEAT_MS		5000

static int64_t
wall_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- the last few ---- */

static void
ring_add(struct feed_ring *ring, const char *text)
{
	char *copy = strdup(text);

	if (ring->v == NULL)
		ring->v = calloc(ring->max, sizeof(*ring->v));
	if (copy == NULL || ring->v == NULL) {
		free(copy);
		return;
	}
	if (ring->n == ring->max) {
		free(ring->v[ring->first]);
		ring->first = (ring->first + 1) % ring->max;
		ring->n--;
	}
	ring->v[(ring->first + ring->n++) % ring->max] = copy;
}

static void
ring_free(struct feed_ring *ring)
{
	for (size_t i = 0; i < ring->n; i++)
		free(ring->v[(ring->first + i) % ring->max]);
	free(ring->v);
	*ring = (struct feed_ring){ .max = ring->max };
}

/* ---- records ---- */

static void
put_tap(struct strbuf *sb, const struct feed_tap *tap, const char *list)
{
	strbuf_printf(sb, "{\"list\":[%s]", list != NULL ? list : "");
	if (tap->lost > 0)
		strbuf_printf(sb, ",\"lost\":%llu",
		    (unsigned long long)tap->lost);
	strbuf_putc(sb, '}');
}

/* To all who have had what came before. */
static void
flush(void *ctx)
{
	struct feed_tap *tap = ctx;
	struct strbuf sb = STRBUF_INIT;

	loop_timer_set(tap->feed->loop, &tap->flush, MONO_NEVER);
	if (tap->fresh.len > 0 || tap->lost > 0) {
		put_tap(&sb, tap, tap->fresh.text);
		pages_tell(&tap->feed->pages, NULL, tap->logs, tap->name, &sb);
	}
	strbuf_free(&sb);
	strbuf_free(&tap->fresh);
	tap->lost = 0;
	stream_pause(&tap->stream, false);
}

/* All that is kept, to one. */
static void
tell_ring(struct feed_tap *tap, struct page *page)
{
	struct strbuf list = STRBUF_INIT, sb = STRBUF_INIT;
	const struct feed_ring *ring = &tap->ring;

	for (size_t i = 0; i < ring->n; i++)
		strbuf_printf(&list, "%s%s", i > 0 ? "," : "",
		    ring->v[(ring->first + i) % ring->max]);
	put_tap(&sb, tap, list.text);
	sb.failed |= list.failed;
	pages_tell(&tap->feed->pages, page, false, tap->name, &sb);
	strbuf_free(&list);
	strbuf_free(&sb);
}

/* Of a connection that was opened once more: was it told already? */
static bool
is_told(struct feed_tap *tap, uint64_t ms)
{
	if (tap->replaying && (ms < tap->last_ms ||
	    (ms == tap->last_ms && tap->n_replayed++ < tap->n_last)))
		return true;
	tap->replaying = false;
	tap->n_last = ms == tap->last_ms ? tap->n_last + 1 : 1;
	tap->last_ms = ms;
	return false;
}

static void
put_line(struct strbuf *sb, const struct answer_line *line)
{
	uint64_t n;
	const char *app = answer_line_get(line, "app");
	const char *stream = answer_line_get(line, "stream");

	strbuf_puts(sb, "{\"app\":");
	json_put_string(sb, app != NULL ? app : "?");
	if (answer_line_number(line, "instance", &n))
		strbuf_printf(sb, ",\"instance\":%llu", (unsigned long long)n);
	if (answer_line_number(line, "time_ms", &n))
		strbuf_printf(sb, ",\"ms\":%llu", (unsigned long long)n);
	if (stream != NULL && strcmp(stream, "stderr") == 0)
		strbuf_puts(sb, ",\"err\":true");
	if (answer_line_get(line, "cont") != NULL)
		strbuf_puts(sb, ",\"cont\":true");
	strbuf_puts(sb, ",\"text\":");
	for (size_t i = 0; i < line->n_fields; i++)
		if (strcmp(line->fields[i].key, "text") == 0) {
			json_put_bytes(sb, line->fields[i].value,
			    line->fields[i].len);
			strbuf_putc(sb, '}');
			return;
		}
	strbuf_puts(sb, "\"\"}");
}

static void
take_record(struct feed_tap *tap, const struct answer_line *line)
{
	struct strbuf sb = STRBUF_INIT;
	uint64_t ms = 0;

	(void)answer_line_number(line, "time_ms", &ms);
	if (is_told(tap, ms))
		return;
	if (tap->logs)
		put_line(&sb, line);
	else
		event_json_put(&sb, line);
	if (!sb.failed) {
		ring_add(&tap->ring, sb.text);
		strbuf_puts(&tap->fresh, tap->fresh.len > 0 ? "," : "");
		strbuf_add(&tap->fresh, sb.text, sb.len);
	}
	strbuf_free(&sb);
}

static void
on_line(void *ctx, const struct answer_line *line)
{
	struct feed_tap *tap = ctx;
	uint64_t n;

	if (line->kind != ANSWER_RECORD)
		return;
	if (strcmp(line->word, tap->logs ? "line" : "event") == 0)
		take_record(tap, line);
	else if (strcmp(line->word, "lost") == 0 &&
	    answer_line_number(line, "count", &n))
		tap->lost += n;
	else
		return;
	tap->gap_ms = AGAIN_MIN_MS;
	if (tap->fresh.len > GATHERED_MAX)
		stream_pause(&tap->stream, true);
	loop_timer_start(tap->feed->loop, &tap->flush,
	    tap->logs ? LINES_MS : EVENTS_MS);
}

/* ---- the state ---- */

static void
put_head(struct strbuf *sb, const struct feed *feed,
    const struct status *status, int64_t now)
{
	strbuf_printf(sb, "{\"now\":%lld,\"next\":%lld,\"clusterd\":",
	    (long long)now, (long long)feed->gap_ms);
	web_rows_put_clusterd(sb, status, now);
	strbuf_putc(sb, ',');
}

static void
tell_rows(struct feed *feed, struct page *page, const struct status *status,
    const struct web_rows *rows, const struct web_rows *before)
{
	struct strbuf sb = STRBUF_INIT;

	put_head(&sb, feed, status, wall_ms());
	strbuf_printf(&sb, "\"whole\":%s,", before == NULL ? "true" : "false");
	web_rows_put(&sb, rows, before);
	strbuf_putc(&sb, '}');
	pages_tell(&feed->pages, page, false, "state", &sb);
	strbuf_free(&sb);
}

static void
tell_lost(struct feed *feed, struct page *page, const char *words)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_puts(&sb, "{\"words\":");
	json_put_string(&sb, words);
	strbuf_putc(&sb, '}');
	pages_tell(&feed->pages, page, false, "lost", &sb);
	strbuf_free(&sb);
}

static void
tell_hello(struct feed *feed, struct page *page)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "{\"version\":\"" CLUSTERD_VERSION "\","
	    "\"actions\":%s}", feed->actions ? "true" : "false");
	pages_tell(&feed->pages, page, false, "hello", &sb);
	strbuf_free(&sb);
}

/* Whoever has come, once there is something to tell. */
static void
tell_fresh(struct feed *feed, const struct status *status, const char *words)
{
	struct page *page;

	TAILQ_FOREACH(page, &feed->pages.list, entry) {
		if (!page->fresh)
			continue;
		tell_hello(feed, page);
		if (status != NULL)
			tell_rows(feed, page, status, &feed->rows, NULL);
		else
			tell_lost(feed, page, words);
		tell_ring(&feed->events, page);
		if (page->logs)
			tell_ring(&feed->lines, page);
		page->fresh = false;
	}
}

static int64_t
gap_of(int64_t cost_ns, int costs, int64_t min)
{
	int64_t ms = cost_ns / 1000000 * costs + cost_ns % 1000000 * costs /
	    1000000;

	return ms < min ? min : ms > GAP_MAX_MS ? GAP_MAX_MS : ms;
}

static void
set_tick(struct feed *feed)
{
	struct mono due = mono_add_ms(feed->sampled, feed->gap_ms);
	struct mono beat = mono_add_ms(mono_now(), BEAT_MS);

	loop_timer_set(feed->loop, &feed->tick, mono_before(due, beat) ? due :
	    beat);
}

static void
on_sample(void *ctx, const struct status *status, const char *words)
{
	struct feed *feed = ctx;
	struct web_rows rows;

	if (feed->pages.n == 0)
		return;
	feed->sampled = mono_now();
	feed->gap_ms = gap_of(feed->sampler->cost_ns, GAP_COSTS, GAP_MIN_MS);
	/* What was gathered is kept, too: whoever is new would get it twice. */
	flush(&feed->events);
	flush(&feed->lines);
	if (status != NULL && web_rows_build(status, wall_ms(), &rows) < 0) {
		status = NULL;
		words = "out of memory";
	}
	if (status == NULL) {
		feed->gap_ms = GAP_MIN_MS;
		feed->lost = true;
		tell_lost(feed, NULL, words);
	} else {
		tell_rows(feed, NULL, status, &rows, feed->told && !feed->lost ?
		    &feed->rows : NULL);
		web_rows_free(&feed->rows);
		feed->rows = rows;
		feed->told = true;
		feed->lost = false;
	}
	tell_fresh(feed, status, words);
	set_tick(feed);
}

static void
sample(struct feed *feed, int fresh)
{
	if (!feed->wait.busy)
		sampler_want(feed->sampler, fresh, &feed->wait, on_sample,
		    feed);
}

static void
on_tick(void *ctx)
{
	struct feed *feed = ctx;
	struct strbuf sb = STRBUF_INIT;

	set_tick(feed);
	if (mono_ms_between(feed->sampled, mono_now()) >= feed->gap_ms) {
		sample(feed, 1);
		return;
	}
	strbuf_puts(&sb, "{}");
	pages_tell(&feed->pages, NULL, false, "beat", &sb);
	strbuf_free(&sb);
}

/* Something has happened: the next sample comes earlier. */
static void
expect_news(struct feed *feed)
{
	struct mono due = mono_add_ms(feed->sampled,
	    gap_of(feed->sampler->cost_ns, NEWS_COSTS, NEWS_MIN_MS));

	feed->gap_ms = mono_ms_between(feed->sampled, due);
	if (mono_before(due, feed->tick.due))
		loop_timer_set(feed->loop, &feed->tick, due);
}

/* ---- streams ---- */

static bool
is_wanted(const struct feed_tap *tap)
{
	return (tap->logs ? tap->feed->pages.n_logs : tap->feed->pages.n) > 0;
}

static void
open_tap(void *ctx)
{
	struct feed_tap *tap = ctx;
	const struct request request = {
		.verb = tap->logs ? REQUEST_FOLLOW : REQUEST_WATCH,
		.instance = -1,
	};

	if (!is_wanted(tap) || stream_is_open(&tap->stream))
		return;
	tap->replaying = tap->ring.n > 0;
	tap->n_replayed = 0;
	if (stream_open(&tap->stream, &request, NULL) < 0)
		loop_timer_start(tap->feed->loop, &tap->again, AGAIN_MAX_MS);
}

static void
close_tap(struct feed_tap *tap)
{
	struct loop *loop = tap->feed->loop;

	stream_close(&tap->stream);
	loop_timer_set(loop, &tap->flush, MONO_NEVER);
	loop_timer_set(loop, &tap->again, MONO_NEVER);
	strbuf_free(&tap->fresh);
	ring_free(&tap->ring);
	tap->lost = 0;
	tap->gap_ms = AGAIN_MIN_MS;
}

/* Of clusterd, or of its supervisor; another one may be there in a moment. */
static void
on_end(void *ctx, int code, const char *words)
{
	struct feed_tap *tap = ctx;

	(void)code;
	(void)words;
	loop_timer_start(tap->feed->loop, &tap->again, tap->gap_ms);
	tap->gap_ms = tap->gap_ms * 2 > AGAIN_MAX_MS ? AGAIN_MAX_MS :
	    tap->gap_ms * 2;
	if (!tap->logs)
		expect_news(tap->feed);
}

static void
on_event_line(void *ctx, const struct answer_line *line)
{
	struct feed_tap *tap = ctx;

	on_line(tap, line);
	expect_news(tap->feed);
}

static const struct stream_events event_stream = {
	.line = on_event_line, .end = on_end,
};
static const struct stream_events line_stream = {
	.line = on_line, .end = on_end,
};

static void
let_go(struct feed *feed)
{
	sampler_forget(feed->sampler, &feed->wait);
	loop_timer_set(feed->loop, &feed->tick, MONO_NEVER);
	close_tap(&feed->events);
	close_tap(&feed->lines);
	web_rows_free(&feed->rows);
	feed->told = feed->lost = false;
}

static void
on_pages(void *ctx)
{
	struct feed *feed = ctx;

	if (feed->pages.n == 0) {
		let_go(feed);
		return;
	}
	open_tap(&feed->events);
	if (feed->pages.n_logs > 0)
		open_tap(&feed->lines);
	else
		close_tap(&feed->lines);
	sample(feed, 20);
}

/* ---- begin and end ---- */

static int
init_tap(struct feed *feed, struct feed_tap *tap, struct asker *asker,
    bool logs)
{
	*tap = (struct feed_tap){
		.feed = feed, .logs = logs,
		.name = logs ? "output" : "events",
		.ring.max = logs ? FEED_LINES : FEED_EVENTS,
		.gap_ms = AGAIN_MIN_MS,
	};
	stream_init(&tap->stream, asker, logs ? &line_stream : &event_stream,
	    tap);
	if (loop_timer_init(feed->loop, &tap->flush, flush, tap) < 0)
		return -1;
	return loop_timer_init(feed->loop, &tap->again, open_tap, tap);
}

int
feed_init(struct feed *feed, struct loop *loop, struct asker *asker,
    struct sampler *sampler, bool actions)
{
	int code;

	*feed = (struct feed){
		.loop = loop, .sampler = sampler, .actions = actions,
		.gap_ms = GAP_MIN_MS,
	};
	pages_init(&feed->pages, on_pages, feed);
	code = loop_timer_init(loop, &feed->tick, on_tick, feed);
	if (code == 0)
		code = init_tap(feed, &feed->events, asker, false);
	if (code == 0)
		code = init_tap(feed, &feed->lines, asker, true);
	return code;
}

void
feed_fini(struct feed *feed)
{
	if (feed->loop == NULL)
		return;
	let_go(feed);
	loop_timer_fini(feed->loop, &feed->tick);
	loop_timer_fini(feed->loop, &feed->events.flush);
	loop_timer_fini(feed->loop, &feed->events.again);
	loop_timer_fini(feed->loop, &feed->lines.flush);
	loop_timer_fini(feed->loop, &feed->lines.again);
}
