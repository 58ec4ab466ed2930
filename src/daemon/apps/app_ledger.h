/* What stands of apps in the ledger: under which configuration they run, and how
   many seats they have. Of daemon/apps. Without a ledger nothing is done. */
#ifndef DAEMON_APPS_APP_LEDGER_H
#define DAEMON_APPS_APP_LEDGER_H

struct app;
struct apps;
struct config;
struct ledger;
struct ledger_conf;
struct stopped_app;

/* From now on they stand in the ledger, if there is one, under what is in force of the
   program. */
void app_ledger_keep(struct apps *apps, struct ledger *ledger,
    const struct config *config);

/* What a supervisor before has written of one that begins. */
void app_ledger_take_over(struct app *app, const struct ledger_conf *record);

/* As it is now, at the end of a turn: whoever is killed in between leaves what was
   in force before. It is gone, or on its way out. */
void app_ledger_note(struct app *app);
void app_ledger_drop(struct app *app);

/* One that is stopped by request; it is started, or forgotten. */
void app_ledger_stopped(struct apps *apps, struct stopped_app *stopped);
void app_ledger_started(struct apps *apps, struct stopped_app *stopped);

/* What is in force of the program. */
void app_ledger_program(struct apps *apps, const struct config *config);

#endif
