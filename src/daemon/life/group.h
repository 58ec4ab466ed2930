/* Limits of workers by control group: can they be had? */
#ifndef DAEMON_LIFE_GROUP_H
#define DAEMON_LIFE_GROUP_H

#include <stdbool.h>

struct config;
struct error;
struct life;

/*
 * What the limits of the apps, of `which` of them, or with NULL of all, need of control
 * groups: from now on it is there, as far as it can be; people are told once of what
 * cannot, and workers run without that. Before the first of their workers, and at the
 * start before connections are counted, which goes by our own group; later those of the
 * group that it lies in are.
 */
void group_provide_limits(struct life *life, const struct config *config,
    const bool *which);

/* Would it all be there? Else the app, which is the configuration's, and -errno with
   words. Nothing is changed. */
int group_could_limit(const struct config *config, const char **ret_app,
    struct error *err);

#endif
