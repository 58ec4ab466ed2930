/*
 * An app at run time: its seats, and the rollout that takes them from one
 * configuration to the next.
 */
#ifndef DAEMON_APP_H
#define DAEMON_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/worker/restart.h"
#include "core/worker/rollout.h"
#include "daemon/workers/workers.h"

struct app_spec;
struct conf_app;
struct error;
struct apps;
struct worker;

struct seat {
	struct worker *present;	/* NULL: none */
	struct worker *next;	/* a rollout's new worker, on trial */
	/* What has become of its workers, whichever they were: */
	uint64_t restarts[RESTART_CAUSES];
	char *death;		/* of the latest, in words; NULL: none */
	struct mono died;
};

struct app {
	struct crew crew;		/* first: app_of() */
	struct apps *apps;
	struct app *next_app;
	uint64_t number;		/* in the order of their additions */
	uint64_t added_by;		/* that reload's number; 0: none */
	unsigned generation;		/* the latest that was given out */
	struct rollout rollout;		/* to crew.target */
	uint64_t reloads_ok;
	uint64_t reloads_aborted;
	char *reload_error;		/* why the last was aborted, or NULL */
	struct seat *seats;
	unsigned n_seats;
	unsigned stable_wanted;		/* … before the rollout */
	bool dirty;
	bool settled;		/* every seat was ready or final once */
	bool over;		/* every seat is final: listeners are closed,
				   once nobody retires any more */
	bool failed;		/* … and at least one of them badly */
};

/*
 * Add an app and start its seats. Takes a reference. `initial`: at the start of
 * the program, which ends if this app's program cannot be executed. -ENOMEM.
 */
int app_add(struct apps *apps, struct app_spec *spec, bool initial);

/* So many seats more or less; never under one, nor over the limit. */
void app_scale(struct app *app, int by);

/*
 * Replace the workers, or the one of an instance (-1: all), by new ones of the
 * configuration in force, as a rollout does. -errno with words.
 */
int app_restart(struct app *app, int instance, struct error *err);

/* It is not configured any more: its workers finish what they have, and it goes
   when they have gone. */
void app_remove(struct app *app);

/* Stop every worker now; the app goes when they have gone. */
void app_stop(struct app *app);
void app_kill(struct app *app);

struct app *app_of(struct crew *crew);

/* What apps are told of their workers, as struct worker_events has it. */
void app_worker_stepped(struct worker *worker, const struct worker_step *step);
void app_worker_ended(struct worker *worker, const struct worker_step *step,
    enum restart_cause cause, const char *words);

/* Something about a worker changed: app_advance() comes, at the turn's end. */
void app_touch(struct app *app);

/* What the changes of this turn call for. The app may be freed. */
void app_advance(struct app *app);

struct app *app_find(struct apps *apps, const char *name);

/* Is one of that name, which was removed or stopped, still on its way out? */
bool app_lingers(const struct apps *apps, const char *name);

/*
 * May an app with this configuration be put in force alone, beside what is in
 * force of the others? -EADDRINUSE with words: another one serves one of its
 * addresses.
 */
int app_check_listens(const struct apps *apps,
    const struct conf_app *conf, struct error *err);

/* Are there workers without a seat that have not gone yet? */
bool app_retires(const struct app *app);

/* Seats whose worker is ready. */
unsigned app_ready_count(const struct app *app);

#endif
