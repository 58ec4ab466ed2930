/*
 * One check: a connection of clusterd's own to one instance, behind the listener
 * that it shares with the others, and what became of it. It is non-blocking, and
 * of bounded memory: no answer is kept.
 */
#ifndef DAEMON_HEALTH_CHECK_H
#define DAEMON_HEALTH_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "core/health/verdict.h"
#include "linux/socket/sockdiag.h"

struct check;
struct check_exec;
struct error;
struct listeners;
struct loop;
struct orphans;
struct rlimit;
struct worker;

struct checks {
	struct loop *loop;
	struct listeners *listeners;
	struct orphans *orphans;	/* who leave commands alone */
	const struct rlimit *nofile;	/* of commands, as of workers */
	const char *cwd;
	struct sockdiag diag;
	struct check_exec *execs;	/* check_exec: those that run */
};

#define CHECKS_INIT { .diag = SOCKDIAG_INIT }

struct check_terms {
	const char *path;	/* of HTTP; NULL: it is to be accepted */
	const char *host;	/* NULL: localhost */
	int64_t timeout_ms;
};

/* Called once, from the loop, and not when the check was given up. It is gone
   then. */
typedef void check_done(void *ctx, const struct verdict *verdict);

/* -errno with words: the worker cannot be asked alone, or at all, and `done` is not
   called. What it needs of the terms is copied. */
int check_begin(struct checks *checks, const struct worker *worker,
    const struct check_terms *terms, check_done *done, void *ctx,
    struct check **ret_check, struct error *err);

/* NULL is fine. */
void check_give_up(struct check *check);

void checks_close(struct checks *checks);

#endif
