/* What is done about each signal that is meant for the program (clusterd(8), SIGNALS),
   and about a child's death; and about the keeper's news of what one asked for. */
#ifndef DAEMON_SIGNALLED_H
#define DAEMON_SIGNALLED_H

#include <stdbool.h>

struct apps;
struct control;
struct control_program;
struct outputs;
struct reaper;
struct reloads;
struct stopping;

/* Given. */
struct signalled {
	struct stopping *stopping;
	struct reaper *reaper;
	struct reloads *reloads;
	struct apps *apps;
	struct outputs *outputs;
	struct control *control;
	const struct control_program *program;
};

/* As signals_read() calls it; of `ctx`, which is this. */
void signalled_hear(void *ctx, int signo, int pid, bool hangup);

/* The keeper's news of an upgrade that was asked for: why there is none. */
void signalled_upgrade_failed(void *ctx, const char *words);

#endif
