#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "core/control/answer.h"
#include "core/worker/worker_fsm.h"
#include "core/worker/worker_words.h"
#include "daemon/apps/app.h"
#include "daemon/config/reload_apply.h"
#include "daemon/control/control_events.h"
#include "daemon/on_event/on_event.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

/* Of words: with every byte of them escaped, a line of the ring holds them. */
#define WORDS_MAX 4000

void
control_events_init(struct control_events *ev)
{
	*ev = (struct control_events){
		.ring = { .id = 1, .most = CONTROL_EVENTS_MAX },
	};
}

void
control_events_free(struct control_events *ev)
{
	ring_free(&ev->ring);
	free(ev->first_error);
	ev->first_error = NULL;
}

bool
control_events_news(struct control_events *ev)
{
	bool news = ev->news;

	ev->news = false;
	return news;
}

/* ---- a record ---- */

/* The app comes first, and then the instance: control_watch looks for them. */
static void
begin(struct strbuf *sb, const char *app)
{
	answer_begin(sb, ANSWER_RECORD, "event");
	if (app != NULL)
		answer_put(sb, "app", app);
}

static void
put_kind(struct strbuf *sb, enum event_kind kind)
{
	struct timespec now = { 0 };

	(void)clock_gettime(CLOCK_REALTIME, &now);
	answer_put(sb, "event", event_kind_name(kind));
	answer_put_number(sb, "time_ms", (uint64_t)now.tv_sec * 1000 +
	    (uint64_t)now.tv_nsec / 1000000);
}

static void
put_words(struct strbuf *sb, const char *words)
{
	size_t len = words != NULL ? strnlen(words, WORDS_MAX + 1) : 0;

	if (len > WORDS_MAX) {
		len = WORDS_MAX;
		while (len > 0 && ((unsigned char)words[len] & 0xc0) == 0x80)
			len--;
	}
	if (len > 0)
		answer_put_bytes(sb, "text", words, len);
}

static void
end(struct control_events *ev, enum event_kind kind, struct strbuf *sb)
{
	static const struct ring_source source = { .stream = 1 };

	answer_end(sb);
	if (!sb->failed)
		ring_add(&ev->ring, &source, sb->text, sb->len, &ev->seq);
	if (!sb->failed && ev->on_event != NULL)
		on_event_add(ev->on_event, kind, sb->text, sb->len);
	strbuf_free(sb);
	ev->news = true;
}

/* ---- of workers ---- */

static void
begin_worker(struct strbuf *sb, const struct worker *w, enum event_kind kind)
{
	begin(sb, w->crew->name);
	answer_put_number(sb, "instance", w->instance);
	put_kind(sb, kind);
	if (w->pid != 0)
		answer_put_number(sb, "pid", (uint64_t)w->pid);
	answer_put_number(sb, "generation", w->spec->generation);
}

/* False: what it does is no event. */
static bool
kind_of_step(const struct worker_step *step, enum event_kind *ret_kind)
{
	if (step->from == step->to)
		return false;
	switch (step->to) {
	case WORKER_STARTING: *ret_kind = EVENT_START; return true;
	case WORKER_READY: *ret_kind = EVENT_READY; return true;
	case WORKER_DRAINING: *ret_kind = EVENT_DRAIN; return true;
	case WORKER_STOPPING: *ret_kind = EVENT_STOP; return true;
	case WORKER_KILLED: *ret_kind = EVENT_KILL; return true;
	case WORKER_PARKED: *ret_kind = EVENT_PARKED; return true;
	default: return false;
	}
}

void
control_events_stepped(struct control_events *ev, const struct worker *w,
    const struct worker_step *step)
{
	struct strbuf sb = STRBUF_INIT;
	enum event_kind kind;

	if (!kind_of_step(step, &kind))
		return;
	begin_worker(&sb, w, kind);
	if (kind == EVENT_READY && w->ready_ms >= 0)
		answer_put_number(&sb, "ready_ms", (uint64_t)w->ready_ms);
	if (step->why != WORKER_WHY_NOTHING)
		put_words(&sb, worker_reason_text(step->why));
	end(ev, kind, &sb);
}

void
control_events_died(struct control_events *ev, const struct worker *w,
    const struct worker_step *step, const char *words)
{
	enum event_kind kind = step->why == WORKER_WHY_ASKED ? EVENT_END :
	    EVENT_DEATH;
	struct strbuf sb = STRBUF_INIT;

	begin_worker(&sb, w, kind);
	answer_put(&sb, "next", worker_state_name(step->to));
	if (step->why == WORKER_WHY_AGAIN)
		answer_put_number(&sb, "restart_in_ms",
		    (uint64_t)step->delay_ms);
	put_words(&sb, words);
	end(ev, kind, &sb);
}

void
control_events_health(struct control_events *ev, const struct worker *w,
    bool unwell, const char *words)
{
	enum event_kind kind = unwell ? EVENT_UNHEALTHY : EVENT_HEALTHY;
	struct strbuf sb = STRBUF_INIT;

	begin_worker(&sb, w, kind);
	put_words(&sb, words);
	end(ev, kind, &sb);
}

/* ---- of apps, and of all ---- */

void
control_events_app(struct control_events *ev, const struct app *app,
    enum event_kind kind, const char *words)
{
	const struct app_spec *spec = app_latest(app);
	struct strbuf sb = STRBUF_INIT;

	begin(&sb, app->crew.name);
	put_kind(&sb, kind);
	if (spec != NULL)
		answer_put_number(&sb, "generation", spec->generation);
	answer_put_number(&sb, "wanted", app->crew.wanted);
	put_words(&sb, words);
	end(ev, kind, &sb);
}

void
control_events_error(struct control_events *ev, const char *words)
{
	if (ev->first_error == NULL)
		ev->first_error = strdup(words);
}

void
control_events_refused(struct control_events *ev, const char *app,
    const char *words)
{
	struct strbuf sb = STRBUF_INIT, whole = STRBUF_INIT;

	strbuf_puts(&whole, words);
	if (app == NULL && ev->first_error != NULL)
		strbuf_printf(&whole, ": %s", ev->first_error);
	free(ev->first_error);
	ev->first_error = NULL;
	begin(&sb, app);
	put_kind(&sb, EVENT_REFUSED);
	put_words(&sb, whole.failed ? words : whole.text);
	end(ev, EVENT_REFUSED, &sb);
	strbuf_free(&whole);
}

void
control_events_applied(struct control_events *ev,
    const struct reload_result *r)
{
	struct strbuf sb = STRBUF_INIT;

	free(ev->first_error);
	ev->first_error = NULL;
	begin(&sb, NULL);
	put_kind(&sb, EVENT_APPLIED);
	answer_put_number(&sb, "reloaded", r->rolled);
	answer_put_number(&sb, "renewed", r->renewed);
	answer_put_number(&sb, "scaled", r->scaled);
	answer_put_number(&sb, "added", r->added);
	answer_put_number(&sb, "removed", r->removed);
	end(ev, EVENT_APPLIED, &sb);
}
