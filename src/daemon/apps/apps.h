/* The apps that run, and those that are stopped by request. */
#ifndef DAEMON_APPS_APPS_H
#define DAEMON_APPS_APPS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/worker/restart.h"
#include "daemon/spec/app_spec.h"

struct adopt;
struct app;
struct life;
struct steering;
struct stopped_app;
struct worker;
struct worker_step;
struct workers;

/* Whoever wants to hear of workers; set once. */
struct apps_watch {
	void (*stepped)(void *ctx, const struct worker *worker,
	    const struct worker_step *step);
	void (*ended)(void *ctx, const struct worker *worker,
	    const struct worker_step *step, const char *words);
};

struct apps {
	struct app *first;		/* removed ones until they are gone */
	struct stopped_app *stopped;
	struct workers *workers;
	struct listeners *listeners;
	struct outputs *outputs;
	struct steering *steering;
	struct adopt *adopt;
	struct life *life;
	struct app_house house;
	const struct apps_watch *watch;
	void *watch_ctx;
	uint64_t n_added;
	uint64_t n_reloads;		/* config: asked for */
	bool dirty;			/* an app is */
	bool stopping;
};

/* Something that the end of the turn looks at has changed. */
static inline void
apps_touch(struct apps *apps)
{
	apps->dirty = true;
}

#endif
