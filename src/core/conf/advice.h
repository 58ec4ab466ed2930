/*
 * What is legal in a configuration, and most likely not what is meant: warnings
 * for its author, with file and line, that nothing is refused for. A warning
 * that is wrong is worse than none.
 */
#ifndef CORE_CONF_ADVICE_H
#define CORE_CONF_ADVICE_H

struct conf_app;
struct conf_errors;
struct conf_host;
struct conf_keys;
struct config;

/* Of an app whose keys were read; those that are bad are left out. */
void advice_app(const struct conf_keys *keys, const struct conf_host *host,
    const struct conf_app *app, struct conf_errors *warnings);

/* One for all apps: that their workers are root. */
void advice_root(struct config *config, const struct conf_host *host);

#endif
