/*
 * One configuration of an app, ready to run: with its listeners open. Shared
 * by the app and by the workers that run under it.
 */
#ifndef DAEMON_SPEC_APP_SPEC_H
#define DAEMON_SPEC_APP_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"
#include "core/names/address.h"
#include "core/sockets/balance.h"
#include "daemon/output/out_pipe.h"

struct conf_app;
struct config;
struct error;
struct lane;
struct lane_holder;
struct listener;
struct listeners;
struct outputs;

/* What all specs are made of. */
struct app_house {
	struct listeners *listeners;
	struct outputs *outputs;
	unsigned auto_instances;
};

/* Written by this module alone; everybody may read. */
struct app_spec {
	unsigned refs;
	struct app_house *house;
	bool in_force;			/* and not a rollout's, or an old one */
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
	unsigned generation;		/* of its app; 0: not tried yet */
	unsigned instances;		/* conf's, with auto resolved */
	/* As conf->listens: references, NULL once shut, and how they are
	   bound (the paths in it are the listeners'). */
	struct listener **listeners;
	struct address *bound;
	/* What its servers have asked for beside those. */
	struct app_spec_beside {
		size_t position;
		struct listener *listener;
		unsigned looks;	/* app_spec_note_useless() */
	} *beside;
	size_t n_beside;
	/* Where stdout and stderr go through clusterd: references, or NULL. */
	struct output *outputs[OUT_STREAMS];
	/* As conf->listens: a server has taken the listener at this place. */
	bool *taken;
	enum balance_accepts accepts;	/* how its servers do, once seen */
	bool seen;		/* one of them was seen to wait for clients */
	bool failed;		/* a rollout to it was aborted */
	/* The last address that a hint was given for; and, none of ours too,
	   the last that a worker was let bind: empty where there is none. */
	struct address_text hinted, let_bind;
	bool unbound_told;	/* that nobody binds what it serves */
	unsigned let_bind_by;	/* instance */
	struct mono let_bind_at;
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

/* Another one is: what its last servers do decides nothing any more. */
void app_spec_supersede(struct app_spec *spec);

/* The next configuration came to nothing: it has left no listener of ours. */
void app_spec_reclaim(struct app_spec *spec);

/* All of its listeners, in the order of the configuration, and then what its
   servers have asked for beside: `i` < the number. NULL: one that is shut. */
size_t app_spec_n_listeners(const struct app_spec *spec);
struct listener *app_spec_listener(const struct app_spec *spec, size_t i);

/*
 * The listener for what core/sockets/adoption has decided to give at `position`, which
 * is not shut: it stays the spec's. It may not listen yet. -errno with words.
 */
int app_spec_give(struct app_spec *spec, size_t position,
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

/* Entry `i` of beside: nobody has it open any more; or it is the first, and
   what was first nobody has. */
void app_spec_drop(struct app_spec *spec, size_t i);
void app_spec_promote(struct app_spec *spec, size_t i);

/* Nobody was seen on what is first where entry `i` of beside is, or somebody:
   how often in a row nobody was. */
unsigned app_spec_note_useless(struct app_spec *spec, size_t i, bool useless);

/* Does it refer to the listener? `spec` may be NULL. */
bool app_spec_has(const struct app_spec *spec,
    const struct listener *listener);

/* Is one lane of the listener for all of its workers? */
bool app_spec_shares(const struct app_spec *spec,
    const struct listener *listener);

/* May it still turn out that its workers share? (core/sockets/balance) */
bool app_spec_undecided(const struct app_spec *spec);

/* It is seen how its servers accept, for the first time; later calls count for
   nothing. What was undecided is put in force. */
void app_spec_decide(struct app_spec *spec, enum balance_accepts accepts);

/* The lane of a worker of the spec's: as lanes_take(), or as lanes_share(). */
int app_spec_take_lane(const struct app_spec *spec, struct listener *listener,
    const struct lane_holder *holder, struct lane **ret_lane,
    struct error *err);

/* The lane that it has, or NULL. */
struct lane *app_spec_lane(const struct app_spec *spec,
    struct listener *listener, const struct lane_holder *holder);

/* The inodes of the worker's lanes that listen; at most `max`. Returns how
   many. */
size_t app_spec_inodes(const struct app_spec *spec,
    const struct lane_holder *holder, uint64_t *inos, size_t max);

/* A worker of it was seen to wait for connections: so all can be. */
void app_spec_note_seen(struct app_spec *spec);

/* A rollout to it was aborted. */
void app_spec_note_failed(struct app_spec *spec);

/* Bring backlog, mode and owner of its listeners to what its app says. */
void app_spec_adjust(const struct app_spec *spec);

/* See that the paths of its Unix listeners lead to them. */
void app_spec_restore_paths(const struct app_spec *spec);

/*
 * Of addresses that are none of ours, and not Unix. A worker is let bind one;
 * was another instance let bind it so shortly before `now`? A hint is given for
 * one: false if it is the same one as the last time.
 */
void app_spec_note_bind(struct app_spec *spec, const struct address *address,
    unsigned instance, struct mono now);
bool app_spec_sibling_bound(const struct app_spec *spec,
    const struct address *address, unsigned instance, struct mono now,
    int64_t within_ms);
bool app_spec_note_hint(struct app_spec *spec, const struct address *address);

/* A hint is given that a worker has bound none of ours: false if it was given
   before. */
bool app_spec_note_unbound(struct app_spec *spec);

#endif
