/*
 * The new workers of a rollout, on trial: they are looked at, core/worker/trial
 * says what that means, and new connections avoid who keeps somebody waiting.
 */
#ifndef DAEMON_APPS_APP_TRIALS_H
#define DAEMON_APPS_APP_TRIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/worker/trial.h"

struct app;
struct mono;
struct worker;

/* -ENOMEM, and nothing to free. */
int trials_init(struct app *app);
void trials_fini(struct app *app);

/* During a rollout: look at them, share new connections out, and touch the app
   when it is time to look again. */
void trials_look(struct app *app);

/* How long the first new worker has to live; 0: nobody is on trial. */
int64_t trials_canary_ms(const struct app *app);

/* TRIAL_NEW also of one that is not on trial. */
enum trial_verdict trials_verdict(const struct app *app,
    const struct worker *worker);

/* Is the new worker of the seat ready, with nothing that speaks against it so far? When
   its trial is over at the soonest. */
bool trials_goes_well(const struct app *app, unsigned seat,
    struct mono *ret_over);

/* Has any of them kept somebody waiting? */
bool trials_any_slow(const struct app *app);

#endif
