/* What comes from outside to the supervisor: signals, of its own and those that the
   keeper passes on, and the keeper's news. */
#ifndef DAEMON_HEARING_H
#define DAEMON_HEARING_H

#include <stdbool.h>

#include "linux/loop/loop.h"

struct above;
struct error;
struct reaper;
struct stopping;

struct hearing {
	/* Given. */
	struct reaper *reaper;
	struct above *above;
	struct stopping *stopping;
	/* As signals_read() calls it; of what is meant for the program. */
	void (*signal)(void *ctx, int signo, int pid, bool hangup);
	void (*upgrade_failed)(void *ctx, const char *words);
	void *ctx;

	struct loop *loop;
	int signal_fd;		/* -1: none */
	loop_handle signals;
	loop_handle keeper;	/* it has something for us */
	bool keeper_gone;	/* that was said */
};

/* From now on signals wait. -errno with words. Undone by _close, which is fine for
   one that was not opened. */
int hearing_open(struct hearing *hearing, struct loop *loop,
    struct error *err);
void hearing_close(struct hearing *hearing);

/* From now on they are heard. -ENOMEM. Undone by _end, with the loop still there,
   which is fine for one that was opened alone. */
int hearing_begin(struct hearing *hearing);
void hearing_end(struct hearing *hearing);

#endif
