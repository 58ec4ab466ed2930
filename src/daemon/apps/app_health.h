/* Who of an app's is replaced because it is not well: when, and what became of it.
   Of daemon/apps; app_rollout carries it out. */
#ifndef DAEMON_APPS_APP_HEALTH_H
#define DAEMON_APPS_APP_HEALTH_H

#include <stdbool.h>

struct app;

int app_health_init(struct app *app);
void app_health_fini(struct app *app);

/* An instance that is to be replaced now; -1: none is. */
int app_health_choose(struct app *app);

/* Its replacement begins; has taken the seat; came to nothing; or a reload comes
   before it is known. The last three are to be told of every restart of an
   instance. */
void app_health_begin(struct app *app, unsigned instance);
void app_health_taken(struct app *app);
void app_health_failed(struct app *app);
void app_health_superseded(struct app *app);

#endif
