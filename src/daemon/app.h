/*
 * An app at run time: its seats, and the rollout that takes them from one
 * configuration to the next.
 */
#ifndef DAEMON_APP_H
#define DAEMON_APP_H

#include <stdbool.h>
#include <stddef.h>

struct app_spec;
struct supervisor;
struct worker;

struct seat {
	struct worker *present;	/* NULL: none */
	struct worker *next;	/* a rollout's new worker, on trial */
};

struct app {
	struct supervisor *sup;
	struct app *next_app;
	char *name;
	unsigned generation;		/* the latest that was given out */
	struct app_spec *stable;	/* in force */
	struct app_spec *target;	/* of the rollout; NULL: none */
	bool rolling_back;
	struct seat *seats;
	unsigned n_seats;
	unsigned wanted;		/* seats */
	unsigned stable_wanted;		/* … before the rollout */
	struct worker *workers;		/* all: seated, on trial, retiring */
	bool dirty;
	bool unseen_told;	/* that connections cannot be seen */
	bool port_hinted;	/* that an app without listeners could have */
	bool settle;		/* its addresses, see daemon/adopt */
	bool settled;		/* every seat was ready or final once */
	bool initial;		/* there from the start of the program */
	bool executed;		/* some worker of it ever was */
	bool stopping;		/* removed, or the program stops */
	bool over;		/* every seat is final: listeners are closed,
				   once nobody retires any more */
	bool failed;		/* … and at least one of them badly */
};

/*
 * Add an app and start its seats. Takes a reference. `initial`: at the start of
 * the program, which ends if this app's program cannot be executed. -ENOMEM.
 */
int app_add(struct supervisor *sup, struct app_spec *spec, bool initial);

/* So many seats more or less; never under one, nor over the limit. */
void app_scale(struct app *app, int by);

/* It is not configured any more: its workers finish what they have, and it goes
   when they have gone. */
void app_remove(struct app *app);

/* Stop every worker now; the app goes when they have gone. */
void app_stop(struct app *app);
void app_kill(struct app *app);

/* Something about a worker changed: app_advance() comes, at the turn's end. */
void app_touch(struct app *app);

/* What the changes of this turn call for. The app may be freed. */
void app_advance(struct app *app);

struct app *app_find(struct supervisor *sup, const char *name);

/* Are there workers without a seat that have not gone yet? */
bool app_retires(const struct app *app);

/* Seats whose worker is ready. */
unsigned app_ready_count(const struct app *app);

#endif
