#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/conf/conf.h"
#include "core/control/answer.h"
#include "core/names/address.h"
#include "core/sockets/balance.h"
#include "core/conf/conf_print.h"
#include "core/worker/restart.h"
#include "daemon/apps/app.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/config/conf_load.h"
#include "daemon/config/reload.h"
#include "daemon/health/health.h"
#include "daemon/on_event/on_event.h"
#include "daemon/control/control_client.h"
#include "daemon/control/control_record.h"
#include "daemon/control/control_setup.h"
#include "daemon/control/control_unknown.h"
#include "daemon/control/control_status.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/lanes_figures.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/usage.h"

/* ---- the program ---- */

static const char *
program_state(const struct control_setup *setup)
{
	if (setup->apps->stopping)
		return "stopping";
	if (setup->program->leaving)
		return "going down";
	if (setup->program->starting)
		return "starting";
	return setup->reloads->reloading ? "reloading" : "running";
}

static void
put_program(struct strbuf *sb, const struct control_setup *setup)
{
	const struct control_program *program = setup->program;
	const struct reloads *reloads = setup->reloads;
	struct usage usage = usage_of_self();

	answer_begin(sb, ANSWER_RECORD, "clusterd");
	answer_put_number(sb, "pid", (uint64_t)program->pid);
	answer_put(sb, "version", CLUSTERD_VERSION);
	if (reloads->origin->path != NULL)
		answer_put(sb, "config", reloads->origin->path);
	answer_put(sb, "state", program_state(setup));
	answer_put_number(sb, "uptime_ms",
	    (uint64_t)mono_ms_between(program->started, mono_now()));
	answer_put_number(sb, "cpu_ns", usage.cpu_ns + keeper_cpu_ns());
	answer_put_number(sb, "memory_bytes", usage.memory_bytes);
	answer_put_number(sb, "reloads_refused", reloads->refused);
	answer_put_number(sb, "supervisor_restarts", keeper_restarts());
	if (keeper_restarts() > 0)
		answer_put(sb, "supervisor_death", keeper_last_death());
	if (setup->on_event != NULL && reloads->config->on_event.n > 0) {
		answer_put_number(sb, "on_event_runs", setup->on_event->runs);
		answer_put_number(sb, "on_event_failures",
		    setup->on_event->failures);
		answer_put_number(sb, "on_event_dropped",
		    setup->on_event->dropped);
	}
	answer_end(sb);
}

/* ---- an app and its listeners ---- */

static void
put_output(struct strbuf *sb, const struct conf_app *conf)
{
	answer_put(sb, "stdout", conf_output_text(&conf->out));
	answer_put(sb, "stderr", conf_output_text(&conf->err));
}

static void
put_scalings(struct strbuf *sb, const struct app *app)
{
	for (int i = 0; i < AUTOSCALE_REASONS; i++) {
		char key[32];

		snprintf(key, sizeof(key), "scalings_%s",
		    autoscale_why_name((enum autoscale_why)i));
		answer_put_number(sb, key, app->autoscaled[i]);
	}
}

static void
put_app(struct strbuf *sb, const struct app *app)
{
	answer_begin(sb, ANSWER_RECORD, "app");
	answer_put(sb, "name", app->crew.name);
	control_record_app(sb, app);
	answer_put_number(sb, "reloads_ok", app->reloads_ok);
	answer_put_number(sb, "reloads_aborted", app->reloads_aborted);
	if (app->crew.stable->conf->scales)
		put_scalings(sb, app);
	if (app->reload_error != NULL)
		answer_put(sb, "reload_error", app->reload_error);
	put_output(sb, app->crew.stable->conf);
	answer_end(sb);
}

static void
put_stopped(struct strbuf *sb, const struct stopped_app *s)
{
	answer_begin(sb, ANSWER_RECORD, "app");
	answer_put(sb, "name", s->conf->name);
	answer_put(sb, "state", "stopped");
	answer_put_number(sb, "wanted", 0);
	answer_put_number(sb, "ready", 0);
	put_output(sb, s->conf);
	answer_end(sb);
}

/* As ss(8) shows it, for a bare port is not seen to be an address. */
static void
put_address(struct strbuf *sb, const struct address *a)
{
	char any[16];

	if (a->kind != ADDRESS_UNIX && a->host == ADDRESS_HOST_ANY) {
		snprintf(any, sizeof(any), "%s*:%u",
		    a->kind == ADDRESS_UDP ? "udp:" : "", a->port);
		answer_put(sb, "address", any);
	} else {
		answer_put(sb, "address", address_text(a).s);
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
		if (lane->deaf || (!lane->live && lane_is_free(lane)))
			continue;
		open++;
		backlog += figures.backlog;
	}
	answer_begin(sb, ANSWER_RECORD, "listener");
	answer_put(sb, "app", app->crew.name);
	put_address(sb, &l->bound);
	answer_put(sb, "balance", balance);
	answer_put_number(sb, "lanes", open);
	if (queued) {
		answer_put_number(sb, "waiting", waiting);
		answer_put_number(sb, "backlog", backlog);
	}
	if (lanes_figures_dropped(l, &dropped))
		answer_put_number(sb, "dropped", dropped);
	answer_put(sb, "state", l->door_closed ? "closing" :
	    l->listening && !l->quiet ? "open" : "refusing");
	answer_end(sb);
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
	for (const struct listener *l = app->apps->house.listeners->first;
	    l != NULL; l = l->next) {
		bool told = !listener_is_open(l) || !has_listener(app, l);

		for (size_t i = 0; i < n && !told; i++)
			told = spec->listeners[i] == l;
		if (!told)
			put_listener(sb, app, l);
	}
}

/* ---- workers ---- */

static void
put_usage(struct strbuf *sb, const struct worker *w)
{
	if (!worker_usage_known(w))
		return;
	answer_put_number(sb, "cpu_ns", w->usage.cpu_ns);
	answer_put_number(sb, "memory_bytes", w->usage.memory_bytes);
}

static void
put_lanes(struct strbuf *sb, const struct worker *w)
{
	struct lane_figures sum;

	if (!lanes_figures_of(app_of(w->crew)->apps->house.listeners,
		&w->holder, &sum))
		return;
	if (sum.queued)
		answer_put_number(sb, "waiting", sum.waiting);
	if (!sum.counted)
		return;
	answer_put_number(sb, "connections", sum.open);
	answer_put_number(sb, "connections_total", sum.total);
}

static void
put_health(struct strbuf *sb, const struct worker *w)
{
	if (!health_is_checked(w) || !health_of(w)->known)
		return;
	answer_put_number(sb, "healthy", !w->unwell);
	if (health_took_us(w) >= 0)
		answer_put_number(sb, "check_ns",
		    (uint64_t)health_took_us(w) * 1000);
	if (w->unwell && *health_words(w) != '\0')
		answer_put(sb, "unhealthy", health_words(w));
}

static void
put_history(struct strbuf *sb, const struct seat *seat, struct mono now)
{
	for (int i = 0; i < RESTART_CAUSES; i++) {
		char key[32];

		snprintf(key, sizeof(key), "restarts_%s",
		    restart_cause_name((enum restart_cause)i));
		answer_put_number(sb, key, seat->restarts[i]);
	}
	for (int i = 0; i < RECYCLE_CAUSES; i++) {
		char key[32];

		snprintf(key, sizeof(key), "recycles_%s",
		    recycle_cause_name((enum recycle_cause)i));
		answer_put_number(sb, key, seat->recycles[i]);
	}
	if (seat->death == NULL)
		return;
	answer_put(sb, "death", seat->death);
	answer_put_number(sb, "death_ago_ms",
	    (uint64_t)mono_ms_between(seat->died, now));
}

static uint64_t
ms_until(struct mono now, struct mono then)
{
	return mono_before(now, then) ? (uint64_t)mono_ms_between(now, then) :
	    0;
}

/* False: its processes are many, and looked at in parts. */
static bool
is_measured(struct worker *w)
{
	return w == NULL || worker_usage(w, mono_now()) != -EAGAIN;
}

static void
put_worker(struct strbuf *sb, const struct worker *w)
{
	const struct app *app = app_of(w->crew);
	struct mono now = mono_now();

	answer_begin(sb, ANSWER_RECORD, "instance");
	control_record_worker(sb, w);
	if (w->pid != 0)
		answer_put_number(sb, "uptime_ms",
		    (uint64_t)mono_ms_between(w->fsm.executed, now));
	if (w->ready_ms >= 0)
		answer_put_number(sb, "ready_ms", (uint64_t)w->ready_ms);
	if (w->fsm.state == WORKER_BACKOFF)
		answer_put_number(sb, "restart_in_ms",
		    ms_until(now, w->fsm.deadline));
	put_usage(sb, w);
	put_lanes(sb, w);
	put_health(sb, w);
	if (w->seated && app->seats[w->instance].present == w)
		put_history(sb, &app->seats[w->instance], now);
	answer_end(sb);
}

/* ---- in portions ---- */

/* Is that instance, of an app that is asked for, asked for? */
static bool
wants(const struct request *request, unsigned instance)
{
	return request->instance < 0 ||
	    (unsigned)request->instance == instance;
}

/* The app with the lowest number from `from` on, or NULL. */
static struct app *
next_app(const struct control_setup *setup, const struct control_op *op,
    uint64_t from)
{
	struct app *next = NULL;

	for (struct app *a = setup->apps->first; a != NULL; a = a->next_app)
		if (a->crew.number >= from &&
		    control_op_concerns(op, a->crew.name) &&
		    (next == NULL || a->crew.number < next->crew.number))
			next = a;
	return next;
}

static struct worker *
next_retiring(const struct app *app, const struct request *request,
    uint64_t after)
{
	struct worker *next = NULL;

	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (!w->seated && w->number > after &&
		    wants(request, w->instance) &&
		    (next == NULL || w->number < next->number))
			next = w;
	return next;
}

/* One step of the way; false: the end. */
static bool
step_retiring(struct strbuf *sb, struct control_op *op, const struct app *app)
{
	struct control_cursor *at = &op->cursor;
	struct worker *w = next_retiring(app, &op->request, at->worker);

	if (w != NULL && !is_measured(w))
		return true;
	if (w != NULL) {
		put_worker(sb, w);
		at->worker = w->number;
		return true;
	}
	at->at = CONTROL_AT_APP;
	at->app = app->crew.number + 1;
	return true;
}

static bool
step_stopped(const struct control_setup *setup, struct strbuf *sb,
    struct control_op *op)
{
	struct control_cursor *at = &op->cursor;
	const struct stopped_app *s = setup->apps->stopped;

	for (unsigned i = 0; i < at->seat && s != NULL; i++)
		s = s->next;
	if (s == NULL)
		return false;
	/* Until its workers have finished, it is stopping. */
	if (control_op_concerns(op, s->conf->name) &&
	    !apps_lingers(setup->apps, s->conf->name))
		put_stopped(sb, s);
	at->seat++;
	return true;
}

static void
step_seat(struct strbuf *sb, struct control_op *op, const struct app *app)
{
	unsigned i = op->cursor.seat;
	const struct seat *seat = &app->seats[i];
	bool wanted = wants(&op->request, i);

	if (wanted && !(is_measured(seat->present) && is_measured(seat->next)))
		return;
	op->cursor.seat++;
	if (!wanted)
		return;
	if (seat->present != NULL)
		put_worker(sb, seat->present);
	if (seat->next != NULL)
		put_worker(sb, seat->next);
}

static bool
step(const struct control_setup *setup, struct strbuf *sb,
    struct control_op *op)
{
	struct control_cursor *at = &op->cursor;
	struct app *app;

	if (at->at == CONTROL_AT_CLUSTERD) {
		put_program(sb, setup);
		at->at = CONTROL_AT_APP;
		return true;
	}
	if (at->at == CONTROL_AT_STOPPED)
		return step_stopped(setup, sb, op);
	app = next_app(setup, op, at->app);
	if (app == NULL) {
		*at = (struct control_cursor){ .at = CONTROL_AT_STOPPED };
		return true;
	}
	/* The one that it was at has gone: on with the next. */
	if (at->at == CONTROL_AT_APP || app->crew.number != at->app) {
		put_app(sb, app);
		put_listeners(sb, app);
		*at = (struct control_cursor){
			.at = CONTROL_AT_SEATS, .app = app->crew.number,
		};
		return true;
	}
	if (at->at == CONTROL_AT_RETIRING)
		return step_retiring(sb, op, app);
	if (at->seat < app->n_seats) {
		step_seat(sb, op, app);
		return true;
	}
	at->at = CONTROL_AT_RETIRING;
	return true;
}

/* Is there what was asked for? False: the answer says that there is not. */
static bool
is_known(struct control_client *c)
{
	const struct request *r = &c->op.request;
	const struct app *app = apps_find(c->setup->apps, r->app);

	if (!control_op_names_app(&c->op) ||
	    (app == NULL && (apps_lingers(c->setup->apps, r->app) ||
		stopped_find(c->setup->apps, r->app) != NULL)))
		return true;
	if (app == NULL) {
		control_unknown_app(c, r->app);
		return false;
	}
	if (r->instance < 0 || (unsigned)r->instance < app->n_seats)
		return true;
	control_client_fail(c, "unknown", "%s has instances 0 to %u", r->app,
	    app->n_seats - 1);
	return false;
}

bool
control_status_more(struct control_client *c)
{
	if (c->op.cursor.at == CONTROL_AT_CLUSTERD && !is_known(c))
		return false;
	if (step(c->setup, &c->out, &c->op))
		return true;
	control_client_ok(c, NULL);
	return false;
}
