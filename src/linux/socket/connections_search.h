/*
 * What the child of linux/process/looker does for connections.h: a search is
 * known there by its number, goes on from question to question, and is gone with
 * the child, or when others have taken its place: -ESTALE.
 */
#ifndef LINUX_SOCKET_CONNECTIONS_SEARCH_H
#define LINUX_SOCKET_CONNECTIONS_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/worker/drain.h"
#include "linux/process/looker.h"
#include "linux/socket/connections_of.h"
#include "linux/socket/sockdiag.h"

struct connections_question {
	uint64_t number;
	bool begins;		/* the rest, but for the budget, comes then */
	int64_t budget_ms;
	int64_t older_ms;
	size_t n_of;
	size_t n_roots;
	struct connections_of of[CONNECTIONS_OF_MAX];
	pid_t roots[CONNECTIONS_ROOTS_MAX];
};
_Static_assert(sizeof(struct connections_question) <= LOOKER_BYTES_MAX, "");

/* The kernel's list. 1: there is more; 0; -errno. */
struct connections_listed {
	size_t n;		/* that may be somebody's */
	size_t n_handshakes;
	size_t n_half_open;
	bool none;
	bool blink;
};
int connections_list(const void *question, void *ret_listed,
    struct looker_fds *fds);

/* Those of the trees, sorted by ino, some at a time. 1, 0, -errno. */
#define CONNECTIONS_TOLD_MAX	96
struct connections_told {
	size_t n;
	struct connections_one {
		uint64_t ino;
		pid_t pid;
		int fd;
		uint32_t unread;
		uint32_t unacked;
		struct sockdiag_id id;
	} v[CONNECTIONS_TOLD_MAX];
};
_Static_assert(sizeof(struct connections_told) <= LOOKER_BYTES_MAX, "");
int connections_tell(const void *question, void *ret_told,
    struct looker_fds *fds);

/* Both in one go, as nearly always can be: then there is no search that could be
   lost. 0; 1: it goes on with the list, and nothing is told yet; -errno. */
struct connections_seen {
	struct connections_listed listed;
	struct connections_told told;
};
_Static_assert(sizeof(struct connections_seen) <= LOOKER_BYTES_MAX, "");
int connections_see(const void *question, void *ret_seen,
    struct looker_fds *fds);

/* When each of some was used. It takes no search. `number`: of whom that is asked. */
#define CONNECTIONS_TIMES_MAX	96
struct connections_times_of {
	uint64_t number;
	size_t n;
	struct sockdiag_id v[CONNECTIONS_TIMES_MAX];
};
struct connections_times {
	struct {
		int code;	/* as of sockdiag_tcp_info() */
		struct drain_conn conn;
	} v[CONNECTIONS_TIMES_MAX];
};
_Static_assert(sizeof(struct connections_times_of) <= LOOKER_BYTES_MAX &&
    sizeof(struct connections_times) <= LOOKER_BYTES_MAX, "");
int connections_time(const void *times_of, void *ret_times,
    struct looker_fds *fds);

#endif
