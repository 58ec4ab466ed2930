/*
 * The supervisor owns everything that runs, and alone knows all rooms of
 * daemon/: it makes them acquainted at the start, takes signals, ends each turn
 * of the loop and then the program. src/rooms.mk says who else may know whom;
 * what each room is for stands at the head of its own header.
 *
 * Handlers of loop events post events of workers (workers/workers.h). At the
 * end of the turn the workers take them (life/life.h), and the apps that this
 * has touched advance (apps/apps.h), until nothing is left; so nothing recurses.
 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/conf/conf.h"
#include "linux/ledger/descriptors.h"

struct conf_origin;
struct ledger;

struct supervisor_setup {
	const struct conf_origin *origin;
	struct config *config;		/* checked; a reference is taken */
	int log_level;			/* enum log_level, or -1 */
	const char *cwd;		/* as the shell has it, or NULL */
	/*
	 * What it has is written to the ledger, for the next one that is run
	 * with it in the same table of descriptors, if this one is killed; and
	 * what the one before has left, of what stands there, is taken over.
	 * NULL: it has none.
	 */
	struct ledger *ledger;
	struct descriptors left;	/* in that table: taken over or closed */
};

/*
 * Run until stopped. Returns the exit status: 0; 1 failed; 69 (EX_UNAVAILABLE)
 * a port or the pid file could not be had; 78 (EX_CONFIG) the log could not be
 * opened.
 */
int supervisor_run(const struct supervisor_setup *setup);

#endif
