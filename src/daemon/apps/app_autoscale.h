/*
 * Apps with a range of instances are looked at, and get one more or one less, as
 * `scale` does it: core/worker/autoscale decides. Nobody else is looked at.
 */
#ifndef DAEMON_APPS_APP_AUTOSCALE_H
#define DAEMON_APPS_APP_AUTOSCALE_H

struct app;

/* -ENOMEM. Undone by _fini. */
int app_autoscale_init(struct app *app);
void app_autoscale_fini(struct app *app);

/* At the end of a turn in which something about the app has changed: it has no
   more and no fewer than its range says, whatever it had before. */
void app_autoscale_turn(struct app *app);

#endif
