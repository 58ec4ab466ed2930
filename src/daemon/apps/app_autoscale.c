#include <errno.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/autoscale.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_autoscale.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/seats.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

static bool
is_asked(const struct app *app)
{
	const struct app_spec *spec = app->crew.stable;

	return !app->crew.stopping && !app->apps->stopping && !app->over &&
	    spec->most > spec->instances;
}

/* ---- what is seen ---- */

/* What it has used since the last look, per time; another process has used
   nothing yet. False: it is not over. */
static bool
measure(struct worker *w, struct mono now)
{
	struct load *load = &w->load;
	int code = worker_usage(w, now);
	uint64_t ns, used;

	if (code < 0) {
		load->known = load->known && code == -EAGAIN;
		return code != -EAGAIN;
	}
	if (load->serial == w->serial && load->at.ns == w->usage_at.ns)
		return true;
	load->known = load->serial == w->serial;
	if (load->known) {
		ns = (uint64_t)(w->usage_at.ns - load->at.ns);
		/* What a child has used goes with it if nobody reaps it. */
		used = w->usage.cpu_ns > load->cpu_ns ?
		    w->usage.cpu_ns - load->cpu_ns : 0;
		load->permille = used / (ns / 1000 + 1);
	}
	load->serial = w->serial;
	load->at = w->usage_at;
	load->cpu_ns = w->usage.cpu_ns;
	return true;
}

/* Who does not answer is no load, and no help: it is health's. False: it is to be
   looked at again. */
static bool
look(struct app *app, struct worker *w, struct mono now)
{
	struct lane_figures f = { .waiting = 0 };

	if (worker_ready(w) && !w->unwell)
		(void)lanes_figures_of(app->apps->house.listeners, &w->holder,
		    &f);
	autoscale_queue_note(&w->load.queue, f.waiting, now);
	w->load.spare = f.counted && f.open == 0 && f.waiting == 0;
	return !worker_ready(w) || measure(w, now);
}

/* In the lanes that all of its workers share. */
static void
look_at_common(struct app *app, struct mono now)
{
	uint32_t sum = 0;

	for (const struct listener *l = app->apps->house.listeners->first;
	    l != NULL; l = l->next) {
		struct lane_figures f;

		if (l->lanes.common == NULL || l->lanes.common->fd < 0 ||
		    !app_spec_has(app->crew.stable, l))
			continue;
		lanes_figures(l->lanes.common, &f);
		sum += f.waiting;
	}
	autoscale_queue_note(&app->common_queue, sum, now);
}

static bool
is_settled(const struct app *app)
{
	return app->crew.target == NULL && !app->waits &&
	    app->n_seats == app->crew.wanted;
}

static void
note_queue(struct autoscale_sample *sample, const struct autoscale_queue *q)
{
	if (q->waits && (!sample->queue.waits ||
	    mono_before(q->since, sample->queue.since)))
		sample->queue = *q;
}

static struct autoscale_sample
sum_up(const struct app *app)
{
	struct autoscale_sample sample = {
		.wanted = app->crew.wanted, .settled = is_settled(app),
		.queue = app->common_queue,
	};

	for (unsigned i = 0; sample.settled && i < app->n_seats; i++) {
		const struct worker *w = app->seats[i].present;

		if (w == NULL || !worker_ready(w)) {
			sample.starting = sample.starting || w == NULL ||
			    !worker_state_final(w->fsm.state);
			continue;
		}
		if (w->unwell)
			continue;
		note_queue(&sample, &w->load.queue);
		sample.spare = sample.spare || w->load.spare;
		sample.measured += w->load.known;
		sample.cpu += w->load.known ? w->load.permille : 0;
	}
	return sample;
}

/* ---- what is done ---- */

static struct autoscale_rules
rules_of(const struct app *app)
{
	const struct app_spec *spec = app->crew.stable;

	return (struct autoscale_rules){
		.least = spec->instances, .most = spec->most,
		.up_ms = spec->conf->scale_up_ms,
		.down_ms = spec->conf->scale_down_ms,
	};
}

/* Returns when to look again, in ms. */
static int64_t
decide(struct app *app, struct mono now)
{
	struct autoscale_rules rules = rules_of(app);
	struct autoscale_sample sample = sum_up(app);
	struct autoscale_decision d = autoscale_decide(&app->autoscale,
	    &rules, &sample, now);
	struct strbuf words = STRBUF_INIT;

	if (d.by != 0) {
		autoscale_put_words(&words, &d);
		app->autoscaled[d.why]++;
		app_scale(app, d.by, words.failed ?
		    autoscale_why_name(d.why) : words.text);
	}
	strbuf_free(&words);
	return d.next_ms;
}

/* Some more of the look at all, as far as this turn has time. False: it is over. */
static bool
go_on(struct app *app, struct mono now)
{
	while (app->autoscale_seat < app->n_seats) {
		struct worker *w = app->seats[app->autoscale_seat].present;

		if (!apps_have_looks(app->apps))
			return true;
		if (w == NULL || look(app, w, now))
			app->autoscale_seat++;
	}
	return false;
}

static void
look_due(void *ctx)
{
	struct app *app = ctx;
	struct mono now = mono_now();

	if (!is_asked(app))
		return;
	if (!apps_have_looks(app->apps)) {
		apps_look_later(app->apps, &app->autoscale_look);
		return;
	}
	/* What would be seen during a reload does not count. */
	if (app->autoscale_seat > 0 || is_settled(app)) {
		if (app->autoscale_seat == 0)
			look_at_common(app, now);
		if (go_on(app, now)) {
			apps_look_later(app->apps, &app->autoscale_look);
			return;
		}
		app->autoscale_seat = 0;
	}
	loop_timer_start(app->apps->workers->loop, &app->autoscale_look,
	    decide(app, now));
}

int
app_autoscale_init(struct app *app)
{
	return loop_timer_init(app->apps->workers->loop, &app->autoscale_look,
	    look_due, app);
}

void
app_autoscale_fini(struct app *app)
{
	loop_timer_fini(app->apps->workers->loop, &app->autoscale_look);
}

void
app_autoscale_turn(struct app *app)
{
	unsigned wanted = app->crew.wanted;
	unsigned to = app_spec_within(app->crew.stable, wanted);

	/* An aborted reload, or a supervisor before, may have left another. */
	if (!app->over && app->crew.target == NULL && wanted != to)
		app_scale(app, (int)to - (int)wanted, NULL);
	if (is_asked(app) && mono_is_never(app->autoscale_look.due))
		loop_timer_start(app->apps->workers->loop,
		    &app->autoscale_look, AUTOSCALE_LOOK_MS);
}
