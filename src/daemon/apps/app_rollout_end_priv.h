/* How a rollout ends, and what its configuration then is. For daemon/apps. */
#ifndef DAEMON_APPS_APP_ROLLOUT_END_PRIV_H
#define DAEMON_APPS_APP_ROLLOUT_END_PRIV_H

struct app;
struct app_spec;
struct rollout_view;

/* A reference becomes what is stable. */
void rollout_put_in_force(struct app *app, struct app_spec *spec);

/* The number that the configuration has; 0: a range, in which it scales. */
unsigned rollout_number_of(const struct app_spec *spec);

/* Nobody is to be replaced by the next one because the last one would have. */
void rollout_forget_outdated(struct app *app);

/* All have changed over. */
void rollout_finish(struct app *app);

/* Instance `i` ends it: back to what is stable, or on to what serves already. */
void rollout_give_up(struct app *app, unsigned i,
    const struct rollout_view *view);

#endif
