/* The parser of `health`, for conf_parse.c. */
#ifndef CORE_CONF_CONF_PARSE_HEALTH_H
#define CORE_CONF_CONF_PARSE_HEALTH_H

struct conf_value;

/* Of the path, and of the name. */
#define CONF_HEALTH_PATH_MAX	512
#define CONF_HEALTH_HOST_MAX	255

int conf_parse_health(const struct conf_value *v, void *target);

#endif
