/* What apps listen on, and no two of them may. */
#ifndef DAEMON_APPS_APP_LISTENS_H
#define DAEMON_APPS_APP_LISTENS_H

struct apps;
struct conf_app;
struct error;

/*
 * May an app with this configuration be put in force alone, beside what is in
 * force of the others? -EADDRINUSE with words: another one serves one of its
 * addresses.
 */
int apps_check_listens(const struct apps *apps, const struct conf_app *conf,
    struct error *err);

#endif
