#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "core/status/metrics_label.h"
#include "core/status/metrics_text.h"
#include "core/status/status.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

enum unit {
	UNIT_ONE,
	UNIT_MS,		/* told in milliseconds, shown in seconds */
	UNIT_NS,
};

struct metric {
	const char *name;	/* of its samples */
	const char *help;
	enum unit unit;
	size_t offset;		/* of a uint64_t in the record */
};

struct output {
	struct strbuf *sb;
	enum metrics_format format;
	const struct metrics_labels *labels;	/* of every sample */
	const struct metric *metric;
	bool begun;		/* its HELP is written */
};

enum type {
	TYPE_GAUGE,
	TYPE_COUNTER,
	TYPE_INFO,		/* OpenMetrics alone has it */
};

/* A metric has the type that its name says, by an ending which in OpenMetrics is
   the samples' alone: `family` bytes of it are the metric's. */
static enum type
type_of(const char *name, enum metrics_format format, size_t *ret_family)
{
	static const struct {
		const char *ending;
		enum type type, classic;
	} types[] = {
		{ "_total", TYPE_COUNTER, TYPE_COUNTER },
		{ "_info", TYPE_INFO, TYPE_GAUGE },
	};
	size_t len = strlen(name);

	*ret_family = len;
	for (size_t i = 0; i < N(types); i++) {
		size_t ending = strlen(types[i].ending);

		if (len <= ending ||
		    strcmp(name + len - ending, types[i].ending) != 0)
			continue;
		if (format == METRICS_CLASSIC)
			return types[i].classic;
		*ret_family = len - ending;
		return types[i].type;
	}
	return TYPE_GAUGE;
}

static void
begin(struct output *out, const struct metric *metric)
{
	out->metric = metric;
	out->begun = false;
}

static void
put_heading(struct output *out)
{
	static const char *const types[] = {
		[TYPE_GAUGE] = "gauge",
		[TYPE_COUNTER] = "counter",
		[TYPE_INFO] = "info",
	};
	const struct metric *m = out->metric;
	enum type type;
	size_t len;

	if (out->begun)
		return;
	out->begun = true;
	type = type_of(m->name, out->format, &len);
	strbuf_printf(out->sb, "# HELP %.*s %s\n", (int)len, m->name, m->help);
	strbuf_printf(out->sb, "# TYPE %.*s %s\n", (int)len, m->name,
	    types[type]);
}

/* One label; NULL: none more. */
struct label {
	const char *key;
	const char *value;
};

#define LABELS(...) ((const struct label[]){ __VA_ARGS__, { NULL, NULL } })

static void
put_value(struct strbuf *sb, uint64_t value, enum unit unit)
{
	unsigned long long v = value;

	if (unit == UNIT_MS)
		strbuf_printf(sb, " %llu.%03llu\n", v / 1000, v % 1000);
	else if (unit == UNIT_NS)
		strbuf_printf(sb, " %llu.%09llu\n", v / 1000000000,
		    v % 1000000000);
	else
		strbuf_printf(sb, " %llu\n", v);
}

static void
put_labels(struct output *out, const struct label *labels)
{
	size_t n = 0;

	strbuf_putc(out->sb, '{');
	for (; labels[n].key != NULL; n++) {
		if (n > 0)
			strbuf_putc(out->sb, ',');
		metrics_label_put(out->sb, labels[n].key, labels[n].value);
	}
	metrics_labels_put(out->sb, out->labels, n);
	strbuf_putc(out->sb, '}');
}

static void
put_sample(struct output *out, const struct label *labels, uint64_t value)
{
	if (value == STATUS_UNKNOWN)
		return;
	put_heading(out);
	strbuf_puts(out->sb, out->metric->name);
	if (labels[0].key != NULL || out->labels->n > 0)
		put_labels(out, labels);
	put_value(out->sb, value, out->metric->unit);
}

static uint64_t
at(const void *record, size_t offset)
{
	return *(const uint64_t *)((const char *)record + offset);
}

/* ---- clusterd ---- */

#define AT(member) offsetof(struct status_clusterd, member)

static const struct metric clusterd_metrics[] = {
	{ "clusterd_uptime_seconds", "Since the supervisor started.",
	    UNIT_MS, AT(uptime_ms) },
	{ "clusterd_cpu_seconds_total", "CPU time of the supervisor alone.",
	    UNIT_NS, AT(cpu_ns) },
	{ "clusterd_memory_bytes",
	    "Resident memory of the supervisor alone.",
	    UNIT_ONE, AT(memory_bytes) },
	{ "clusterd_reloads_refused_total",
	    "Reloads that changed nothing, for an error of the configuration "
	    "or a socket.", UNIT_ONE, AT(reloads_refused) },
	{ "clusterd_supervisor_restarts_total",
	    "Supervisors that died and were started again.", UNIT_ONE,
	    AT(supervisor_restarts) },
	{ "clusterd_on_event_runs_total",
	    "Commands of on_event that were run.", UNIT_ONE,
	    AT(on_event_runs) },
	{ "clusterd_on_event_failures_total",
	    "Commands of on_event that failed, or took too long.", UNIT_ONE,
	    AT(on_event_failures) },
	{ "clusterd_on_event_dropped_total",
	    "Events for which on_event was not run.", UNIT_ONE,
	    AT(on_event_dropped) },
};
#undef AT

static void
put_clusterd(struct output *out, const struct status_clusterd *c)
{
	static const struct metric info = {
		"clusterd_info", "Which clusterd runs; always 1.", UNIT_ONE, 0,
	};

	begin(out, &info);
	put_sample(out, LABELS({ "version",
	    c->version != NULL ? c->version : "" }), 1);
	for (size_t i = 0; i < N(clusterd_metrics); i++) {
		begin(out, &clusterd_metrics[i]);
		put_sample(out, &(const struct label){ NULL, NULL },
		    at(c, clusterd_metrics[i].offset));
	}
}

/* ---- apps ---- */

#define AT(member) offsetof(struct status_app, member)

static const struct metric app_metrics[] = {
	{ "clusterd_app_wanted_instances",
	    "Instances that there should be.", UNIT_ONE, AT(wanted) },
	{ "clusterd_app_min_instances",
	    "Least instances that it may scale to by itself.",
	    UNIT_ONE, AT(least) },
	{ "clusterd_app_max_instances",
	    "Most instances that it may scale to by itself.",
	    UNIT_ONE, AT(most) },
	{ "clusterd_app_ready_instances",
	    "Instances that are ready to serve.", UNIT_ONE, AT(ready) },
	{ "clusterd_app_generation",
	    "Of the configuration that is in force.",
	    UNIT_ONE, AT(generation) },
};
#undef AT

static void
put_reloads(struct output *out, const struct status *status)
{
	static const struct metric reloads = {
		"clusterd_app_reloads_total",
		"Reloads of the app that ended, by how.", UNIT_ONE, 0,
	};

	begin(out, &reloads);
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		put_sample(out, LABELS({ "app", app->name },
		    { "result", "ok" }), app->reloads_ok);
		put_sample(out, LABELS({ "app", app->name },
		    { "result", "aborted" }), app->reloads_aborted);
	}
}

static void
put_scalings(struct output *out, const struct status *status)
{
	static const struct metric scalings = {
		"clusterd_app_autoscale_total",
		"Instances that the app has added or given up by itself, by "
		"why.", UNIT_ONE, 0,
	};

	begin(out, &scalings);
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		put_sample(out, LABELS({ "app", app->name },
		    { "reason", "waiting" }), app->scalings_waiting);
		put_sample(out, LABELS({ "app", app->name },
		    { "reason", "busy" }), app->scalings_busy);
		put_sample(out, LABELS({ "app", app->name },
		    { "reason", "idle" }), app->scalings_idle);
	}
}

static void
put_workers(struct output *out, const struct status *status)
{
	static const struct metric workers = {
		"clusterd_app_workers", "Processes by their role: in a seat, "
		"about to take one (next), or retiring.", UNIT_ONE, 0,
	};

	begin(out, &workers);
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];
		uint64_t n[STATUS_RETIRING + 1] = { 0 };

		for (size_t k = 0; k < app->n_instances; k++)
			n[app->instances[k].role] +=
			    app->instances[k].pid != STATUS_UNKNOWN;
		for (size_t k = 0; k < N(n); k++)
			put_sample(out, LABELS({ "app", app->name },
			    { "role", status_role_name((enum status_role)k) }),
			    n[k]);
	}
}

/* 0 of nobody; unknown if it is of all there are. */
static uint64_t
sum_of_retiring(const struct status_app *app, size_t offset)
{
	uint64_t sum = STATUS_UNKNOWN;
	bool any = false;

	for (size_t i = 0; i < app->n_instances; i++) {
		if (app->instances[i].role != STATUS_RETIRING)
			continue;
		any = true;
		sum = status_sum(sum, at(&app->instances[i], offset));
	}
	return any ? sum : 0;
}

/* Of those that have no metrics of their own. */
static void
put_retiring(struct output *out, const struct status *status)
{
	static const struct metric sums[] = {
		{ "clusterd_app_retiring_memory_bytes",
		    "Resident memory of the workers that retire.", UNIT_ONE,
		    offsetof(struct status_instance, memory_bytes) },
		{ "clusterd_app_retiring_connections",
		    "Connections that the workers that retire still have.",
		    UNIT_ONE, offsetof(struct status_instance, connections) },
	};

	for (size_t i = 0; i < N(sums); i++) {
		begin(out, &sums[i]);
		for (size_t k = 0; k < status->n_apps; k++) {
			const struct status_app *app = &status->apps[k];

			put_sample(out, LABELS({ "app", app->name }),
			    sum_of_retiring(app, sums[i].offset));
		}
	}
}

static void
put_apps(struct output *out, const struct status *status)
{
	for (size_t i = 0; i < N(app_metrics); i++) {
		begin(out, &app_metrics[i]);
		for (size_t k = 0; k < status->n_apps; k++)
			put_sample(out,
			    LABELS({ "app", status->apps[k].name }),
			    at(&status->apps[k], app_metrics[i].offset));
	}
	put_workers(out, status);
	put_retiring(out, status);
	put_reloads(out, status);
	put_scalings(out, status);
}

/* ---- listeners ---- */

/* Labels are to be unique: of those with one address, the first that is not
   about to close. */
static bool
is_counted(const struct status_app *app, const struct status_listener *l)
{
	if (l->state != NULL && strcmp(l->state, "closing") == 0)
		return false;
	for (const struct status_listener *o = app->listeners; o != l; o++)
		if (strcmp(o->address, l->address) == 0 &&
		    (o->state == NULL || strcmp(o->state, "closing") != 0))
			return false;
	return true;
}

static void
put_listener_metric(struct output *out, const struct status *status,
    const struct metric *metric)
{
	begin(out, metric);
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		for (size_t k = 0; k < app->n_listeners; k++) {
			const struct status_listener *l = &app->listeners[k];

			if (is_counted(app, l))
				put_sample(out, LABELS({ "app", app->name },
				    { "address", l->address }),
				    at(l, metric->offset));
		}
	}
}

static void
put_balance(struct output *out, const struct status *status)
{
	static const struct metric balance = {
		"clusterd_listener_balance",
		"How connections are given to workers; always 1.", UNIT_ONE, 0,
	};

	begin(out, &balance);
	for (size_t i = 0; i < status->n_apps; i++) {
		const struct status_app *app = &status->apps[i];

		for (size_t k = 0; k < app->n_listeners; k++) {
			const struct status_listener *l = &app->listeners[k];

			if (l->balance != NULL && is_counted(app, l))
				put_sample(out, LABELS({ "app", app->name },
				    { "address", l->address },
				    { "balance", l->balance }), 1);
		}
	}
}

#define AT(member) offsetof(struct status_listener, member)

static const struct metric listener_metrics[] = {
	{ "clusterd_listener_waiting_connections",
	    "Connections that no worker has accepted yet.",
	    UNIT_ONE, AT(waiting) },
	{ "clusterd_listener_backlog_connections",
	    "How many may wait, in all queues together.",
	    UNIT_ONE, AT(backlog) },
	{ "clusterd_listener_dropped_packets_total",
	    "Packets of new connections that no worker's queue would take.",
	    UNIT_ONE, AT(dropped) },
};
#undef AT

/* ---- instances ---- */

#define AT(member) offsetof(struct status_instance, member)

static const struct metric instance_metrics[] = {
	{ "clusterd_instance_generation", "Of the worker's configuration.",
	    UNIT_ONE, AT(generation) },
	{ "clusterd_instance_uptime_seconds", "Since its process started.",
	    UNIT_MS, AT(uptime_ms) },
	{ "clusterd_instance_ready_seconds",
	    "How long its process took to become ready.",
	    UNIT_MS, AT(ready_ms) },
	{ "clusterd_instance_cpu_seconds_total",
	    "CPU time of its process and that one's descendants.",
	    UNIT_NS, AT(cpu_ns) },
	{ "clusterd_instance_memory_bytes",
	    "Resident memory of its process and that one's descendants.",
	    UNIT_ONE, AT(memory_bytes) },
	{ "clusterd_instance_waiting_connections",
	    "Connections in the queue that is its own.",
	    UNIT_ONE, AT(waiting) },
	{ "clusterd_instance_open_connections", "Connections that it has.",
	    UNIT_ONE, AT(connections) },
	{ "clusterd_instance_accepted_connections_total",
	    "Connections that it has accepted.",
	    UNIT_ONE, AT(connections_total) },
	{ "clusterd_instance_healthy",
	    "Whether its last check went well.", UNIT_ONE, AT(healthy) },
	{ "clusterd_instance_check_seconds", "How long its last check took.",
	    UNIT_NS, AT(check_ns) },
};
#undef AT

static const struct metric recycles = {
	"clusterd_instance_recycles_total",
	"Replacements by clusterd itself, because: its checks failed "
	"(unhealthy), max_memory (memory), max_age (age), max_connections "
	"(connections).", UNIT_ONE, 0,
};

static const struct {
	const char *reason;
	size_t offset;
} recycle_reasons[] = {
	{ "unhealthy", offsetof(struct status_instance, recycles_unhealthy) },
	{ "memory", offsetof(struct status_instance, recycles_memory) },
	{ "age", offsetof(struct status_instance, recycles_age) },
	{ "connections",
	    offsetof(struct status_instance, recycles_connections) },
};

static const struct metric up = {
	"clusterd_instance_up", "Whether it is ready to serve.", UNIT_ONE, 0,
};

static const struct metric restarts = {
	"clusterd_instance_restarts_total",
	"Restarts after: an exit with a success code (exit) or another one "
	"(failure), a signal, the OOM killer (oom), not being ready in time "
	"(timeout), a start that failed (start).", UNIT_ONE, 0,
};

static void
put_seat(struct output *out, const struct status_app *app,
    const struct status_instance *i)
{
	char number[24];
	uint64_t value;

	snprintf(number, sizeof(number), "%llu",
	    (unsigned long long)i->instance);
	if (out->metric == &restarts) {
		for (size_t k = 0; k < STATUS_RESTARTS; k++)
			put_sample(out, LABELS({ "app", app->name },
			    { "worker", number },
			    { "reason", status_restart_name(
			    (enum status_restart)k) }), i->restarts[k]);
		return;
	}
	if (out->metric == &recycles) {
		for (size_t k = 0; k < sizeof(recycle_reasons) /
		     sizeof(recycle_reasons[0]); k++)
			put_sample(out, LABELS({ "app", app->name },
			    { "worker", number },
			    { "reason", recycle_reasons[k].reason }),
			    at(i, recycle_reasons[k].offset));
		return;
	}
	if (out->metric == &up)
		value = i->state != NULL && strcmp(i->state, "ready") == 0;
	else
		value = at(i, out->metric->offset);
	put_sample(out, LABELS({ "app", app->name },
	    { "worker", number }), value);
}

/* The seats, by number; a second row of one could not be told from the first
   and is left out. */
static void
put_seats(struct output *out, const struct status *status,
    const struct metric *metric)
{
	begin(out, metric);
	for (size_t a = 0; a < status->n_apps; a++) {
		const struct status_app *app = &status->apps[a];
		uint64_t next = 0;

		for (size_t k = 0; k < app->n_instances; k++) {
			const struct status_instance *i = &app->instances[k];

			if (i->role != STATUS_SEAT || i->instance < next)
				continue;
			next = i->instance + 1;
			put_seat(out, app, i);
		}
	}
}

void
metrics_text(struct strbuf *sb, const struct status *status,
    enum metrics_format format, const struct metrics_labels *labels)
{
	static const struct metrics_labels none = { .n = 0 };
	struct output out = {
		.sb = sb, .format = format,
		.labels = labels != NULL ? labels : &none,
	};

	if (status->told)
		put_clusterd(&out, &status->clusterd);
	put_apps(&out, status);
	for (size_t i = 0; i < N(listener_metrics); i++)
		put_listener_metric(&out, status, &listener_metrics[i]);
	put_balance(&out, status);
	put_seats(&out, status, &up);
	put_seats(&out, status, &restarts);
	put_seats(&out, status, &recycles);
	for (size_t i = 0; i < N(instance_metrics); i++)
		put_seats(&out, status, &instance_metrics[i]);
	if (format == METRICS_OPENMETRICS)
		strbuf_puts(sb, "# EOF\n");
}
