/* With what the program begins: sockets that it was given, or what a supervisor
   before, which was killed, has left of workers, listeners and configuration. */
#ifndef DAEMON_BEGINNING_H
#define DAEMON_BEGINNING_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/config/conf_again.h"
#include "linux/ledger/descriptors.h"

struct adopt;
struct apps;
struct conf_origin;
struct config;
struct error;
struct fd_store;
struct ledger;
struct life;
struct listeners;
struct orphans;
struct outputs;
struct stopping;

struct beginning {
	/* Given. */
	struct listeners *listeners;
	struct apps *apps;
	struct adopt *adopt;
	struct life *life;
	struct orphans *orphans;
	struct stopping *stopping;
	struct fd_store *store;	/* of the supervisor above */
	struct outputs *outputs;
	const struct conf_origin *origin;
	struct config *config;		/* of the program; borrowed */
	struct ledger *ledger;		/* NULL: none */
	struct descriptors left;

	size_t unusable;		/* of LISTEN_FDS */
	bool stops;			/* all leave */
	struct conf_again again;
};

/* What there is, before anything is opened. -ENOMEM with words. */
int beginning_look_back(struct beginning *begin, struct error *err);

/* With the log open, and the loop: it is ours. _start comes after this, or the end
   of the process. */
void beginning_take_over(struct beginning *begin);

/* Bind everything, then start everything, or go on with it: a port that is taken
   stops us before any worker runs. -errno with words. */
int beginning_start(struct beginning *begin, struct error *err);

#endif
