/*
 * The open connections of a worker: those of its listeners (sock_diag) of which
 * its processes have a descriptor (/proc). In steps with a time budget.
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
#include "linux/process/tree_sockets.h"

struct sockdiag;

/* A listener, by what its connections are told. */
struct connections_of {
	int family;		/* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port;
	uint8_t local_len;	/* … with this address alone, of IPv4 4 bytes, */
	uint8_t local[16];	/* of IPv6 16; 0: whichever */
	uint64_t ino;		/* of the listening socket; AF_UNIX only */
	uint64_t file;		/* … or of the file that it had, if there is no
				   such socket any more */
};

struct connection {
	uint64_t ino;
	unsigned taken;		/* within: the round that has found it last */
	pid_t pid;		/* who has it, as which descriptor */
	int fd;
	struct drain_conn conn;
};

struct connections {
	/* The result, when connections_step() returned 0. */
	struct connection *v;	/* the trees', sorted by ino; owned */
	size_t n;
	size_t n_handshakes;	/* of whatever age … */
	size_t n_half_open;	/* … and those that are older than what was
				   asked for, for certain */
	bool none;		/* there is none, in a queue or of anybody's … */
	bool blink;		/* … but a moment later there may be one */

	/* Of the look under way. */
	struct sockdiag *diag;
	struct connections_of *of;
	size_t n_of;
	size_t at;		/* of them the one that is asked for */
	bool asked;
	int64_t older_ms;
	uint32_t file_dev;	/* of the Unix listener that is asked for */
	uint32_t file_ino;
	bool any_dev;		/* … whose device is not known */
	struct connection *all;	/* anybody's, of these listeners; owned */
	size_t n_all, cap_all, cap;
	unsigned round;		/* of trees; from 1 on */
	bool failed;		/* short of memory */
	bool sorted;
	struct tree_sockets tree;
};

/*
 * Begin a look at the trees below `roots`. `diag` is used until the look has
 * ended, by nothing else; a look that it was used for is dropped by the next
 * question. Handshakes count from an age of `older_ms` on. 0 or -errno; in
 * either case, and after each step, connections_end() ends it.
 */
int connections_begin(struct connections *c, struct sockdiag *diag,
    const struct connections_of *of, size_t n_of, const pid_t *roots,
    size_t n_roots, int64_t older_ms);
void connections_end(struct connections *c);

/*
 * Look on for about `budget_ms`. 1: there is more; 0: the result is there;
 * -errno: there will be none (as of sockdiag.h and tree_sockets.h). To be called
 * between inspect_begin() and inspect_end().
 */
int connections_step(struct connections *c, int64_t budget_ms);

/* Is what the kernel has to tell complete, and only the trees are left? */
bool connections_listed(const struct connections *c);

/*
 * After a result: look for what other trees have of the same connections, as the
 * kernel has told them for the first. For those whose queues were read before
 * connections_begin(). Returns and goes on as that.
 */
int connections_again(struct connections *c, const pid_t *roots,
    size_t n_roots);

/* The result, as core/worker/drain.h judges it. */
struct drain_tally connections_tally(const struct connections *c,
    const struct drain_policy *policy);

/* As soon as they are listed: are all of them idle, anybody's? */
bool connections_are_idle(const struct connections *c,
    const struct drain_policy *policy);

#endif
