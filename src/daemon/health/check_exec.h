/*
 * A check by a command, which runs as the worker does, in a session and group of
 * its own: exit code 0 is well. At its time-out the whole group is killed, and
 * there is never a second one of a worker before the first has gone.
 */
#ifndef DAEMON_HEALTH_CHECK_EXEC_H
#define DAEMON_HEALTH_CHECK_EXEC_H

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/health/check.h"

struct check_exec;
struct exit_status;

struct check_exec_events {
	check_done *done;		/* once, from the loop; … */
	void (*gone)(void *ctx);	/* … then it is gone, be it later */
	void *ctx;
};

/* -errno with words: nothing runs. */
int check_exec_begin(struct checks *checks, const struct worker *worker,
    const struct check_exec_events *events, struct check_exec **ret_exec,
    struct error *err);

/* Nobody is told of it any more; it is killed. NULL is fine. */
void check_exec_give_up(struct check_exec *exec);

/* A child of ours is dead, and not reaped yet. False: it is none of these. */
bool check_exec_died(struct checks *checks, pid_t pid,
    struct exit_status status);

#endif
