/*
 * The open connections of a worker: those of its listeners (sock_diag) of which
 * its processes have a descriptor (/proc), and what the kernel tells of each. In
 * steps with a time budget, by linux/process/looker, as whoever asks may be held
 * up: connections_search.c is what is done over there.
 *
 * The queues of its lanes are to be read before connections_begin(), so that a
 * connection which is accepted meanwhile is missed by neither.
 */
#ifndef LINUX_SOCKET_CONNECTIONS_H
#define LINUX_SOCKET_CONNECTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/worker/drain.h"
#include "linux/socket/connections_of.h"
#include "linux/socket/sockdiag.h"

struct conf_creds;

struct connection {
	uint64_t ino;
	pid_t pid;		/* who has it, as which descriptor */
	int fd;
	struct sockdiag_id id;	/* not of a Unix socket */
	struct drain_conn conn;
};

struct connections_question;

struct connections {
	/* The result, when connections_step() returned 0. */
	struct connection *v;	/* the tree's, sorted by ino; owned */
	size_t n;
	size_t n_handshakes;	/* of whatever age … */
	size_t n_half_open;	/* … and those that are older than what was
				   asked for, for certain */
	bool none;		/* there is none, in a queue or of anybody's … */
	bool blink;		/* … but a moment later there may be one */
	bool untimed;		/* of some it could not be told when they were
				   used: connections_without_times() */

	bool later;		/* the caller's: who asks comes again when there is
				   news, as of looker_question */

	/* Of the look under way. */
	struct connections_question *question;	/* owned */
	bool stepwise;		/* it was not done in one go */
	bool listed;		/* the kernel's list has been read, */
	bool told;		/* … and those of the trees are in `v`, */
	bool wants_times;
	size_t at;		/* … of which so many have been timed */
	size_t cap;
	pid_t by;		/* the child that has it; 0: none */
	unsigned n_stale;	/* it was lost so often */
};

/*
 * Begin a look at the trees below `roots`, the first of which is the process that
 * is looked at. Handshakes count from an age of `older_ms` on. Without `times`,
 * `timed` is false of all connections. 0 or -errno; in either case, and after
 * each step, connections_end() ends it.
 */
int connections_begin(struct connections *c, const struct connections_of *of,
    size_t n_of, const pid_t *roots, size_t n_roots, int64_t older_ms,
    bool times);
void connections_end(struct connections *c);

/*
 * Look on for about `budget_ms`, at processes as `creds` (NULL: as we are). 1:
 * there is more; 0: the result is there; -errno: there will be none (as of
 * sockdiag.h and tree_sockets.h), unless it is held up, as of looker.h: then the
 * same step may be made later.
 */
int connections_step(struct connections *c, const struct conf_creds *creds,
    int64_t budget_ms);

/*
 * The list is held up by nobody's process (but see sockdiag.h). When its own
 * connections were used, the worker alone can hold up: if all that is missing is
 * that, of some or all, this is the result. False: more is.
 */
bool connections_without_times(struct connections *c);

/* The result, as core/worker/drain.h judges it. */
struct drain_tally connections_tally(const struct connections *c,
    const struct drain_policy *policy);

#endif
