/*
 * By what the programs find the group of a listening socket that the kernel asks
 * about (struct steer_lane of linux/bpf/steering_layout.h): the cookies of its lanes'
 * sockets, and for sockets that are none of them its address.
 */
#ifndef LINUX_BPF_STEERING_KNOWN_H
#define LINUX_BPF_STEERING_KNOWN_H

#include <stddef.h>
#include <stdint.h>

#include "linux/bpf/steering_layout.h"

/* Of a slot, all zeros at first: its socket's cookie, and the one before, which may
   be in the group for a moment longer. 0: none. */
struct steering_known {
	uint64_t cookie;
	uint64_t before;
	struct steer_lane lane;		/* what is known of it */
};

/* Known in `map` is v[slot], of `n`, by this cookie from now on. -errno: by what it
   was. */
int steering_know(int map, struct steering_known *v, size_t n, size_t slot,
    uint64_t cookie, const struct steer_lane *lane);

/*
 * The group's address is the socket's: *key, 0 at first. Without it nobody would get
 * in who comes to a socket that is no lane; what fails is tried again with the next
 * call.
 */
void steering_know_address(int map, uint64_t *key, uint64_t group, int fd);

/* What another group has put in the address's place since is that one's. */
void steering_forget(int map, struct steering_known *v, size_t n);
void steering_forget_address(int map, uint64_t *key, uint64_t group);

#endif
