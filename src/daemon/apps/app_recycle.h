/*
 * Workers that have grown, lived or served enough are replaced, one of an app at a
 * time, as `restart APP:N` does: core/worker/recycle decides. Only where an app
 * asks for it is anybody looked at, all within RECYCLE_LOOK_MS.
 */
#ifndef DAEMON_APPS_APP_RECYCLE_H
#define DAEMON_APPS_APP_RECYCLE_H

struct app;
struct apps;

#define RECYCLE_LOOK_MS 1000

/* -ENOMEM. Undone by _fini. */
int app_recycle_init(struct apps *apps);
void app_recycle_fini(struct apps *apps);

/* At a turn's end of the app: somebody may have to be looked at. */
void app_recycle_turn(struct app *app);

#endif
