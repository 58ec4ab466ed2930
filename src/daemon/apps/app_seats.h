/* The seats of an app, for its own files: app.c and app_rollout.c. */
#ifndef DAEMON_APP_SEATS_H
#define DAEMON_APP_SEATS_H

#include <stdbool.h>

struct app;
struct app_spec;
struct worker;

/* At least n places; new ones are empty. False: no memory. */
bool app_seats_ensure(struct app *app, unsigned n);

/* Outside a rollout: every wanted seat has a worker, the others have none. */
void app_seats_fill(struct app *app);

/* Who has the last one retires. */
void app_seats_drop_last(struct app *app);

/* Put a new worker of `spec` into a place and start it. False: no memory. */
bool app_seat_start(struct app *app, struct worker **place,
    struct app_spec *spec, unsigned instance, bool trial);

/* Take a worker, if there is one, from its seat; `how` is what becomes of it,
   app_advance() frees it. */
void app_seat_unseat(struct worker **place, void (*how)(struct worker *));

/* … to finish what it has. */
void app_seat_retire(struct worker **place);

/* The app does without it: a reference less. */
void app_leave_spec(struct app *app, struct app_spec *spec);

#endif
