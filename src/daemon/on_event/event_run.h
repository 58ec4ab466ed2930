/*
 * One command that is run for an event, which it reads as JSON from its standard
 * input: a session and a group of its own, which ends with it, at its time-out, or
 * with us.
 */
#ifndef DAEMON_ON_EVENT_EVENT_RUN_H
#define DAEMON_ON_EVENT_EVENT_RUN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "daemon/on_event/event_said.h"
#include "linux/child/exec_report.h"

#define EVENT_RUN_TIMEOUT_MS	10000

struct config;
struct error;
struct exit_status;

/* What all of them have in common, which stays the caller's. */
struct event_run_house {
	struct loop *loop;
	const struct rlimit *nofile;	/* as it was inherited */
	const char *cwd;
	const uint64_t *run_id;
};

/* Begins as zeros. */
struct event_run {
	const struct event_run_house *house;
	const char *event;	/* static */
	pid_t pid;		/* 0: none */
	struct exec_report exec;
	struct loop_timer timer;
	struct event_said said;
	bool late;		/* killed at its time-out */
	char *program;
	char *base_dir;
};

/*
 * `line`, of `len` bytes, is the record of the event, as clients are told it.
 * -errno with words: nothing runs.
 */
int event_run_begin(struct event_run *run, const struct event_run_house *house,
    const struct config *config, const char *event, const char *line,
    size_t len, struct error *err);

void event_run_kill(struct event_run *run);

/* Its process is dead, and not reaped yet. Returns whether it did well; else that
   is logged. */
bool event_run_died(struct event_run *run, struct exit_status status);

/* Nobody hears of it any more. Fine for zeros. */
void event_run_close(struct event_run *run);

#endif
