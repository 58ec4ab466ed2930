/*
 * The apps that run: all of them, and each from its addition until its last
 * worker has gone. The files of this room, each of which knows only those
 * before it:
 *
 *   app.c          the records; what can be told from them
 *   app_order.c    which comes before which
 *   seats.c        who has a seat of an app, and who is on trial beside him
 *   app_trials.c   whether the new workers of a rollout serve
 *   abort_words.c  why one was aborted
 *   app_rollout_end.c   how one ends: complete, or aborted
 *   app_rollout_step.c  what can be done of one now
 *   app_rollout.c  from one configuration to the next
 *   app_recycle.c  those that have grown, lived or served enough
 *   app_autoscale.c those whose load asks for more instances, or fewer
 *   stopped.c      apps that are stopped by request
 *   app_specs.c    the specs of a whole configuration
 *   apps.c         the list; additions, removals, the end of a turn
 */
#ifndef DAEMON_APPS_APPS_H
#define DAEMON_APPS_APPS_H

#include <stdbool.h>

#include "core/worker/restart.h"
#include "daemon/apps/app.h"
#include "daemon/sockets/listener.h"

struct app_spec;
struct conf_app;
struct error;
struct strbuf;
struct worker;
struct worker_step;

struct apps_setup {
	struct workers *workers;
	struct listeners *listeners;
	struct outputs *outputs;
	struct steering *steering;
	struct adopt_review *review;
	struct life *life;
	const struct apps_watch *watch;
	void *watch_ctx;
};

/* None yet. Undone by apps_stop(), and turns until all have gone. */
void apps_init(struct apps *apps, const struct apps_setup *setup);

/* When the workers have a loop: before the first is added. -ENOMEM. Undone by
   _close, with the loop still there. */
int apps_open(struct apps *apps);
void apps_close(struct apps *apps);

/*
 * Add an app and start its seats. Takes a reference. `initial`: at the start of
 * the program, which ends if this app's program cannot be executed. -ENOMEM.
 */
int apps_add(struct apps *apps, struct app_spec *spec, bool initial);

/* The same at the start, of one that a supervisor before had. */
struct ledger_conf;
int apps_add_again(struct apps *apps, struct app_spec *spec,
    const struct ledger_conf *record);

/* It is not configured any more: its workers finish what they have, and it goes
   when they have gone. */
void apps_remove(struct app *app);

/* The same, to be started again by request. -ENOMEM with words: it runs on. */
int apps_stop_one(struct app *app, struct error *err);

/* As group_provide_limits(), when nothing refuses them any more, and before they are
   put in force. */
void apps_provide_limits(struct apps *apps, const struct config *config,
    const bool *which);

/* Start one that is stopped. -errno with words: it stays so. */
int apps_start_one(struct apps *apps, const char *name, struct error *err);

/*
 * New clients are refused, every worker finishes what it has and is stopped, and
 * apps go when theirs have. All are told so within a budget for each turn: see
 * apps_have_retired(). Returns for how long the last of them may take from then
 * on, in ms; apps_stop() is for those that take longer than that.
 */
int64_t apps_drain(struct apps *apps);

/* Have all who are to retire been told so? */
bool apps_have_retired(const struct apps *apps);

/* One of these two is about to be: whoever is added is there to leave, and nobody is
   started. */
void apps_are_stopping(struct apps *apps);

/* Stop every worker now, and start none any more; apps go when theirs have. */
void apps_stop(struct apps *apps);
void apps_kill(struct apps *apps);

/* So many seats more or less for each of them. */
void apps_scale(struct apps *apps, int by);

/* Another reload was asked for: apps that it adds are added by this one. */
void apps_count_reload(struct apps *apps);

/* `instances = auto` is what CPUs there were when this was read. */
void apps_count_cpus(struct apps *apps, const struct config *config);

/* For listeners_on_death(): of `ctx`, the apps. */
enum listener_fate apps_listener_died(void *ctx, struct listener *listener);

/* For struct worker_events. */
void apps_worker_stepped(struct worker *worker,
    const struct worker_step *step);
void apps_worker_ended(struct worker *worker, const struct worker_step *step,
    enum restart_cause cause, const char *words);
void apps_worker_finished(struct worker *worker);

/* For struct health_watch: of `ctx`, the apps. */
void apps_worker_health(void *ctx, struct worker *worker,
    enum health_news news, const char *words);

/* At the end of a turn: what its changes call for. False: there were none.
   Those that it brings about are for the next call. */
bool apps_turn(struct apps *apps);

/* It has come to its end: the next one has time again. */
void apps_end_turn(struct apps *apps);

/* Instances of all apps. */
void apps_count(const struct apps *apps, unsigned *ret_ready,
    unsigned *ret_wanted);

/* Have all come up, or failed once, and is no rollout under way? Then those that
   have not come up are _name_failed, by commas, added to `sb`. */
bool apps_have_come_up(const struct apps *apps);
void apps_name_failed(const struct apps *apps, struct strbuf *sb);

/* Has every app ended for good, so that nothing is left to supervise? */
bool apps_are_over(const struct apps *apps, bool *ret_failed);

/* Is SIGKILL all that can still be done about every worker that is left? */
bool apps_only_killed_left(const struct apps *apps);

#endif
