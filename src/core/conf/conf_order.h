/* Which app begins before which, and ends behind it: `after`. */
#ifndef CORE_CONF_CONF_ORDER_H
#define CORE_CONF_CONF_ORDER_H

#include <stdint.h>

struct conf_app;
struct conf_errors;
struct config;

/*
 * Report names that no app has, and circles, in which nobody could begin.
 * `lines`: where `after` stands in each app. 0 or -ENOMEM.
 */
int conf_order_check(const struct config *config, const unsigned *lines,
    struct conf_errors *errors);

/*
 * The most that `cost` (of one app, not negative) adds up to over apps of which
 * each comes after the one before. Where memory is short: over all of them,
 * which is never less.
 */
int64_t conf_order_longest(const struct config *config,
    int64_t (*cost)(const struct conf_app *app));

#endif
