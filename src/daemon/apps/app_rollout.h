/* How an app gets from one configuration to the next: core/rollout decides,
   this carries out. */
#ifndef DAEMON_APP_ROLLOUT_H
#define DAEMON_APP_ROLLOUT_H

#include <stdbool.h>

struct app;
struct app_spec;

/* Begin a rollout to `spec`; one that is under way is superseded. */
void app_roll(struct app *app, struct app_spec *spec);

/* One decision of the rollout that is under way, carried out; false when there
   is nothing more to do now. */
bool app_rollout_step(struct app *app);

#endif
