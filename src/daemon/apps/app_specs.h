/* What a configuration comes to: a spec for each of its apps. */
#ifndef DAEMON_APPS_APP_SPECS_H
#define DAEMON_APPS_APP_SPECS_H

#include <stdbool.h>
#include <stddef.h>

struct app_spec;
struct config;
struct error;
struct apps;

/*
 * One spec for each app of the configuration, in its order (NULL for one that
 * is stopped by request, or that is not in `which`, unless that is NULL), or
 * none at all: when one listener cannot be opened, those before it are closed
 * again. Free with app_specs_free(). -errno with words.
 */
int app_specs_open(struct apps *apps, struct config *config,
    const bool *which, struct app_spec ***ret_specs, struct error *err);
void app_specs_free(struct app_spec **specs, size_t n);	/* NULL is fine */

#endif
