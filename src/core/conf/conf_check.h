/* Sections and keys to a configuration. */
#ifndef CORE_CONF_CONF_CHECK_H
#define CORE_CONF_CONF_CHECK_H

struct conf_errors;
struct conf_host;
struct conf_source;
struct config;

/*
 * Check entries and build the config. Every problem goes to `errors`; when
 * there is any (errors->n > 0 or dropped > 0), *ret_config is NULL. Else the
 * caller owns one reference, and what is legal and doubtful in it is among its
 * warnings. Returns 0 or -ENOMEM.
 */
int conf_check(const struct conf_source *source, const struct conf_host *host,
    struct config **ret_config, struct conf_errors *errors);

#endif
