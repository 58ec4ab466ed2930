/* A rollout's steps, and what it is told of workers. For daemon/apps. */
#ifndef DAEMON_APPS_APP_ROLLOUT_STEP_PRIV_H
#define DAEMON_APPS_APP_ROLLOUT_STEP_PRIV_H

#include <stdbool.h>

#include "core/worker/restart.h"

struct app;
struct worker;
struct worker_step;

/* What can be done of the one that is under way; false when there is nothing more
   to do now. */
bool rollout_step(struct app *app);

/* A seated worker's process has ended, or none could be started. */
void app_rollout_note_end(struct worker *worker,
    const struct worker_step *step, enum restart_cause cause);

/* A worker has made a step; one that drains has nothing left to finish. */
void app_rollout_note_step(struct worker *worker,
    const struct worker_step *step);
void app_rollout_note_finished(struct worker *worker);

#endif
