/* Users and groups that a configuration names: who they are here. */
#ifndef CORE_CONF_CONF_ACCOUNTS_H
#define CORE_CONF_CONF_ACCOUNTS_H

struct conf_app;
struct conf_host;
struct conf_keys;
struct config;

/*
 * Fill the app's creds, socket_uid and socket_gid: asks the host, and reports
 * for the app's keys who does not exist, or whom clusterd cannot become. 0 or
 * -ENOMEM.
 */
int conf_accounts_find(const struct conf_keys *keys,
    const struct conf_host *host, struct conf_app *app);

/* The same for config->control_gid. */
int conf_accounts_find_control(const struct conf_keys *keys,
    const struct conf_host *host, struct config *config);

/* … and for config->on_event_creds, which stay unset where nobody is named and
   clusterd may become nobody else. */
int conf_accounts_find_on_event(const struct conf_keys *keys,
    const struct conf_host *host, struct config *config);

#endif
