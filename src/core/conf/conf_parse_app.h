/*
 * Values of an app's keys that are lists, or fill several of its fields. All as
 * conf_parse(), which calls them; the target is a struct conf_app.
 */
#ifndef CORE_CONF_CONF_PARSE_APP_H
#define CORE_CONF_CONF_PARSE_APP_H

struct conf_value;

int conf_parse_command(const struct conf_value *v, void *target);
int conf_parse_instances(const struct conf_value *v, void *target);
int conf_parse_fd_protocol(const struct conf_value *v, void *target);
int conf_parse_restart_limit(const struct conf_value *v, void *target);
int conf_parse_codes(const struct conf_value *v, void *target);
int conf_parse_apps(const struct conf_value *v, void *target);
int conf_parse_ready(const struct conf_value *v, void *target);
int conf_parse_signal(const struct conf_value *v, void *target);

#endif
