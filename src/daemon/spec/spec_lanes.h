/* Which lane of its spec's listeners a worker has: one of its own, or the one
   for all. */
#ifndef DAEMON_SPEC_SPEC_LANES_H
#define DAEMON_SPEC_SPEC_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct app_spec;
struct error;
struct lane;
struct lane_holder;
struct listener;

/* Is one lane of the listener for all of its workers? */
bool spec_lanes_shared(const struct app_spec *spec,
    const struct listener *listener);

/* The lane of a worker of the spec's: as lanes_take(), or as lanes_share(). */
int spec_lanes_take(const struct app_spec *spec, struct listener *listener,
    const struct lane_holder *holder, struct lane **ret_lane,
    struct error *err);

/* The lane that it has, or NULL. */
struct lane *spec_lanes_find(const struct app_spec *spec,
    struct listener *listener, const struct lane_holder *holder);

/* The listeners that the workers of one instance have, each once, of so many
   places; NULL: none is in that place. */
size_t spec_lanes_n_places(const struct app_spec *spec);
struct listener *spec_lanes_listener(const struct app_spec *spec,
    unsigned instance, size_t place);

/* The inodes of the worker's lanes that listen; at most `max`. Returns how
   many. */
size_t spec_lanes_inodes(const struct app_spec *spec,
    const struct lane_holder *holder, uint64_t *inos, size_t max);

#endif
