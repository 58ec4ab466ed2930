/*
 * What single instances have in the place of what all have: the listeners with
 * {instance} in `listen`.
 */
#ifndef DAEMON_SPEC_SPEC_OWN_H
#define DAEMON_SPEC_SPEC_OWN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/conf/conf.h"
#include "core/names/address.h"

struct error;
struct listener;
struct listeners;

/* Of one. What is at a place is app_spec's to change; the rest is written by
   this module alone. */
struct spec_own {
	struct conf_app conf;		/* a view */
	struct listener **listeners;	/* as conf.listens: references; NULL
					   where it is all instances' */
	struct address *bound;		/* for all places */
	bool *taken;
	bool closed;			/* the instance is no more, or at its
					   end */
};

/* By instance, NULL where there is none. Begins as zeros. */
struct spec_owns {
	struct spec_own **v;
	size_t n;
};

void spec_own_free(struct spec_owns *owns);

/* Of all instances (-1), or one that was not seated: NULL. */
struct spec_own *spec_own_find(const struct spec_owns *owns, long instance);

/* As app_spec_seat(), app_spec_unseat() and app_spec_vacate(). `runs`: its
   listeners are its app's at once. */
int spec_own_seat(struct spec_owns *owns, struct listeners *listeners,
    const struct config *config, const struct conf_app *conf, unsigned instance,
    bool runs, struct error *err);
void spec_own_unseat(struct spec_owns *owns, unsigned instance);
void spec_own_vacate(struct spec_owns *owns, unsigned instance);

/* They listen, and are their app's. */
void spec_own_enlist(const struct spec_owns *owns);

/* A newer configuration with the same listeners. */
void spec_own_renew(struct spec_owns *owns, const struct conf_app *conf);

/* As app_spec_shut(). */
void spec_own_shut(struct spec_owns *owns, bool all);

#endif
