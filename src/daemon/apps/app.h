/*
 * The records of apps, and what can be told from them. Each field is written by
 * the file that is named with it, and by no other.
 */
#ifndef DAEMON_APPS_APP_H
#define DAEMON_APPS_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/control/event.h"
#include "core/health/health.h"
#include "core/health/recycle.h"
#include "core/worker/autoscale.h"
#include "core/worker/restart.h"
#include "core/worker/rollout.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer_proof.h"
#include "daemon/workers/workers.h"
#include "linux/loop/loop.h"

struct adopt_review;
struct app;
struct ledger;
struct ledger_conf;
struct life;
struct listener;
struct steering;
struct stopped_app;
struct worker;

/* Whoever wants to hear of workers; set once. */
struct apps_watch {
	void (*stepped)(void *ctx, const struct worker *worker,
	    const struct worker_step *step);
	void (*ended)(void *ctx, const struct worker *worker,
	    const struct worker_step *step, const char *words);
	/* It is not well, as `words` say, or is again. */
	void (*health)(void *ctx, const struct worker *worker, bool unwell,
	    const char *words);
	/* Of an app itself; `words` may be NULL, and so may this be. */
	void (*news)(void *ctx, const struct app *app, enum event_kind kind,
	    const char *words);
};

/* The apps that run, and those that are stopped by request. */
struct apps {
	/* Whom they ask; given to apps_init(). */
	struct workers *workers;
	struct steering *steering;
	struct adopt_review *review;
	struct life *life;
	const struct apps_watch *watch;
	void *watch_ctx;

	/* apps.c */
	struct app_house house;
	struct app *first;		/* removed ones until they are gone */
	uint64_t n_added;
	uint64_t n_reloads;		/* asked for */
	struct ledger *ledger;		/* in which they stand; NULL: in none */
	uint32_t record;		/* app_ledger's: of the program */
	bool stopping;
	bool refusing;			/* new clients of all listeners are to
					   be refused, as there is time */
	/* app_order.c */
	bool ordered;			/* some came after others */
	uint64_t marks;			/* searches so far */
	/* stopped.c */
	struct stopped_app *stopped;
	/* app.c */
	bool dirty;			/* an app is */
	struct mono time_ends;		/* of this turn; all zero: has not begun */
	struct loop_timer go_on;	/* in the next one … */
	uint64_t behind;		/* … with this app's number first */
	/* app_recycle.c */
	struct loop_timer recycle;	/* when workers are looked at */
	uint64_t recycle_app;		/* a round goes on at this app's number … */
	unsigned recycle_seat;		/* … and seat; 0 and 0: it begins */
	struct mono recycle_began;
	struct loop_budget looks;	/* of a turn: apps_have_looks() */
	struct mono look_late;		/* the last that waits for the next one */
};

/* stopped.c: one that is stopped by request */
struct stopped_app {
	struct stopped_app *next;
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
	uint32_t record;		/* app_ledger's */
};

/* seats.c */
struct seat {
	struct worker *present;	/* NULL: none */
	struct worker *next;	/* a rollout's new worker, on trial … */
	enum restart_cause next_end;	/* … and how it ended */
	bool anew;		/* the rollout has begun it anew, for nobody
				   would have reached it */
	/* What has become of its workers, whichever they were: */
	uint64_t restarts[RESTART_CAUSES];
	uint64_t recycles[RECYCLE_CAUSES];
	char *death;		/* of the latest, in words; NULL: none */
	struct mono died;
};

struct app {
	struct crew crew;		/* first: app_of() */
	/* apps.c, and of crew the rest */
	struct apps *apps;
	struct app *next_app;
	uint64_t added_by;		/* that reload's number; 0: none */
	bool came_up;		/* every seat was ready or final once */
	bool tried;		/* one of its workers has ended before that */
	uint32_t record;	/* app_ledger's */
	uint64_t to_retire;	/* its workers up to that number, as there
					   is time; 0: none */
	/* app_rollout.c, and crew's stable, target and wanted */
	struct rollout rollout;		/* to crew.target */
	unsigned generation;		/* the latest that was given out */
	uint64_t renewed_by;		/* the latest reload that concerned it */
	uint64_t scaled_by;		/* the latest that has scaled it … */
	unsigned scaled_from;		/* … from so many instances */
	uint64_t reloads_ok;
	uint64_t reloads_aborted;
	char *reload_error;		/* why the last was aborted, or NULL */
	bool over;			/* every seat is final: listeners are closed,
				   once nobody retires any more */
	bool failed;		/* … and at least one of them badly */
	/* app_trials.c */
	struct loop_timer look;		/* at the new workers */
	struct steer_proof proof;	/* … of whom nobody was seen to come */
	/* app_health.c */
	struct health_ward ward;
	struct loop_timer ward_timer;	/* when the next may be replaced */
	bool recycling;			/* the restart under way is for … */
	unsigned recycled;		/* … this instance's health */
	/* seats.c */
	struct seat *seats;
	unsigned n_seats;
	/* app_order.c; where a supervisor before has begun it, seats.c and
	   apps.c */
	bool waits;		/* with its start or its reload, for apps that
				   come before it */
	bool told_waits;	/* … and that was logged */
	bool held;		/* at a stop it goes on for those that come after
				   it */
	uint64_t mark;		/* of the latest search that has been here */
	/* app_recycled.c */
	struct recycle_pace pace;
	bool recycles;		/* the rollout is app_recycle's */
	enum recycle_cause wear_cause;	/* … for that cause … */
	unsigned wear_seat;	/* … of the worker of that seat … */
	char *wear_words;	/* … and in words; NULL: no memory */
	bool too_young;		/* … of one that had served hardly */
	/* app_recycle.c */
	bool uncounted;		/* it was told that connections are not */
	/* app_autoscale.c */
	struct autoscale autoscale;
	struct loop_timer autoscale_look;	/* when it is looked at … */
	unsigned autoscale_seat;	/* … and goes on here; 0: it begins */
	struct autoscale_queue common_queue;
	uint64_t autoscaled[AUTOSCALE_REASONS];
	/* app.c */
	bool dirty;
};

struct app *app_of(struct crew *crew);

/* Whoever wants to hear of it does. */
void app_tell(const struct app *app, enum event_kind kind, const char *words);

/* Borrowed, as long as the app is there. */
const char *app_name(const struct app *app);

/* What it is to run under: what a rollout tries, else what is in force. */
struct app_spec *app_latest(const struct app *app);

/* The one of that name, unless it is on its way out; or NULL. */
struct app *apps_find(const struct apps *apps, const char *name);

/* Is one of that name, which was removed or stopped, still on its way out? */
bool apps_lingers(const struct apps *apps, const char *name);

/* Something about a worker, or about no app in particular, has changed:
   apps_turn() has something to do at the turn's end. */
void app_touch(struct app *app);
void apps_touch(struct apps *apps);

/*
 * Is there any time left for apps in this turn? Else what may wait, waits for the
 * next one, so that everybody else gets a turn as well: app_later() sees to it
 * that it comes. At a stop there always is.
 */
bool apps_have_time(struct apps *apps);
/* … and for looks at what workers use, of all apps together? */
bool apps_have_looks(struct apps *apps);
/* There is none, or what was begun is to be gone on with: `timer`, which is off, comes
   in the next turn, before those that ask later. */
void apps_look_later(struct apps *apps, struct loop_timer *timer);
void app_later(struct app *app);

/* The same, where it may have got on in this turn: then whoever else has to wait
   comes before it in the next one. */
void app_go_on_later(struct app *app, bool got_on);

/* Has something changed since it was last asked? For apps_turn() alone. */
bool app_touched(struct app *app);
bool apps_touched(struct apps *apps);

/* Has this reload, or a later one, added it or put something new in force? */
bool app_came_by(const struct app *app, uint64_t reload);

/* Does an app that runs, and goes on, have this listener? */
bool apps_want(const struct apps *apps, const struct listener *listener);

/* Are there workers without a seat that have not gone yet? */
bool app_retires(const struct app *app);

/* Seats whose worker is ready. */
unsigned app_ready_count(const struct app *app);

/* Its workers of this spec (NULL: none) retire, and serve what they have until
   they have finished; its listeners that nobody else has take no new clients. */
void app_close_doors(const struct app *app, const struct app_spec *spec);

/* The same of all of its listeners, and new clients are refused where that can
   be had; the app is on its way out, and will not have them again. */
void app_refuse(const struct app *app);

#endif
