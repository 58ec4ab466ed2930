/*
 * Which balances can be had on this machine, and what the programs of all
 * listeners share.
 */
#ifndef DAEMON_SOCKETS_BALANCING_H
#define DAEMON_SOCKETS_BALANCING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/names/address.h"
#include "core/sockets/balance.h"

struct cgroup;
struct config;
struct conf_app;
struct conn_count;
struct steering_hub;

struct balancing {
	struct balancing_probe {
		bool done;
		int code;	/* 0: it works */
		struct error why;	/* not */
	} turns, least;
	struct conn_count *count;	/* with the first probe */
	struct steering_hub *hub;	/* likewise */
	struct cgroup *homes;		/* those that lanes were made in */
	size_t n_homes;
	size_t optmem_max;		/* net.core.optmem_max, bytes */
	bool hurries;		/* balancing_hurry() */
	bool told_flows;	/* that flows of datagrams do not stay */
	bool told;			/* what auto is, for want of rights */
	bool told_slow;			/* that there is no slow start */
};

void balancing_init(struct balancing *balancing);
void balancing_fini(struct balancing *balancing);

/*
 * Can every app of `config` have the balance that it asks for? Tries out what
 * was not tried before. -errno with words. What `auto` comes to is logged once.
 */
int balancing_check(struct balancing *balancing, const struct config *config,
    struct error *err);

/*
 * Until _settle, what `auto` needs is believed to be possible while the kernel still
 * looks through a program for it. _settle waits for the kernel; false: it was not
 * possible, as was logged, and listeners are to be adjusted.
 */
void balancing_hurry(struct balancing *balancing);
bool balancing_is_to_settle(const struct balancing *balancing, bool wait);
bool balancing_settle(struct balancing *balancing);

/* What `auto` comes to here, in words, for the apps that have it: the caller
   frees; NULL when there is none of them, or no memory. */
char *balancing_describe(const struct config *config);

/*
 * An app with slow_start whose `balance` comes to one that has none here: its name,
 * borrowed from `config`, and why, from `balancing`. NULL: there is none.
 */
const char *balancing_no_slow_start(struct balancing *balancing,
    const struct config *config, const char **ret_why);

/* Would `auto` be least-connections? *ret_why, if not: in words, borrowed. */
bool balancing_can_count(struct balancing *balancing, const char **ret_why);

/* What counts and spreads connections goes on to, for us. Before the first probe, of
   which `turns` and `least` need not be made: they have worked. */
void balancing_take_over(struct balancing *balancing,
    struct conn_count *count, struct steering_hub *hub, bool turns,
    bool least);

/* What all listeners share, made with the first call. -errno with words. */
int balancing_hub(struct balancing *balancing, struct steering_hub **ret_hub,
    struct error *err);

/*
 * Before a lane's socket is made: it belongs to the cgroup that we are in now,
 * which may not be where we were. To be counted, sockets of each must be.
 */
void balancing_note_cgroup(struct balancing *balancing);

/* Are connections of all lanes counted, or from now on? -errno with words. */
int balancing_cover(struct balancing *balancing, struct error *err);

/* In force for a listener of `app`, as far as it is known how its program
   accepts. */
enum balance balancing_choose(struct balancing *balancing,
    const struct conf_app *app, enum address_kind kind,
    enum balance_accepts accepts);

#endif
