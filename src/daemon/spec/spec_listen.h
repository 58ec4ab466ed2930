/* A place of a configuration, opened. */
#ifndef DAEMON_SPEC_SPEC_LISTEN_H
#define DAEMON_SPEC_SPEC_LISTEN_H

#include <stddef.h>

#include "core/names/address.h"

struct conf_app;
struct config;
struct error;
struct listener;
struct listeners;

/* `conf` is an app of `config`, or an instance's view of one. The caller owns
   the reference; what is in *ret_bound is the listener's. -errno with words,
   which begin with where the listener is written. */
int spec_listen(struct listeners *listeners, const struct config *config,
    const struct conf_app *conf, size_t position,
    struct listener **ret_listener, struct address *ret_bound,
    struct error *err);

#endif
