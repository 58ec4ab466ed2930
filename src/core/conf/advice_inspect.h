/* The port that a debugger is to come by, which only one process can have. */
#ifndef CORE_CONF_ADVICE_INSPECT_H
#define CORE_CONF_ADVICE_INSPECT_H

#include <stdbool.h>

struct conf_app;
struct conf_errors;
struct conf_keys;

/*
 * The port of --inspect and its like in the command of Node.js, Deno or Bun, or
 * in NODE_OPTIONS of env, env_file or `env` (clusterd's own; may be NULL).
 * 0: each instance has one of its own, or any; -1: there is none. *ret_in_env
 * (may be NULL): it is in NODE_OPTIONS.
 */
int advice_inspect_port(const struct conf_app *app, char *const *env,
    bool *ret_in_env);

/* Is a port on which a worker listens most likely that one? */
bool advice_inspect_may_be(const struct conf_app *app, char *const *env,
    unsigned port);

/* Said of an app with several instances. */
void advice_inspect(const struct conf_keys *keys, const struct conf_app *app,
    unsigned instances, char *const *env, struct conf_errors *warnings);

#endif
