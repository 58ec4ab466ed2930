/*
 * What a supervisor that was killed has left of its steering by eBPF, while its
 * listening sockets live on.
 */
#ifndef LINUX_BPF_STEERING_LEFTOVER_H
#define LINUX_BPF_STEERING_LEFTOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sockets that are to be in no map any more; in any order. */
struct steering_leftover {
	uint64_t *sockets;	/* room for all of them: their descriptors, or
				   from the first map on their cookies */
	size_t n;
	bool by_cookie;
};

/* One more, which stays open meanwhile. Before the first map. */
void steering_leftover_add(struct steering_leftover *sockets, int fd);

/*
 * If the descriptor is of one of its maps, the sockets in it are let go of: they
 * could be in no other one. Another program is to be attached before, which finds
 * them without it. Those that were found are taken from `tcp` or `udp`; when none
 * is left in there, no more is looked for.
 */
void steering_leftover_clear(int fd, struct steering_leftover *tcp,
    struct steering_leftover *udp);

#endif
