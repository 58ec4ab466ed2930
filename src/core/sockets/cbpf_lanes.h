/*
 * From a number to a lane, in classic BPF: to that of a seat, or to any of all
 * alike.
 */
#ifndef CORE_SOCKETS_CBPF_LANES_H
#define CORE_SOCKETS_CBPF_LANES_H

#include <stddef.h>

struct cbpf_code;

#define STEERING_CBPF_SEATS_MAX 4096

struct steering_cbpf_lane {
	unsigned seat;	/* instance number, < STEERING_CBPF_SEATS_MAX */
	unsigned index;	/* in the kernel's array */
};

/* The lanes of one build, in an order that changes. */
struct cbpf_lanes {
	struct steering_cbpf_lane *v;
	size_t n;
	struct cbpf_run *runs;		/* these two to work with */
	struct cbpf_bucket *buckets;
};

/* A copy of 1 to STEERING_CBPF_SEATS_MAX lanes. 0, or -ENOMEM and nothing to
   free. */
int cbpf_lanes_init(struct cbpf_lanes *l,
    const struct steering_cbpf_lane *lanes, size_t n);
void cbpf_lanes_fini(struct cbpf_lanes *l);

/* By seat. */
void cbpf_lanes_sort(struct cbpf_lanes *l);

/* What cbpf_lanes_put_seat() costs at most, for each lane. */
#define CBPF_LANE_COST_MAX	5

/* Code that returns the lane of seat A, which must be one of theirs; they are
   sorted by seat. Returns the label where it begins. */
size_t cbpf_lanes_put_seat(struct cbpf_lanes *l, struct cbpf_code *c);

/*
 * Code that returns the lane that A, any number, stands for: all alike, by
 * their order in the group. (A mod n favours some by at most one in a million.)
 * Sorts the lanes by index.
 */
void cbpf_lanes_put_any(struct cbpf_lanes *l, struct cbpf_code *c);

#endif
