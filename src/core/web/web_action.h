/*
 * What may be done over the web, as the body of a POST says it:
 *
 *   {"action": "restart", "app": "web", "instance": 1}
 */
#ifndef CORE_WEB_WEB_ACTION_H
#define CORE_WEB_WEB_ACTION_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct request;

/* Bytes of a body. */
#define WEB_ACTION_MAX	1024

/*
 * One JSON object of strings and whole numbers: "action" is reload, restart or
 * scale; "app"; "instance", of restart; "instances", of scale: a number, or "+N" or
 * "-N". -EINVAL with words.
 */
int web_action_parse(const char *body, size_t len, struct request *ret_request,
    struct error *err);

/* Of requests that are sent on: does it only tell? */
bool web_action_is_reading(const struct request *request);

/* … or is it one of those above? */
bool web_action_is_known(const struct request *request);

#endif
