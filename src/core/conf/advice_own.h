/* What clusterd opens for itself, and cannot, as far as somebody looks: conf_host. */
#ifndef CORE_CONF_ADVICE_OWN_H
#define CORE_CONF_ADVICE_OWN_H

struct conf_app;
struct conf_errors;
struct conf_host;
struct conf_keys;
struct config;

/*
 * Of [clusterd], whose keys were read: log, pidfile, control socket, web_token_file
 * and the program of on_event; warnings go to the config. Only if host->testing: at
 * a start the failure is told.
 */
void advice_own(const struct conf_keys *keys, const struct conf_host *host,
    struct config *config);

/* The same of an app: its Unix sockets, whose lines are known, and the program of
   its health. */
void advice_own_app(const struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app, struct conf_errors *warnings);

#endif
