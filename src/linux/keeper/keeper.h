/*
 * The keeper: the process that the user has started. It does next to nothing, so
 * that it does not fail: it starts the supervisor, its child, and another when
 * that is killed; passes signals on; reaps; and says to the supervisor above what
 * its own has to say. The two have one table of descriptors, clone(2)'s
 * CLONE_FILES: whatever a supervisor opens outlives it.
 *
 * It sleeps in one system call, and asks for no memory after its start.
 */
#ifndef LINUX_KEEPER_KEEPER_H
#define LINUX_KEEPER_KEEPER_H

#include <stdbool.h>

struct ledger;

struct keeper_setup {
	/* In the child: returns the exit status of the program. */
	int (*supervise)(void *ctx);
	void *ctx;
	int argc;		/* main()'s, for the titles of ps(1) */
	char **argv;
	int ready_fd;		/* of background_fork(); -1: none */
	bool background;	/* there was one, also before an upgrade */
	/* What a supervisor that dies has left of workers is the next one's, and
	   these are in it. NULL: it is killed. */
	const struct ledger *ledger;
	int ledger_fd;		/* its memory; -1: none */
	const char *binary;	/* the path that an upgrade executes; NULL: none */
	int state_fd;		/* of keeper_state_fd(); -1: none */
};

/* There is none: a kernel, or a filter of system calls, does not let us have a child
   that shares our descriptors, or what we would share with it. */
#define KEEPER_NONE	(-1)

/*
 * Returns in both processes: in the child what supervise() has returned, in the
 * keeper the status that the program ends with. A supervisor that exits ends the
 * program with its status, but for one that fails before it has come up where
 * another had been up: that one, and one that is killed by a signal, is started
 * again, at once if it had come up, else with growing delays; after five deaths
 * within 10 s every 10 s. If none has ever come up by then, the program ends with
 * 1. With `state_fd` it goes on where the program before was, in this process;
 * keeper_share.h says how that is asked for. Workers outlive a supervisor that another one comes after; the keeper reaps them
 * then, and tells of it (keeper_share.h). A signal that stops, during the first
 * start, ends it as if it were not handled, but not process 1. KEEPER_NONE, as the log
 * says: nothing has begun, and everything is as it was; with `ready_fd` that is 1.
 */
int keeper_run(const struct keeper_setup *setup);

#endif
