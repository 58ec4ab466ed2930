#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_recycle.h"
#include "daemon/apps/app_recycled.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/seats.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

static bool
is_asked(const struct app *app)
{
	return !app->crew.stopping && !app->over &&
	    recycle_is_asked(app->crew.stable->conf);
}

/* ---- what is known of a worker ---- */

/* False: they are not counted. */
static bool
connections_so_far(const struct app *app, const struct worker *w,
    uint64_t *ret_n)
{
	struct lane_figures f;

	if (!lanes_figures_of(app->apps->house.listeners, &w->holder, &f) ||
	    !f.counted)
		return false;
	*ret_n = f.total;
	return true;
}

/* A lane stays where the process that has it is another. */
static void
count_from_here(struct app *app)
{
	if (app->crew.stable->conf->max_connections < 0)
		return;
	for (unsigned i = 0; i < app->n_seats; i++) {
		struct worker *w = app->seats[i].present;

		if (w != NULL && w->pid != 0 && w->recycle_serial != w->serial &&
		    connections_so_far(app, w, &w->connections_before))
			w->recycle_serial = w->serial;
	}
}

static int64_t
connections_of(struct app *app, struct worker *w)
{
	uint64_t n;

	if (!connections_so_far(app, w, &n)) {
		if (!app->uncounted)
			log_app(LOG_LEVEL_WARNING, app->crew.name,
			    "max_connections has no effect: connections are "
			    "counted only where eBPF spreads them");
		app->uncounted = true;
		return -1;
	}
	if (w->recycle_serial != w->serial || n < w->connections_before) {
		w->recycle_serial = w->serial;
		w->connections_before = n;
	}
	return (int64_t)(n - w->connections_before);
}

static struct recycle_facts
facts_of(struct app *app, struct worker *w, struct mono now)
{
	const struct conf_app *conf = app->crew.stable->conf;
	struct recycle_facts facts = {
		.serial = w->serial, .memory = -1, .connections = -1,
		.age_ms = mono_ms_between(w->fsm.executed, now),
	};

	if (conf->max_memory >= 0 && worker_usage_known(w))
		facts.memory = (int64_t)w->usage.memory_bytes;
	if (conf->max_connections >= 0)
		facts.connections = connections_of(app, w);
	return facts;
}

/* ---- what is done ---- */

static void
replace(struct app *app, struct worker *w, enum recycle_cause cause,
    const struct recycle_facts *facts)
{
	struct strbuf words = STRBUF_INIT;
	struct error err = ERROR_INIT;

	recycle_put_words(&words, app->crew.stable->conf, cause, facts);
	worker_log(LOG_LEVEL_INFO, w, "%s", words.failed ? "is due" :
	    words.text);
	if (app_restart(app, (int)w->instance, &err) == 0)
		app_recycled_begin(app, w->instance, cause, &words,
		    facts->age_ms < RECYCLE_YOUNG_MS);
	strbuf_free(&words);
	error_clear(&err);
}

/* False: it is to be looked at again. */
static bool
look(struct app *app, unsigned seat, struct mono now)
{
	struct worker *w = app->seats[seat].present;
	struct recycle_facts facts;
	enum recycle_cause cause;

	if (w == NULL || !worker_ready(w))
		return true;
	if (app->crew.stable->conf->max_memory >= 0 &&
	    worker_usage(w, now) == -EAGAIN)
		return false;
	facts = facts_of(app, w, now);
	cause = recycle_why(app->crew.stable->conf, &facts);
	/* The others of it have their turn in a round to come. */
	if (cause != RECYCLE_CAUSES && app->crew.target == NULL &&
	    recycle_may(&app->pace, now))
		replace(app, w, cause, &facts);
	return true;
}

/* ---- rounds ---- */

static struct app *
app_at(struct apps *apps)
{
	struct app *a = apps->first;

	while (a != NULL && a->crew.number < apps->recycle_app)
		a = a->next_app;
	if (a != NULL && a->crew.number != apps->recycle_app)
		apps->recycle_seat = 0;
	return a;
}

static bool
any_asks(const struct apps *apps)
{
	for (const struct app *a = apps->first; a != NULL; a = a->next_app)
		if (is_asked(a))
			return true;
	return false;
}

/* Some more of the round, as far as this turn has time. False: it is over. */
static bool
go_on(struct apps *apps, struct mono now)
{
	struct app *a = app_at(apps);

	while (a != NULL) {
		if (!is_asked(a) || apps->recycle_seat >= a->n_seats) {
			a = a->next_app;
			apps->recycle_seat = 0;
			continue;
		}
		apps->recycle_app = a->crew.number;
		if (!apps_have_looks(apps))
			return true;
		if (look(a, apps->recycle_seat, now))
			apps->recycle_seat++;
	}
	return false;
}

static void
recycle_due(void *ctx)
{
	struct apps *apps = ctx;
	struct mono now = mono_now();

	if (apps->stopping)
		return;
	if (apps->recycle_app == 0 && apps->recycle_seat == 0)
		apps->recycle_began = now;
	if (go_on(apps, now)) {
		apps_look_later(apps, &apps->recycle);
		return;
	}
	apps->recycle_app = apps->recycle_seat = 0;
	if (any_asks(apps))
		loop_timer_set(apps->workers->loop, &apps->recycle,
		    mono_add_ms(apps->recycle_began, RECYCLE_LOOK_MS));
}

int
app_recycle_init(struct apps *apps)
{
	return loop_timer_init(apps->workers->loop, &apps->recycle,
	    recycle_due, apps);
}

void
app_recycle_fini(struct apps *apps)
{
	loop_timer_fini(apps->workers->loop, &apps->recycle);
}

void
app_recycle_turn(struct app *app)
{
	struct apps *apps = app->apps;

	count_from_here(app);
	if (is_asked(app) && mono_is_never(apps->recycle.due))
		loop_timer_start(apps->workers->loop, &apps->recycle,
		    RECYCLE_LOOK_MS);
}
