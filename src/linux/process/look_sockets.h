/*
 * The sockets of the trees below some processes, in steps, as
 * linux/process/tree_sockets.h has it, by linux/process/looker: several such
 * searches may be made in turn.
 */
#ifndef LINUX_PROCESS_LOOK_SOCKETS_H
#define LINUX_PROCESS_LOOK_SOCKETS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "linux/process/looker.h"
#include "linux/process/tree_sockets.h"

#define LOOK_ROOTS_MAX		1024

/* So many searches are gone on with; of more, the one that was stepped least
   lately begins anew. */
#define LOOK_SEARCHES_MAX	8

struct look_sockets {
	pid_t *roots;		/* owned */
	size_t n;
	uint64_t number;	/* of the search over there; 0: none as yet */
	bool begun;
	unsigned stale;		/* so often in turn it was not there any more */
};

/* The first of the processes is the one who is looked at. _begin() returns 0,
   -ENOMEM or -E2BIG, and _end() takes a zeroed one too. */
int look_sockets_begin(struct look_sockets *s, const pid_t *roots, size_t n);
void look_sockets_end(struct look_sockets *s);

/* Look on for a millisecond or two. Some sockets may be told more than once: it
   begins anew when the child that had the search is not there any more; after some
   times in turn that is -EBUSY, once. Otherwise what tree_sockets_step() returns,
   and looker_ask(). */
int look_sockets_step(struct look_sockets *s, const struct conf_creds *creds,
    void (*fn)(void *ctx, const struct tree_socket *socket), void *ctx);

#endif
