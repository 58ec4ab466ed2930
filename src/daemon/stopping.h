/* The phases of the program's stop, and what brings it from one to the next. */
#ifndef DAEMON_STOPPING_H
#define DAEMON_STOPPING_H

#include <stdbool.h>

#include "linux/loop/loop.h"

struct above;
struct apps;
struct control_program;
struct ledger;
struct listeners;
struct reloads;
struct workers;

struct stopping {
	/* Given. */
	struct workers *workers;
	struct listeners *listeners;
	struct apps *apps;
	struct reloads *reloads;
	struct control_program *program;
	struct above *above;

	struct loop *loop;
	enum {
		STOPPING_RUNS,
		STOPPING_LEAVES,	/* stop_delay: all goes on as before */
		STOPPING_DRAINS,
		STOPPING_STOPS,
	} phase;
	struct loop_timer next_phase;
	int64_t drain_ms;	/* STOPPING_DRAINS: of the last worker */
	bool signalled;		/* to stop, once */
	bool killing;
	struct ledger *ledger;	/* in which it stands, from stopping_look_back()
				   on; NULL: in none */
};

/* -ENOMEM. Before it everything but stopping_now() is no use. Undone by _fini,
   which is fine for one that was not prepared. */
int stopping_init(struct stopping *stopping, struct loop *loop);
void stopping_fini(struct stopping *stopping);

/*
 * Under a supervisor before a stop may have begun, and this is in the midst of it:
 * before the apps are there (true: they are to leave), and when they are. The phase,
 * its deadline, and how often was asked for it are as they were.
 */
bool stopping_look_back(struct stopping *stopping, struct ledger *ledger);
void stopping_go_on(struct stopping *stopping);

/* At once, whatever is under way. Without a loop too. */
void stopping_now(struct stopping *stopping);

/* As users want it who have not said more: after stop_delay, drained. Nothing if a
   stop has begun. */
void stopping_leave(struct stopping *stopping);

/* SIGTERM, SIGQUIT or SIGINT: the first one stops, or hastens a stop of another
   cause, the second one kills what is left. */
void stopping_signal(struct stopping *stopping, int signo);

/* At the end of each turn: once the last worker was told to retire, its time is
   counted. */
void stopping_turn(struct stopping *stopping);

/* The terminal was closed. */
void stopping_hangup(struct stopping *stopping);

#endif
