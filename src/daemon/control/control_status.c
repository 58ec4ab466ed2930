#include <stdio.h>
#include <string.h>

#include "core/names/address.h"
#include "core/sockets/balance.h"
#include "core/conf/conf.h"
#include "core/worker/restart.h"
#include "daemon/apps/app.h"
#include "daemon/spec/app_spec.h"
#include "daemon/config/conf_load.h"
#include "daemon/control/control.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listener.h"
#include "daemon/apps/stopped.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/workers/worker.h"
#include "linux/process/usage.h"

/* Who asks again sooner gets the same figures. */
#define USAGE_AGE_MS 50

/* ---- the supervisor ---- */

static const char *
supervisor_state(const struct control *control)
{
	if (control->apps->stopping)
		return "stopping";
	if (control->starting)
		return "starting";
	return control->reloads->reloading ? "reloading" : "running";
}

static void
put_supervisor(struct strbuf *sb, const struct control *control)
{
	struct usage usage = usage_of_self();

	control_begin(sb, CONTROL_RECORD, "clusterd");
	control_put_number(sb, "pid", (uint64_t)control->pid);
	control_put(sb, "version", CLUSTERD_VERSION);
	if (control->reloads->origin->path != NULL)
		control_put(sb, "config", control->reloads->origin->path);
	control_put(sb, "state", supervisor_state(control));
	control_put_number(sb, "uptime_ms",
	    (uint64_t)mono_ms_between(control->started, mono_now()));
	control_put_number(sb, "cpu_ns", usage.cpu_ns);
	control_put_number(sb, "memory_bytes", usage.memory_bytes);
	control_put_number(sb, "reloads_refused", control->reloads->refused);
	control_end(sb);
}

/* ---- an app and its listeners ---- */

static const char *
app_state(const struct app *app)
{
	if (app->crew.stopping)
		return "stopping";
	if (app->crew.target != NULL)
		return "reloading";
	if (app->over)
		return app->failed ? "failed" : "ended";
	return "running";
}

/* Seats that have the target already. */
static unsigned
count_moved(const struct app *app)
{
	unsigned n = 0;

	for (unsigned i = 0; i < app->n_seats; i++)
		if (app->seats[i].present != NULL &&
		    app->seats[i].present->spec == app->crew.target &&
		    !app->seats[i].present->outdated)
			n++;
	return n;
}

void
control_put_app(struct strbuf *sb, const struct app *app)
{
	control_put(sb, "state", app_state(app));
	control_put_number(sb, "generation", app->crew.stable->generation);
	control_put_number(sb, "wanted", app->crew.wanted);
	control_put_number(sb, "ready", app_ready_count(app));
	if (app->crew.target == NULL)
		return;
	control_put_number(sb, "target", app->crew.target->generation);
	control_put_number(sb, "moved", count_moved(app));
}

static void
put_output(struct strbuf *sb, const struct conf_app *conf)
{
	control_put(sb, "stdout", conf_output_text(&conf->out));
	control_put(sb, "stderr", conf_output_text(&conf->err));
}

static void
put_app(struct strbuf *sb, const struct app *app)
{
	control_begin(sb, CONTROL_RECORD, "app");
	control_put(sb, "name", app->crew.name);
	control_put_app(sb, app);
	control_put_number(sb, "reloads_ok", app->reloads_ok);
	control_put_number(sb, "reloads_aborted", app->reloads_aborted);
	if (app->reload_error != NULL)
		control_put(sb, "reload_error", app->reload_error);
	put_output(sb, app->crew.stable->conf);
	control_end(sb);
}

static void
put_stopped(struct strbuf *sb, const struct stopped_app *s)
{
	control_begin(sb, CONTROL_RECORD, "app");
	control_put(sb, "name", s->conf->name);
	control_put(sb, "state", "stopped");
	control_put_number(sb, "wanted", 0);
	control_put_number(sb, "ready", 0);
	put_output(sb, s->conf);
	control_end(sb);
}

/* As ss(8) shows it, for a bare port is not seen to be an address. */
static void
put_address(struct strbuf *sb, const struct address *a)
{
	char any[16];

	if (a->kind != ADDRESS_UNIX && a->host == ADDRESS_HOST_ANY) {
		snprintf(any, sizeof(any), "%s*:%u",
		    a->kind == ADDRESS_UDP ? "udp:" : "", a->port);
		control_put(sb, "address", any);
	} else {
		control_put(sb, "address", address_text(a).s);
	}
}

static void
put_listener(struct strbuf *sb, const struct app *app,
    const struct listener *l)
{
	const char *balance = balance_name(l->lanes.balance);
	uint64_t waiting = 0, backlog = 0, dropped;
	bool queued = true;
	size_t open = 0;

	for (size_t i = 0; i < l->lanes.n; i++) {
		const struct lane *lane = l->lanes.v[i];
		struct lane_figures figures;

		if (!lane->listening || lane->fd < 0)
			continue;
		lanes_figures(lane, &figures);
		queued = queued && figures.queued;
		waiting += figures.waiting;
		/* Free ones are kept open, and get nobody. */
		if (!lane->live && lane_is_free(lane))
			continue;
		open++;
		backlog += figures.backlog;
	}
	control_begin(sb, CONTROL_RECORD, "listener");
	control_put(sb, "app", app->crew.name);
	put_address(sb, &l->bound);
	control_put(sb, "balance", balance);
	control_put_number(sb, "lanes", open);
	if (queued) {
		control_put_number(sb, "waiting", waiting);
		control_put_number(sb, "backlog", backlog);
	}
	if (lanes_figures_dropped(l, &dropped))
		control_put_number(sb, "dropped", dropped);
	control_put(sb, "state", l->door_closed ? "closing" : "open");
	control_end(sb);
}

/* Those of what is in force, of what is tried, and of who still retires. */
static bool
has_listener(const struct app *app, const struct listener *l)
{
	if (app_spec_has(app->crew.stable, l) ||
	    app_spec_has(app->crew.target, l))
		return true;
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (app_spec_has(w->spec, l))
			return true;
	return false;
}

/* In the order of the configuration; then the others. */
static void
put_listeners(struct strbuf *sb, const struct app *app)
{
	const struct app_spec *spec = app->crew.stable;
	size_t n = spec->conf->n_listens;

	for (size_t i = 0; i < n; i++)
		if (spec->listeners[i] != NULL &&
		    listener_is_open(spec->listeners[i]))
			put_listener(sb, app, spec->listeners[i]);
	for (const struct listener *l = app->apps->listeners->first; l != NULL;
	    l = l->next) {
		bool told = !listener_is_open(l) || !has_listener(app, l);

		for (size_t i = 0; i < n && !told; i++)
			told = spec->listeners[i] == l;
		if (!told)
			put_listener(sb, app, l);
	}
}

/* ---- workers ---- */

/* "seat", "next" or "retiring". */
static const char *
role_of(const struct worker *w)
{
	const struct app *app = app_of(w->crew);

	if (!w->seated)
		return "retiring";
	return w->instance < app->n_seats &&
	    app->seats[w->instance].next == w ? "next" : "seat";
}

/* As users are told: that a program is not executed yet is a detail. */
static const char *
worker_state(const struct worker *w)
{
	switch (w->fsm.state) {
	case WORKER_IDLE:
	case WORKER_EXECING:
		return worker_state_name(WORKER_STARTING);
	default:
		return worker_state_name(w->fsm.state);
	}
}

void
control_put_worker(struct strbuf *sb, const struct worker *w)
{
	control_put(sb, "app", w->crew->name);
	control_put_number(sb, "instance", w->instance);
	control_put(sb, "role", role_of(w));
	if (w->pid != 0)
		control_put_number(sb, "pid", (uint64_t)w->pid);
	control_put(sb, "state", worker_state(w));
	control_put_number(sb, "generation", w->spec->generation);
}

static void
put_usage(struct strbuf *sb, struct worker *w, struct mono now)
{
	struct usage usage;

	if (w->pid == 0 || w->lingering)
		return;
	if (w->usage_serial != w->serial ||
	    mono_ms_between(w->usage_at, now) >= USAGE_AGE_MS) {
		if (!usage_of_tree(w->pid, &usage))
			return;
		w->usage_serial = w->serial;
		w->usage_at = now;
		w->usage = usage;
	}
	control_put_number(sb, "cpu_ns", w->usage.cpu_ns);
	control_put_number(sb, "memory_bytes", w->usage.memory_bytes);
}

static void
put_lanes(struct strbuf *sb, const struct worker *w)
{
	struct lane_figures sum = { .queued = true, .counted = true };
	bool any = false;

	for (const struct listener *l = app_of(w->crew)->apps->listeners->first;
	    l != NULL; l = l->next) {
		const struct lane *lane = lanes_find(l, &w->holder);
		struct lane_figures figures;

		if (lane == NULL || lane->fd < 0)
			continue;
		any = true;
		lanes_figures(lane, &figures);
		sum.queued = sum.queued && figures.queued;
		sum.waiting += figures.waiting;
		sum.open += figures.open;
		sum.total += figures.total;
		sum.counted = sum.counted && figures.counted;
	}
	if (!any)
		return;
	if (sum.queued)
		control_put_number(sb, "waiting", sum.waiting);
	if (!sum.counted)
		return;
	control_put_number(sb, "connections", sum.open);
	control_put_number(sb, "connections_total", sum.total);
}

static void
put_history(struct strbuf *sb, const struct seat *seat, struct mono now)
{
	for (int i = 0; i < RESTART_CAUSES; i++) {
		char key[32];

		snprintf(key, sizeof(key), "restarts_%s",
		    restart_cause_name((enum restart_cause)i));
		control_put_number(sb, key, seat->restarts[i]);
	}
	if (seat->death == NULL)
		return;
	control_put(sb, "death", seat->death);
	control_put_number(sb, "death_ago_ms",
	    (uint64_t)mono_ms_between(seat->died, now));
}

static void
put_worker(struct strbuf *sb, struct worker *w)
{
	const struct app *app = app_of(w->crew);
	struct mono now = mono_now();

	control_begin(sb, CONTROL_RECORD, "instance");
	control_put_worker(sb, w);
	if (w->pid != 0)
		control_put_number(sb, "uptime_ms",
		    (uint64_t)mono_ms_between(w->fsm.executed, now));
	if (w->ready_ms >= 0)
		control_put_number(sb, "ready_ms", (uint64_t)w->ready_ms);
	if (w->fsm.state == WORKER_BACKOFF)
		control_put_number(sb, "restart_in_ms", (uint64_t)(
		    mono_before(now, w->fsm.deadline) ?
		    mono_ms_between(now, w->fsm.deadline) : 0));
	put_usage(sb, w, now);
	put_lanes(sb, w);
	if (w->seated && app->seats[w->instance].present == w)
		put_history(sb, &app->seats[w->instance], now);
	control_end(sb);
}

/* ---- in portions ---- */

/* The app with the lowest number from `from` on, or NULL. */
static struct app *
next_app(const struct control *control, uint64_t from)
{
	struct app *next = NULL;

	for (struct app *a = control->apps->first; a != NULL; a = a->next_app)
		if (a->number >= from &&
		    (next == NULL || a->number < next->number))
			next = a;
	return next;
}

static struct worker *
next_retiring(const struct app *app, uint64_t after)
{
	struct worker *next = NULL;

	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (!w->seated && w->number > after &&
		    (next == NULL || w->number < next->number))
			next = w;
	return next;
}

/* One step of the way; false: the end. */
static bool
step_retiring(struct strbuf *sb, struct control_cursor *at,
    const struct app *app)
{
	struct worker *w = next_retiring(app, at->worker);

	if (w != NULL) {
		put_worker(sb, w);
		at->worker = w->number;
		return true;
	}
	at->at = CONTROL_AT_APP;
	at->app = app->number + 1;
	return true;
}

static bool
step_stopped(struct control *control, struct strbuf *sb,
    struct control_cursor *at)
{
	const struct stopped_app *s = control->apps->stopped;

	for (unsigned i = 0; i < at->seat && s != NULL; i++)
		s = s->next;
	if (s == NULL)
		return false;
	/* Until its workers have finished, it is stopping. */
	if (!app_lingers(control->apps, s->conf->name))
		put_stopped(sb, s);
	at->seat++;
	return true;
}

static bool
step(struct control *control, struct strbuf *sb, struct control_cursor *at)
{
	struct app *app;

	if (at->at == CONTROL_AT_CLUSTERD) {
		put_supervisor(sb, control);
		at->at = CONTROL_AT_APP;
		return true;
	}
	if (at->at == CONTROL_AT_STOPPED)
		return step_stopped(control, sb, at);
	app = next_app(control, at->app);
	if (app == NULL) {
		*at = (struct control_cursor){ .at = CONTROL_AT_STOPPED };
		return true;
	}
	/* The one that it was at has gone: on with the next. */
	if (at->at == CONTROL_AT_APP || app->number != at->app) {
		put_app(sb, app);
		put_listeners(sb, app);
		*at = (struct control_cursor){
			.at = CONTROL_AT_SEATS, .app = app->number,
		};
		return true;
	}
	if (at->at == CONTROL_AT_RETIRING)
		return step_retiring(sb, at, app);
	if (at->seat < app->n_seats) {
		const struct seat *seat = &app->seats[at->seat++];

		if (seat->present != NULL)
			put_worker(sb, seat->present);
		if (seat->next != NULL)
			put_worker(sb, seat->next);
		return true;
	}
	at->at = CONTROL_AT_RETIRING;
	return true;
}

bool
control_status_more(struct control_client *c)
{
	if (step(c->control, &c->out, &c->op.cursor))
		return true;
	control_ok(c, NULL);
	return false;
}
