/*
 * Apps that are stopped by request: configured, and not running until somebody
 * starts them. A reload gives them the new configuration, and does not start
 * them.
 */
#ifndef DAEMON_STOPPED_H
#define DAEMON_STOPPED_H

#include <stdbool.h>
#include <stddef.h>

struct app;
struct config;
struct conf_app;
struct error;
struct apps;

struct stopped_app {
	struct stopped_app *next;
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
};

/* Stop an app, to be started again: its workers finish what they have. -ENOMEM
   with words: it runs on. */
int stopped_put(struct app *app, struct error *err);

/* Is an app of that name stopped? Else NULL. */
const struct stopped_app *stopped_find(const struct apps *apps,
    const char *name);

/* Start it. -errno with words: it stays stopped. */
int stopped_start(struct apps *apps, const char *name,
    struct error *err);

/* A new configuration is in force: those that it does not name are gone. */
void stopped_reload(struct apps *apps, struct config *config);

void stopped_free(struct apps *apps);

#endif
