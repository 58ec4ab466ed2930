/*
 * What `status` answered, clusterd-control(7), as a tree: clusterd, its apps,
 * their listeners and instances. Built of records, line by line; what it is
 * shown as is in status_table, status_watch, status_json and metrics_text.
 */
#ifndef CORE_STATUS_STATUS_H
#define CORE_STATUS_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct answer_line;

/* A number that was not told, or was none. One that is too large for 64 bits
   is STATUS_MOST. Texts that were not told are NULL. */
#define STATUS_UNKNOWN	UINT64_MAX
#define STATUS_MOST	(UINT64_MAX - 1)

/* Records beyond these are left out, and counted: what a clusterd can have is
   below, but for apps, of which nobody has so many. */
#define STATUS_APPS_MAX		16384
#define STATUS_LISTENERS_MAX	256		/* per app */
#define STATUS_INSTANCES_MAX	(8 * 4096)	/* per app; several rows each */

/* Why an instance was restarted; status_restart_name() has the words. */
enum status_restart {
	STATUS_RESTART_EXIT,
	STATUS_RESTART_FAILURE,
	STATUS_RESTART_SIGNAL,
	STATUS_RESTART_OOM,
	STATUS_RESTART_TIMEOUT,
	STATUS_RESTART_START,
	STATUS_RESTARTS
};

enum status_role {
	STATUS_SEAT,		/* the occupant */
	STATUS_NEXT,		/* a reload's new worker */
	STATUS_RETIRING,	/* finishes what it has */
};

struct status_instance {
	enum status_role role;
	char *state;
	char *death;
	uint64_t instance;	/* its number; always known */
	uint64_t pid;
	uint64_t generation;
	uint64_t uptime_ms;
	uint64_t ready_ms;
	uint64_t restart_in_ms;
	uint64_t cpu_ns;
	uint64_t memory_bytes;
	uint64_t waiting;
	uint64_t connections;
	uint64_t connections_total;
	uint64_t restarts[STATUS_RESTARTS];
	uint64_t death_ago_ms;
	uint64_t healthy;	/* 0 or 1; of one that is checked */
	uint64_t check_ns;	/* what its last check took */
	char *unhealthy;	/* what is wrong with it */
	uint64_t recycles_unhealthy;
	uint64_t recycles_memory;
	uint64_t recycles_age;
	uint64_t recycles_connections;
	uint64_t cpu_permille;	/* of one CPU; see status_measure() */
};

struct status_listener {
	char *address;		/* never NULL */
	char *balance;
	char *state;
	uint64_t lanes;
	uint64_t waiting;
	uint64_t backlog;
	uint64_t dropped;
};

struct status_app {
	char *name;		/* never NULL, and no other app's */
	char *state;
	char *reload_error;
	char *stdout_to;	/* "stdout" is a macro */
	char *stderr_to;
	uint64_t generation;
	uint64_t wanted;
	uint64_t least;		/* … of a range, within which it scales */
	uint64_t most;
	uint64_t ready;
	uint64_t target;
	uint64_t moved;
	uint64_t reloads_ok;
	uint64_t reloads_aborted;
	uint64_t scalings_waiting;	/* by itself */
	uint64_t scalings_busy;
	uint64_t scalings_idle;

	struct status_listener *listeners;
	size_t n_listeners, cap_listeners;
	struct status_instance *instances;	/* as they came */
	size_t n_instances, cap_instances;
};

struct status_clusterd {
	char *version;
	char *config;
	char *state;
	uint64_t pid;
	uint64_t uptime_ms;
	uint64_t cpu_ns;
	uint64_t memory_bytes;
	uint64_t reloads_refused;
	uint64_t supervisor_restarts;
	char *supervisor_death;		/* of the last one that died */
	uint64_t on_event_runs;
	uint64_t on_event_failures;
	uint64_t on_event_dropped;
	uint64_t cpu_permille;
};

struct status {
	bool told;			/* there was a clusterd record */
	struct status_clusterd clusterd;
	struct status_app *apps;
	size_t n_apps, cap_apps;
	size_t left_out;		/* records, beyond what there can be */
};

/* All zero; numbers in it become unknown with the first record. */
#define STATUS_INIT { .told = false }

/*
 * Take a record in; other lines, unknown words and keys are ignored, and so is
 * a record without the keys that say what it is about. An app, and clusterd,
 * may be told again: the later word holds. -ENOMEM: it is not in it.
 */
int status_add(struct status *status, const struct answer_line *line);

void status_free(struct status *status);

/*
 * Fill in every cpu_permille: over the time between two samples, where
 * `before` has the same process (the same app, instance and pid), else over
 * the process's life. Call it once, before showing; else CPU is not shown.
 */
void status_measure(struct status *status, const struct status *before);

/* The restarts of all reasons that are known; unknown if none is. */
uint64_t status_restarts(const struct status_instance *instance);
const char *status_restart_name(enum status_restart reason);
const char *status_role_name(enum status_role role);

/* a + b, where neither is unknown, at most STATUS_MOST; else the one that is
   known, or STATUS_UNKNOWN. */
uint64_t status_sum(uint64_t a, uint64_t b);

/* What an app's instances have together, retiring ones included, unknown where
   that is so of all of them; and its listeners. */
struct status_sums {
	uint64_t cpu_permille;
	uint64_t memory_bytes;
	uint64_t connections;
	uint64_t waiting;		/* in the listeners' queues */
	uint64_t backlog;
	size_t rows[STATUS_RETIRING + 1];	/* by role */
};

struct status_sums status_app_sums(const struct status_app *app);

/* The fields of a record, in the order in which they are told, and where they
   are in its struct, uint64_t if numbers, else char *. Not among them: app,
   instance and role. */
struct status_key {
	const char *name;
	bool number;
	size_t offset;
};

const struct status_key *status_clusterd_keys(size_t *ret_n);
const struct status_key *status_app_keys(size_t *ret_n);
const struct status_key *status_listener_keys(size_t *ret_n);
const struct status_key *status_instance_keys(size_t *ret_n);

#endif
