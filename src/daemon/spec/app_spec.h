/*
 * One configuration of an app, ready to run: with its listeners open. Shared
 * by the app and by the workers that run under it.
 */
#ifndef DAEMON_SPEC_APP_SPEC_H
#define DAEMON_SPEC_APP_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/names/address.h"
#include "core/sockets/balance.h"
#include "daemon/output/out_pipe.h"
#include "daemon/spec/spec_beside.h"
#include "daemon/spec/spec_own.h"
#include "daemon/spec/spec_told.h"

struct conf_app;
struct config;
struct error;
struct lane;
struct lane_holder;
struct listener;
struct listeners;
struct outputs;
struct rlimit;

/* What all specs are made of. */
struct app_house {
	struct listeners *listeners;
	struct outputs *outputs;
	unsigned auto_instances;
};

/* Written by this module alone, but for what other modules of the room declare;
   everybody may read. */
struct app_spec {
	unsigned refs;
	struct app_house *house;
	bool in_force;			/* and not a rollout's, or an old one */
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
	unsigned generation;		/* of its app; 0: not tried yet */
	unsigned instances;		/* conf's, with auto resolved … */
	unsigned most;			/* … and how many it may scale to by
					   itself; the same: it does not */
	/* As conf->listens: references, NULL once shut, and how they are
	   bound (the paths in it are the listeners'). */
	struct listener **listeners;
	struct address *bound;
	struct spec_beside beside;	/* what its servers have asked for
					   beside those */
	/* Where an instance has addresses of its own, by instance: see
	   app_spec_seat(). */
	struct spec_owns own;
	/* Where stdout and stderr go through clusterd: references, or NULL;
	   also NULL where each worker has a file of its own. */
	struct output *outputs[OUT_STREAMS];
	/* As conf->listens: a server has taken the listener at this place. */
	bool *taken;
	enum balance_accepts accepts;	/* how its servers do, once seen */
	bool seen;		/* one of them was seen to wait for clients */
	bool failed;		/* a rollout to it was aborted */
	struct spec_told told;	/* spec_told's */
};

/* Opens the listeners and the files of output. The caller owns one reference;
   -errno with words. */
int app_spec_new(struct app_house *house, struct config *config,
    const struct conf_app *conf, struct app_spec **ret_spec,
    struct error *err);
/* A newer configuration that asks for the same workers (core/conf/conf_change):
   what else it says holds from now on. */
void app_spec_renew(struct app_spec *spec, struct config *config,
    const struct conf_app *conf);

struct app_spec *app_spec_ref(struct app_spec *spec);
void app_spec_unref(struct app_spec *spec);	/* NULL is fine */

/*
 * Give the listeners back already now: nothing is started from it any more.
 * NULL is fine. Unless `all`, those stay that the next configuration has left
 * for another address, and that its workers, while they end, still serve.
 */
void app_spec_shut(struct app_spec *spec, bool all);

/* It is put to the test, as this generation of its app, from 1 up: its
   listeners listen, and are its app's. */
void app_spec_try(struct app_spec *spec, unsigned generation);

/* It is what is stable from now on: its files are rotated as it says, and what
   is seen of its servers decides for its listeners. */
void app_spec_put_in_force(struct app_spec *spec);

/* People are told that a worker has bound none of ours; for the same workers
   that is once, over reloads, `stable` being what is in force (or NULL). False:
   they were told. */
bool app_spec_note_unbound(struct app_spec *spec, struct app_spec *stable);

/* It comes after `stable`: what people were told of the same workers, they are
   not told again. */
void app_spec_follow(struct app_spec *spec, const struct app_spec *stable);

/* Another one is: what its last servers do decides nothing any more. */
void app_spec_supersede(struct app_spec *spec);

/* The next configuration came to nothing: it has left no listener of ours. */
void app_spec_reclaim(struct app_spec *spec);

/*
 * The listeners of which that instance alone has one ({instance} in `listen`)
 * are opened, if they are not. Those of the first `instances` are from the
 * beginning. -errno with words.
 */
int app_spec_seat(struct app_spec *spec, unsigned instance, struct error *err);

/* As many, or what is next to it in the range that the configuration has. */
unsigned app_spec_within(const struct app_spec *spec, unsigned n);

/* The instance is no more, but for who retires: they take no new clients. */
void app_spec_unseat(struct app_spec *spec, unsigned instance);

/* The instance is at its end: they are closed, and clients refused, until it is
   seated again. */
void app_spec_vacate(struct app_spec *spec, unsigned instance);

/* limit_nofile, or as it was inherited. */
struct rlimit app_spec_nofile(const struct app_spec *spec,
    const struct rlimit *inherited);

/* The configuration as the instance sees it, and how its places are bound; its
   listener at a place, NULL: shut. It was seated. */
const struct conf_app *app_spec_conf(const struct app_spec *spec,
    unsigned instance);
const struct address *app_spec_bound(const struct app_spec *spec,
    unsigned instance);
struct listener *app_spec_place(const struct app_spec *spec, unsigned instance,
    size_t position);

/* It has a listener at each place. */
bool app_spec_is_open(const struct app_spec *spec, unsigned instance);

/* The one whose place entry `i` of beside would take; NULL: shut. */
struct listener *app_spec_in_place(const struct app_spec *spec, size_t i);

/* Has a server of the spec's taken what is at the listener's place? */
bool app_spec_has_taken(const struct app_spec *spec,
    const struct listener *listener);

/* The one in whose place it would be, if it is beside that; or NULL. */
struct listener *app_spec_rival(const struct app_spec *spec,
    const struct listener *listener);

/* Has one taken its place, be it this one or another that it is beside? */
bool app_spec_is_settled(const struct app_spec *spec,
    const struct listener *listener);

/* May the instance have it? */
bool app_spec_is_for(const struct app_spec *spec,
    const struct listener *listener, unsigned instance);

/* All of its listeners, in the order of the configuration, then what its
   servers have asked for beside, and then what single instances have: `i` < the
   number. NULL: one that is shut, or that there is none of. */
size_t app_spec_n_listeners(const struct app_spec *spec);
struct listener *app_spec_listener(const struct app_spec *spec, size_t i);

/*
 * The listener for what core/sockets/adoption has decided to give the instance at
 * `position`, which is not shut: it stays the spec's. It may not listen yet.
 * -errno with words.
 */
int app_spec_give(struct app_spec *spec, unsigned instance, size_t position,
    const struct address *target, struct listener **ret_listener,
    struct error *err);

/* The spec's listener with this inode as a lane, or NULL. */
struct listener *app_spec_find_lane(const struct app_spec *spec, uint64_t ino);

/*
 * A server listens on it (or has bound it, for UDP): it begins to, and takes
 * the place of one that no server has asked for. -errno with words.
 */
int app_spec_take(struct app_spec *spec, struct listener *listener,
    struct error *err);

/* A server listens on it, maybe only to try: it begins to, but nobody comes.
   -errno with words. */
int app_spec_try_listener(struct app_spec *spec, struct listener *listener,
    struct error *err);

/* Nobody has it any more who has only tried it. */
void app_spec_untry(struct app_spec *spec, struct listener *listener);

/* Entry `i` of beside: nobody has it open any more; or it is the first, and
   what was first nobody has. */
void app_spec_drop(struct app_spec *spec, size_t i);
void app_spec_promote(struct app_spec *spec, size_t i);

/* Does it refer to the listener? `spec` may be NULL. */
bool app_spec_has(const struct app_spec *spec,
    const struct listener *listener);

/* May it still turn out that its workers share? (core/sockets/balance) */
bool app_spec_undecided(const struct app_spec *spec);

/* It is seen how its servers accept, for the first time; later calls count for
   nothing. What was undecided is put in force. */
void app_spec_decide(struct app_spec *spec, enum balance_accepts accepts);

/* A worker of it was seen to wait for connections: so all can be. */
void app_spec_note_seen(struct app_spec *spec);

/* As another supervisor knew it: bit N of `taken` is of place N. */
void app_spec_take_over(struct app_spec *spec, uint64_t taken,
    enum balance_accepts accepts, bool seen);

/* A rollout to it was aborted. */
void app_spec_note_failed(struct app_spec *spec);

/* Bring backlog, mode and owner of its listeners to what its app says. */
void app_spec_adjust(const struct app_spec *spec);

/* See that the paths of its Unix listeners lead to them. */
void app_spec_restore_paths(const struct app_spec *spec);

#endif
