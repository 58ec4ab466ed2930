/* What the room works with and whom it asks; the rest of it is below. */
#ifndef DAEMON_CONTROL_CONTROL_SETUP_H
#define DAEMON_CONTROL_CONTROL_SETUP_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/mono.h"

struct apps;
struct checks;
struct loop;
struct on_event;
struct outputs;
struct reloads;

/* The program, as its clients are told of it; whoever runs it writes this. */
struct control_program {
	pid_t pid;
	struct mono started;
	bool starting;			/* until every app was ready once */
	bool leaving;			/* stop_delay runs */
	bool failed;
	const char *why;		/* … in words; NULL: nobody knows */
};

struct control_setup {
	struct loop *loop;
	struct apps *apps;
	struct reloads *reloads;
	const struct outputs *outputs;
	struct checks *checks;
	struct on_event *on_event;	/* NULL: nobody runs commands */
	const struct control_program *program;
	void (*stop)(void *ctx);	/* the program, as SIGTERM does */
	void *stop_ctx;
};

#endif
