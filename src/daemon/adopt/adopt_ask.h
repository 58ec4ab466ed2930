/*
 * A call of bind(2) that waits for an answer, and all that can be learnt of it:
 * which socket, which address, who else refers to the socket.
 */
#ifndef DAEMON_ADOPT_ADOPT_ASK_H
#define DAEMON_ADOPT_ADOPT_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/names/address.h"
#include "core/sockets/adoption.h"
#include "linux/socket/epoll_enter.h"

struct seccomp_call;
struct worker;

struct ask {
	struct worker *w;
	const struct seccomp_call *call;
	uint64_t ino;		/* of the socket that is to be bound */
	unsigned flags;		/* of its descriptor */
	int copy;		/* a duplicate, or -1: out of reach */
	bool given;		/* it is no lane, and bound as one is: it can only
				   be one that the worker was given */
	struct adoption_socket socket;
	struct address asked;
};

/*
 * 0; -ENOTSUP: nothing that could be adopted, or nothing that may be looked at
 * (which is logged, once per process); -ESRCH: the caller is gone; -ENOMEM. To
 * be freed in any case.
 */
int ask_learn(struct worker *worker, const struct seccomp_call *call,
    struct ask *ret_ask);
void ask_free(struct ask *ask);

/* More than these are not carried over. */
#define ASK_TWINS_MAX	16
#define ASK_ENTRIES_MAX	16

/* Descriptors that share the socket, and its entries in epoll instances. */
struct ask_kin {
	int twins[ASK_TWINS_MAX];
	size_t n_twins;
	struct epoll_entry entries[ASK_ENTRIES_MAX];
	size_t n_entries;
};

void ask_find_kin(const struct ask *ask, struct ask_kin *ret_kin);
void ask_kin_free(struct ask_kin *kin);

#endif
