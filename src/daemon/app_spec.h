/*
 * One configuration of an app, ready to run: with its listeners open. Shared
 * by the app and by the workers that run under it.
 */
#ifndef DAEMON_APP_SPEC_H
#define DAEMON_APP_SPEC_H

#include <stddef.h>

struct address;
struct conf_app;
struct config;
struct error;
struct listener;
struct supervisor;

struct app_spec {
	unsigned refs;
	struct supervisor *sup;
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
	unsigned generation;
	unsigned instances;		/* conf's, with auto resolved */
	/* As conf->listens: references, NULL once shut, and how they are
	   bound (the paths in it are the listeners'). */
	struct listener **listeners;
	struct address *bound;
};

/* Opens the listeners. The caller owns one reference; -errno with words. */
int app_spec_new(struct supervisor *sup, struct config *config,
    const struct conf_app *conf, struct app_spec **ret_spec,
    struct error *err);
struct app_spec *app_spec_ref(struct app_spec *spec);
void app_spec_unref(struct app_spec *spec);	/* NULL is fine */

/*
 * One spec for each app of the configuration, in its order, or none at all:
 * when one listener cannot be opened, those before it are closed again. Free
 * with app_specs_free(). -errno with words.
 */
int app_specs_open(struct supervisor *sup, struct config *config,
    struct app_spec ***ret_specs, struct error *err);
void app_specs_free(struct app_spec **specs, size_t n);	/* NULL is fine */

/* Give the listeners back already now: nothing is started from it any more.
   NULL is fine. */
void app_spec_shut(struct app_spec *spec);

#endif
