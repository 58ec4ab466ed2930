/*
 * The configurations of an app, and how it gets from one to the next:
 * core/worker/rollout decides, this carries out.
 */
#ifndef DAEMON_APPS_APP_ROLLOUT_H
#define DAEMON_APPS_APP_ROLLOUT_H

#include <stdbool.h>

struct app;
struct app_spec;
struct conf_app;
struct config;
struct error;
struct listener;

/* A new app begins with this configuration. Takes a reference. -ENOMEM, and
   nothing to free. */
int app_rollout_init(struct app *app, struct app_spec *spec);
void app_rollout_free(struct app *app);

/* Begin a rollout to `spec`; one that is under way is superseded. */
void app_roll(struct app *app, struct app_spec *spec);

/* What is in force, or tried, is renewed: nobody is replaced. The number of
   instances follows if the configuration's has changed: true if it is another one,
   and there is anybody to scale. Not `changed`: for its memory alone. */
bool app_renew(struct app *app, struct config *config,
    const struct conf_app *conf, bool changed);

/*
 * Replace the workers, or the one of an instance (-1: all), by new ones of the
 * configuration in force, as a rollout does. -errno with words.
 */
int app_restart(struct app *app, int instance, struct error *err);

/* So many seats more or less; never under one, nor over the limit, nor out of the
   range that the configuration has. `why`, in words; NULL: as asked. */
void app_scale(struct app *app, int by, const char *why);

/* A listener of it is another socket now: those who have the old one are deaf,
   and are replaced one by one. */
void app_note_deaf(struct app *app, const struct listener *listener);

/* At a turn's end: whatever the rollout that is under way can do now; without
   one every seat has its worker, unless all have ended. */
void app_rollout_turn(struct app *app);

#endif
