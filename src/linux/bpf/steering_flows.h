/*
 * Which worker's lane gets a datagram, decided in the kernel by eBPF
 * (src/bpf/flows.bpf.c), for one UDP listener's reuseport group: flows that are
 * known stay where they are, as long as their lane is open to them, and new ones
 * go to a live lane.
 *
 * The maps are the kernel's memory, some 8 MB for each listener, or a sixteenth of
 * it.
 */
#ifndef LINUX_BPF_STEERING_FLOWS_H
#define LINUX_BPF_STEERING_FLOWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"

struct error;
struct steering_flows;

/* Lanes of a listener. */
#define STEERING_FLOWS_LANES_MAX 4096

/* `few`: clients there will be. -errno with words: not permitted here, or the
   kernel is too old. */
int steering_flows_new(bool few, struct steering_flows **ret_s,
    struct error *err);
void steering_flows_free(struct steering_flows *s);

/* Let go of the sockets, before another program is attached for good. */
void steering_flows_clear(struct steering_flows *s);

/* For a new flow the client's address alone decides, or its port too. */
void steering_flows_by_source(struct steering_flows *s, bool by_source);

/* The bound socket is that of the slot; what is in order stays. -errno. */
int steering_flows_set_lane(struct steering_flows *s, size_t slot, int fd);

/* The lane is open to the flows that it has had under the same number, and new
   ones; 0: to none any more. No system call. */
void steering_flows_open(struct steering_flows *s, size_t slot,
    uint32_t number);

/* New flows go to these: all at once. None: no new one is let in, and what comes
   of one is not heard of. No system call. */
struct steering_flows_lane {
	uint32_t seat;
	uint32_t slot;
};
void steering_flows_set_live(struct steering_flows *s,
    const struct steering_flows_lane *lanes, size_t n);

/* When a datagram has come to it of a flow that was known, and of one that was
   not, in ms before `now`; -1: never. No system call. */
void steering_flows_heard(const struct steering_flows *s, size_t slot,
    struct mono now, int64_t *ret_known_ms, int64_t *ret_fresh_ms);

/* How many datagrams no lane would take, of those that were let in. No system
   call. */
uint64_t steering_flows_dropped(const struct steering_flows *s);

/* As steering_ebpf_attach(). */
int steering_flows_attach(struct steering_flows *s, int fd, struct error *err);

#endif
