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
#include "linux/process/looks.h"
#include "linux/socket/epoll_enter.h"

struct seccomp_call;
struct worker;

struct ask {
	struct worker *w;
	const struct seccomp_call *call;
	uint64_t ino;		/* of the socket that is to be bound */
	unsigned flags;		/* of its descriptor */
	int copy;		/* a duplicate, or -1: out of reach */
	struct adoption_socket socket;
	bool shares;		/* it has SO_REUSEPORT, and … */
	bool reuses;		/* … SO_REUSEADDR, as far as is known */
	struct address asked;
};

/*
 * 0; -ENOTSUP: nothing that could be adopted, or nothing that may be looked at
 * (which is logged, once per process); -EINTR: not now, again later; -ESRCH: the
 * caller is gone; -ENOMEM. To be freed in any case.
 */
int ask_learn(struct worker *worker, const struct seccomp_call *call,
    struct ask *ret_ask);
void ask_free(struct ask *ask);

/* The flags of its descriptor alone, again; -EINTR: later; other -errno. */
int ask_flags(struct ask *ask);

/* Descriptors that share the socket, and its entries in epoll instances. */
struct ask_kin {
	int twins[LOOK_TWINS_MAX];
	unsigned twin_flags[LOOK_TWINS_MAX];
	size_t n_twins;
	struct epoll_entry entries[LOOK_ENTRIES_MAX];
	size_t n_entries;
};

/* 0; -EINTR: again later. After some attempts in vain there are none, and that
   is logged. To be freed in any case. */
int ask_find_kin(const struct ask *ask, struct ask_kin *ret_kin);
void ask_kin_free(struct ask_kin *kin);

#endif
