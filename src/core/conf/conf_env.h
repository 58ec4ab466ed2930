/* The environment of a worker: `env` and the file that `env_file` names. */
#ifndef CORE_CONF_CONF_ENV_H
#define CORE_CONF_CONF_ENV_H

#include <stdbool.h>
#include <stddef.h>

struct conf_app;
struct conf_value;
struct strlist;

/* As conf_parse(), which calls it; the target is a struct conf_app. */
int conf_parse_env(const struct conf_value *v, void *target);

/*
 * A file of NAME=value lines, the simple part of systemd's EnvironmentFile:
 * blank lines, comments (# or ;), `export ` before a name, one pair of quotes
 * around a value. Appends to `entries`; problems are added to value->errors as
 * `PATH:LINE: ...`, without the line's content, which may be secret. 0,
 * -EINVAL, -ENOMEM.
 */
int conf_env_file_parse(const struct conf_value *value, const char *path,
    const char *text, size_t len, struct strlist *entries);

/*
 * Is this NAME=value (or NAME) a variable that describes fds, or somebody's
 * place in a supervision tree, and so must not reach a worker from
 * clusterd's own environment?
 */
bool conf_env_scrubs(const char *entry);

/* What the file says that a name is in the environment of the workers, with its
   placeholders: by env, or else by env_file. NULL: nothing. */
const char *conf_env_said(const struct conf_app *app, const char *name);

/* Does the app's worker have this NAME=value of clusterd's own environment? */
bool conf_env_passes_on(const struct conf_app *app, const char *entry);

#endif
