#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_health.h"
#include "daemon/apps/seats.h"
#include "daemon/health/health.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

static void
due(void *ctx)
{
	app_touch(ctx);
}

int
app_health_init(struct app *app)
{
	return loop_timer_init(app->apps->workers->loop, &app->ward_timer, due,
	    app);
}

void
app_health_fini(struct app *app)
{
	loop_timer_fini(app->apps->workers->loop, &app->ward_timer);
}

static struct health_terms
terms_of(const struct app *app)
{
	const struct conf_app *conf = app->crew.stable->conf;

	return (struct health_terms){
		.delay_ms = conf->restart_delay_ms,
		.delay_max_ms = conf->restart_delay_max_ms,
		.patience_ms = conf->health_interval_ms *
		    conf->health_failures,
		.never = conf->restart == CONF_RESTART_NEVER,
	};
}

/* *ret_worst: of the condemned the one that has failed most often; -1: none. */
static struct health_view
look(const struct app *app, int *ret_worst)
{
	struct health_view v = { .busy = app->crew.target != NULL };
	unsigned most = 0;

	*ret_worst = -1;
	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct worker *w = app->seats[i].present;
		const struct health *h = w != NULL ? health_of(w) : NULL;

		if (w == NULL || !worker_ready(w))
			continue;
		v.ready++;
		v.unwell += h->unwell;
		v.condemned += h->condemned;
		if (h->condemned && h->failures > most) {
			most = h->failures;
			*ret_worst = (int)i;
		}
	}
	return v;
}

static void
tell_all(const struct app *app, int worst)
{
	log_app(LOG_LEVEL_WARNING, app->crew.name, "no instance is healthy "
	    "(instance %d: %s): they stay, since what all of them need may be "
	    "the reason; replacements are tried one at a time", worst,
	    health_words(app->seats[worst].present));
}

int
app_health_choose(struct app *app)
{
	const struct health_terms terms = terms_of(app);
	bool tell = false;
	int worst;
	struct health_view view;
	enum health_deed deed;

	if (app->over || app->apps->stopping ||
	    app->crew.stable->conf->health == CONF_HEALTH_NONE)
		return -1;
	view = look(app, &worst);
	deed = health_decide(&app->ward, &view, &terms, mono_now(), &tell);
	if (tell)
		tell_all(app, worst);
	loop_timer_set(app->apps->workers->loop, &app->ward_timer,
	    deed == HEALTH_LATER ? app->ward.next : MONO_NEVER);
	return deed == HEALTH_REPLACE ? worst : -1;
}

void
app_health_begin(struct app *app, unsigned i)
{
	struct worker *w = app->seats[i].present;
	char words[VERDICT_WORDS_MAX + 96];

	snprintf(words, sizeof(words), "unhealthy: %s", health_words(w));
	str_keep(&w->recycled, words);
	worker_log(LOG_LEVEL_WARNING, w, "%s: it is replaced", words);
	app->recycling = true;
	app->recycled = i;
}

/* The words are those of the worker that goes, whose place another one has. */
static const struct worker *
find_recycled(const struct app *app)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->instance == app->recycled && w->recycled != NULL)
			return w;
	return NULL;
}

void
app_health_taken(struct app *app)
{
	const struct health_terms terms = terms_of(app);
	const struct worker *old;

	if (!app->recycling)
		return;
	app->recycling = false;
	/* Scaled away meanwhile. */
	if (app->recycled >= app->n_seats)
		return;
	old = find_recycled(app);
	seats_note_recycled(app, app->recycled, RECYCLE_UNHEALTHY,
	    old != NULL ? old->recycled : "unhealthy");
	health_replaced(&app->ward, true, &terms, mono_now());
}

/* Who stays, be it for a while, has not gone for that. */
static void
end_recycling(struct app *app)
{
	struct worker *w = app->recycled < app->n_seats ?
	    app->seats[app->recycled].present : NULL;

	app->recycling = false;
	if (w == NULL)
		return;
	free(w->recycled);
	w->recycled = NULL;
}

void
app_health_failed(struct app *app)
{
	const struct health_terms terms = terms_of(app);

	if (!app->recycling)
		return;
	end_recycling(app);
	health_replaced(&app->ward, false, &terms, mono_now());
}

void
app_health_superseded(struct app *app)
{
	if (app->recycling)
		end_recycling(app);
}
