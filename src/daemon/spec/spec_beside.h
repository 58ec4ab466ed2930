/*
 * What the servers of a spec have asked for beside the addresses that are
 * written. app_spec says what becomes of it.
 */
#ifndef DAEMON_SPEC_SPEC_BESIDE_H
#define DAEMON_SPEC_SPEC_BESIDE_H

#include <stdbool.h>
#include <stddef.h>

struct address;
struct error;
struct listener;

/* Written by this module alone; begins as zeros. */
struct spec_beside {
	struct spec_beside_entry {
		size_t position;	/* of the place that it is beside */
		struct listener *listener;	/* a reference */
	} *v;
	size_t n;
};

void spec_beside_free(struct spec_beside *beside);

/* The listener with that address beside the place, or NULL. */
struct listener *spec_beside_find(const struct spec_beside *beside,
    size_t position, const struct address *target);

/* Room for one more, with so many as are allowed beside the usual number.
   -errno with words. */
int spec_beside_reserve(struct spec_beside *beside, size_t extra,
    struct error *err);

/* Takes the reference over; room is there. The last one. */
void spec_beside_add(struct spec_beside *beside, size_t position,
    struct listener *listener);

/* Of entry `i` the caller has the reference now; the last one has its place. */
void spec_beside_remove(struct spec_beside *beside, size_t i);

/* All are given back. */
void spec_beside_shut(struct spec_beside *beside);

#endif
