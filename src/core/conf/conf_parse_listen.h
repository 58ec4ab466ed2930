/* The values of `port` and `listen`. Both as conf_parse(), which calls them; the
   target is a struct conf_app. */
#ifndef CORE_CONF_CONF_PARSE_LISTEN_H
#define CORE_CONF_CONF_PARSE_LISTEN_H

struct conf_value;

int conf_parse_port(const struct conf_value *v, void *target);
int conf_parse_listen(const struct conf_value *v, void *target);

#endif
