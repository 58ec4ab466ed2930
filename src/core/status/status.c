#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "core/control/answer.h"
#include "core/status/status.h"

#define N(array) (sizeof(array) / sizeof(*(array)))

#define TEXT(type, key, member) \
	{ .name = key, .number = false, .offset = offsetof(type, member) }
#define NUMBER(type, key, member) \
	{ .name = key, .number = true, .offset = offsetof(type, member) }

static const struct status_key clusterd_keys[] = {
	NUMBER(struct status_clusterd, "pid", pid),
	TEXT(struct status_clusterd, "version", version),
	TEXT(struct status_clusterd, "config", config),
	TEXT(struct status_clusterd, "state", state),
	NUMBER(struct status_clusterd, "uptime_ms", uptime_ms),
	NUMBER(struct status_clusterd, "cpu_ns", cpu_ns),
	NUMBER(struct status_clusterd, "memory_bytes", memory_bytes),
	NUMBER(struct status_clusterd, "reloads_refused", reloads_refused),
	NUMBER(struct status_clusterd, "supervisor_restarts",
	    supervisor_restarts),
	TEXT(struct status_clusterd, "supervisor_death", supervisor_death),
	NUMBER(struct status_clusterd, "on_event_runs", on_event_runs),
	NUMBER(struct status_clusterd, "on_event_failures",
	    on_event_failures),
	NUMBER(struct status_clusterd, "on_event_dropped", on_event_dropped),
};

static const struct status_key app_keys[] = {
	TEXT(struct status_app, "name", name),
	TEXT(struct status_app, "state", state),
	NUMBER(struct status_app, "generation", generation),
	NUMBER(struct status_app, "wanted", wanted),
	NUMBER(struct status_app, "least", least),
	NUMBER(struct status_app, "most", most),
	NUMBER(struct status_app, "ready", ready),
	NUMBER(struct status_app, "target", target),
	NUMBER(struct status_app, "moved", moved),
	NUMBER(struct status_app, "reloads_ok", reloads_ok),
	NUMBER(struct status_app, "reloads_aborted", reloads_aborted),
	NUMBER(struct status_app, "scalings_waiting", scalings_waiting),
	NUMBER(struct status_app, "scalings_busy", scalings_busy),
	NUMBER(struct status_app, "scalings_idle", scalings_idle),
	TEXT(struct status_app, "reload_error", reload_error),
	TEXT(struct status_app, "stdout", stdout_to),
	TEXT(struct status_app, "stderr", stderr_to),
};

static const struct status_key listener_keys[] = {
	TEXT(struct status_listener, "address", address),
	TEXT(struct status_listener, "balance", balance),
	NUMBER(struct status_listener, "lanes", lanes),
	NUMBER(struct status_listener, "waiting", waiting),
	NUMBER(struct status_listener, "backlog", backlog),
	NUMBER(struct status_listener, "dropped", dropped),
	TEXT(struct status_listener, "state", state),
};

#define RESTARTS(key, reason) \
	NUMBER(struct status_instance, key, restarts[reason])

static const struct status_key instance_keys[] = {
	NUMBER(struct status_instance, "pid", pid),
	TEXT(struct status_instance, "state", state),
	NUMBER(struct status_instance, "generation", generation),
	NUMBER(struct status_instance, "uptime_ms", uptime_ms),
	NUMBER(struct status_instance, "ready_ms", ready_ms),
	NUMBER(struct status_instance, "restart_in_ms", restart_in_ms),
	NUMBER(struct status_instance, "cpu_ns", cpu_ns),
	NUMBER(struct status_instance, "memory_bytes", memory_bytes),
	NUMBER(struct status_instance, "waiting", waiting),
	NUMBER(struct status_instance, "connections", connections),
	NUMBER(struct status_instance, "connections_total",
	    connections_total),
	RESTARTS("restarts_exit", STATUS_RESTART_EXIT),
	RESTARTS("restarts_failure", STATUS_RESTART_FAILURE),
	RESTARTS("restarts_signal", STATUS_RESTART_SIGNAL),
	RESTARTS("restarts_oom", STATUS_RESTART_OOM),
	RESTARTS("restarts_timeout", STATUS_RESTART_TIMEOUT),
	RESTARTS("restarts_start", STATUS_RESTART_START),
	TEXT(struct status_instance, "death", death),
	NUMBER(struct status_instance, "death_ago_ms", death_ago_ms),
	NUMBER(struct status_instance, "healthy", healthy),
	NUMBER(struct status_instance, "check_ns", check_ns),
	TEXT(struct status_instance, "unhealthy", unhealthy),
	NUMBER(struct status_instance, "recycles_unhealthy",
	    recycles_unhealthy),
	NUMBER(struct status_instance, "recycles_memory", recycles_memory),
	NUMBER(struct status_instance, "recycles_age", recycles_age),
	NUMBER(struct status_instance, "recycles_connections",
	    recycles_connections),
};

const struct status_key *
status_clusterd_keys(size_t *ret_n)
{
	*ret_n = N(clusterd_keys);
	return clusterd_keys;
}

const struct status_key *
status_app_keys(size_t *ret_n)
{
	*ret_n = N(app_keys);
	return app_keys;
}

const struct status_key *
status_listener_keys(size_t *ret_n)
{
	*ret_n = N(listener_keys);
	return listener_keys;
}

const struct status_key *
status_instance_keys(size_t *ret_n)
{
	*ret_n = N(instance_keys);
	return instance_keys;
}

static const char *const restart_names[] = {
	[STATUS_RESTART_EXIT] = "exit",
	[STATUS_RESTART_FAILURE] = "failure",
	[STATUS_RESTART_SIGNAL] = "signal",
	[STATUS_RESTART_OOM] = "oom",
	[STATUS_RESTART_TIMEOUT] = "timeout",
	[STATUS_RESTART_START] = "start",
};
_Static_assert(N(restart_names) == STATUS_RESTARTS, "each has its word");

const char *
status_restart_name(enum status_restart reason)
{
	return restart_names[reason];
}

static const char *const role_names[] = {
	[STATUS_SEAT] = "seat",
	[STATUS_NEXT] = "next",
	[STATUS_RETIRING] = "retiring",
};

const char *
status_role_name(enum status_role role)
{
	return role_names[role];
}

/* ---- records ---- */

static uint64_t
number_of(const char *value)
{
	uint64_t n;

	if (num_parse(value, 0, STATUS_MOST, &n))
		return n;
	return *value != '\0' && value[strspn(value, "0123456789")] == '\0' ?
	    STATUS_MOST : STATUS_UNKNOWN;
}

static void
free_texts(void *record, const struct status_key *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!keys[i].number)
			free(*(char **)((char *)record + keys[i].offset));
}

/* On failure `record` holds nothing to be freed. */
static int
fill(void *record, const struct status_key *keys, size_t n,
    const struct answer_line *line)
{
	bool failed = false;

	for (size_t i = 0; i < n; i++) {
		const char *value = answer_line_get(line, keys[i].name);
		void *to = (char *)record + keys[i].offset;

		if (keys[i].number) {
			*(uint64_t *)to = value != NULL ? number_of(value) :
			    STATUS_UNKNOWN;
			continue;
		}
		*(char **)to = value != NULL ? strdup(value) : NULL;
		failed |= value != NULL && *(char **)to == NULL;
	}
	if (!failed)
		return 0;
	free_texts(record, keys, n);
	return -ENOMEM;
}

/* Room for one more; `items` is a pointer to the array. */
static int
room(void *items, size_t n, size_t *cap, size_t size)
{
	void *old, *more;
	size_t want = *cap > 0 ? 2 * *cap : 4;

	if (n < *cap)
		return 0;
	memcpy(&old, items, sizeof(old));
	more = reallocarray(old, want, size);
	if (more == NULL)
		return -ENOMEM;
	memcpy(items, &more, sizeof(more));
	*cap = want;
	return 0;
}

static struct status_app *
find_app(const struct status *status, const char *name)
{
	/* Records of an app follow it: mostly it is the last one. */
	for (size_t i = status->n_apps; i-- > 0; )
		if (strcmp(status->apps[i].name, name) == 0)
			return &status->apps[i];
	return NULL;
}

static int
add_clusterd(struct status *status, const struct answer_line *line)
{
	struct status_clusterd c = { .cpu_permille = STATUS_UNKNOWN };
	int code = fill(&c, clusterd_keys, N(clusterd_keys), line);

	if (code < 0)
		return code;
	free_texts(&status->clusterd, clusterd_keys, N(clusterd_keys));
	status->clusterd = c;
	status->told = true;
	return 0;
}

static int
add_app(struct status *status, const struct answer_line *line)
{
	const char *name = answer_line_get(line, "name");
	struct status_app app = { .name = NULL }, *old;
	int code;

	if (name == NULL)
		return 0;
	old = find_app(status, name);
	if (old == NULL && status->n_apps == STATUS_APPS_MAX) {
		status->left_out++;
		return 0;
	}
	code = old != NULL ? 0 : room(&status->apps, status->n_apps,
	    &status->cap_apps, sizeof(app));
	if (code == 0)
		code = fill(&app, app_keys, N(app_keys), line);
	if (code < 0)
		return code;
	if (old == NULL) {
		status->apps[status->n_apps++] = app;
		return 0;
	}
	free_texts(old, app_keys, N(app_keys));
	app.listeners = old->listeners;
	app.n_listeners = old->n_listeners;
	app.cap_listeners = old->cap_listeners;
	app.instances = old->instances;
	app.n_instances = old->n_instances;
	app.cap_instances = old->cap_instances;
	*old = app;
	return 0;
}

static int
add_listener(struct status *status, const struct answer_line *line)
{
	const char *name = answer_line_get(line, "app");
	struct status_app *app = name != NULL ? find_app(status, name) : NULL;
	struct status_listener l;
	int code;

	if (app == NULL || answer_line_get(line, "address") == NULL)
		return 0;
	if (app->n_listeners == STATUS_LISTENERS_MAX) {
		status->left_out++;
		return 0;
	}
	code = room(&app->listeners, app->n_listeners, &app->cap_listeners,
	    sizeof(l));
	if (code == 0)
		code = fill(&l, listener_keys, N(listener_keys), line);
	if (code == 0)
		app->listeners[app->n_listeners++] = l;
	return code;
}

static bool
parse_role(const struct answer_line *line, enum status_role *ret_role)
{
	const char *word = answer_line_get(line, "role");

	for (size_t i = 0; i < N(role_names); i++)
		if (word == NULL || strcmp(word, role_names[i]) == 0) {
			*ret_role = (enum status_role)i;
			return true;
		}
	return false;
}

static int
add_instance(struct status *status, const struct answer_line *line)
{
	const char *name = answer_line_get(line, "app");
	struct status_app *app = name != NULL ? find_app(status, name) : NULL;
	struct status_instance i = { .cpu_permille = STATUS_UNKNOWN };
	int code;

	if (app == NULL || !parse_role(line, &i.role) ||
	    !answer_line_number(line, "instance", &i.instance) ||
	    i.instance > STATUS_MOST)
		return 0;
	if (app->n_instances == STATUS_INSTANCES_MAX) {
		status->left_out++;
		return 0;
	}
	code = room(&app->instances, app->n_instances, &app->cap_instances,
	    sizeof(i));
	if (code == 0)
		code = fill(&i, instance_keys, N(instance_keys), line);
	if (code == 0)
		app->instances[app->n_instances++] = i;
	return code;
}

int
status_add(struct status *status, const struct answer_line *line)
{
	static const struct {
		const char *word;
		int (*add)(struct status *, const struct answer_line *);
	} records[] = {
		{ "clusterd", add_clusterd },
		{ "app", add_app },
		{ "listener", add_listener },
		{ "instance", add_instance },
	};

	if (line->kind != ANSWER_RECORD)
		return 0;
	for (size_t i = 0; i < N(records); i++)
		if (strcmp(line->word, records[i].word) == 0)
			return records[i].add(status, line);
	return 0;
}

static void
free_app(struct status_app *app)
{
	for (size_t i = 0; i < app->n_listeners; i++)
		free_texts(&app->listeners[i], listener_keys,
		    N(listener_keys));
	for (size_t i = 0; i < app->n_instances; i++)
		free_texts(&app->instances[i], instance_keys,
		    N(instance_keys));
	free_texts(app, app_keys, N(app_keys));
	free(app->listeners);
	free(app->instances);
}

void
status_free(struct status *status)
{
	for (size_t i = 0; i < status->n_apps; i++)
		free_app(&status->apps[i]);
	free(status->apps);
	free_texts(&status->clusterd, clusterd_keys, N(clusterd_keys));
	*status = (struct status)STATUS_INIT;
}

/* ---- sums ---- */

uint64_t
status_sum(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (a == STATUS_UNKNOWN)
		return b;
	if (b == STATUS_UNKNOWN)
		return a;
	return __builtin_add_overflow(a, b, &sum) || sum > STATUS_MOST ?
	    STATUS_MOST : sum;
}

uint64_t
status_restarts(const struct status_instance *instance)
{
	uint64_t sum = STATUS_UNKNOWN;

	for (size_t i = 0; i < STATUS_RESTARTS; i++)
		sum = status_sum(sum, instance->restarts[i]);
	return sum;
}

struct status_sums
status_app_sums(const struct status_app *app)
{
	struct status_sums s = {
		.cpu_permille = STATUS_UNKNOWN,
		.memory_bytes = STATUS_UNKNOWN,
		.connections = STATUS_UNKNOWN,
		.waiting = STATUS_UNKNOWN,
		.backlog = STATUS_UNKNOWN,
	};

	for (size_t i = 0; i < app->n_instances; i++) {
		const struct status_instance *in = &app->instances[i];

		s.cpu_permille = status_sum(s.cpu_permille, in->cpu_permille);
		s.memory_bytes = status_sum(s.memory_bytes, in->memory_bytes);
		s.connections = status_sum(s.connections, in->connections);
		s.rows[in->role]++;
	}
	for (size_t i = 0; i < app->n_listeners; i++) {
		s.waiting = status_sum(s.waiting, app->listeners[i].waiting);
		s.backlog = status_sum(s.backlog, app->listeners[i].backlog);
	}
	return s;
}

/* ---- CPU ---- */

/* Nanoseconds of CPU per millisecond of time, in permille of one CPU: a
   millisecond has 1,000,000 of them. */
static uint64_t
permille(uint64_t cpu_ns, uint64_t time_ms)
{
	return time_ms == 0 ? STATUS_UNKNOWN : cpu_ns / time_ms / 1000;
}

struct sample {
	uint64_t pid, uptime_ms, cpu_ns;
};

static uint64_t
cpu_of(const struct sample *now, const struct sample *before)
{
	if (now->cpu_ns == STATUS_UNKNOWN || now->uptime_ms == STATUS_UNKNOWN)
		return STATUS_UNKNOWN;
	/* Another process that got its pid is younger. A descendant's death
	   may take its share of the time away. */
	if (before != NULL && before->pid == now->pid &&
	    before->cpu_ns <= now->cpu_ns &&
	    before->uptime_ms < now->uptime_ms)
		return permille(now->cpu_ns - before->cpu_ns,
		    now->uptime_ms - before->uptime_ms);
	return permille(now->cpu_ns, now->uptime_ms);
}

static struct sample
sample_of(const struct status_instance *i)
{
	return (struct sample){
		.pid = i->pid, .uptime_ms = i->uptime_ms, .cpu_ns = i->cpu_ns,
	};
}

/* Its row in the earlier sample: mostly next to the last one that was found.
   NULL: none. */
static const struct status_instance *
find_before(const struct status_app *before, const struct status_instance *i,
    size_t *hint)
{
	size_t n = before != NULL && i->pid != STATUS_UNKNOWN ?
	    before->n_instances : 0;

	for (size_t k = 0; k < n; k++) {
		const struct status_instance *b =
		    &before->instances[(*hint + k) % n];

		if (b->pid != i->pid || b->instance != i->instance)
			continue;
		*hint = (*hint + k + 1) % n;
		return b;
	}
	return NULL;
}

static void
measure_app(struct status_app *app, const struct status_app *before)
{
	size_t hint = 0;

	for (size_t k = 0; k < app->n_instances; k++) {
		struct status_instance *i = &app->instances[k];
		const struct status_instance *b = find_before(before, i,
		    &hint);
		struct sample now = sample_of(i), then;

		if (b != NULL)
			then = sample_of(b);
		i->cpu_permille = cpu_of(&now, b != NULL ? &then : NULL);
	}
}

void
status_measure(struct status *status, const struct status *before)
{
	struct status_clusterd *c = &status->clusterd;
	struct sample now = {
		.pid = c->pid, .uptime_ms = c->uptime_ms, .cpu_ns = c->cpu_ns,
	};
	bool same = before != NULL && before->told &&
	    before->clusterd.pid == c->pid;

	if (status->told)
		c->cpu_permille = cpu_of(&now, !same ? NULL :
		    &(struct sample){
			.pid = before->clusterd.pid,
			.uptime_ms = before->clusterd.uptime_ms,
			.cpu_ns = before->clusterd.cpu_ns,
		    });
	for (size_t i = 0; i < status->n_apps; i++)
		measure_app(&status->apps[i], before == NULL ? NULL :
		    find_app(before, status->apps[i].name));
}
