/* What is legal in `env`, and most likely not what is meant. */
#ifndef CORE_CONF_ADVICE_ENV_H
#define CORE_CONF_ADVICE_ENV_H

struct conf_app;
struct conf_errors;
struct conf_keys;

/* Each entry of the key, if it was read. */
void advice_env(const struct conf_keys *keys, struct conf_errors *warnings);

/* PORT, in place of the one that the workers would be told. */
void advice_env_port(const struct conf_keys *keys, const struct conf_app *app,
    struct conf_errors *warnings);

#endif
