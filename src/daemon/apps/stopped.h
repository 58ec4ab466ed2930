/*
 * Apps that are stopped by request: configured, and not running until somebody
 * starts them. A reload gives them the new configuration, and does not start
 * them.
 */
#ifndef DAEMON_APPS_STOPPED_H
#define DAEMON_APPS_STOPPED_H

struct apps;
struct conf_app;
struct config;
struct stopped_app;

/* An app that was stopped while this was in force; a reference is taken.
   -ENOMEM. */
int stopped_put(struct apps *apps, struct config *config,
    const struct conf_app *conf);

/* Is an app of that name stopped? Else NULL. */
struct stopped_app *stopped_find(const struct apps *apps, const char *name);

/* It is started, and not stopped any more. */
void stopped_drop(struct apps *apps, const struct stopped_app *stopped);

/* A new configuration is in force: those that it does not name are gone. */
void stopped_reload(struct apps *apps, struct config *config);

void stopped_free(struct apps *apps);

#endif
