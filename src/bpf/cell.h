/* A lane's cell, and its SYNs under way. */
#ifndef BPF_CELL_H
#define BPF_CELL_H

#include "bpf/kernel.h"
#include "linux/bpf/steering_layout.h"

MAP(map_cells);		/* array of steer_cell, all groups' */

INLINE struct steer_cell *
steer_cell(__u32 number)
{
	return map_lookup(&map_cells, &number);
}

/*
 * What is charged in this epoch. The compiler must not make one addition of it
 * with an offset that only the run knows: without CAP_PERFMON the verifier
 * allows none such from two ways to the same place.
 */
INLINE __u64 *
steer_pending(struct steer_cell *cell, __u32 epoch)
{
	__u64 *pending;

	if ((epoch & 1) != 0) {
		pending = &cell->pending[1];
		__asm__ volatile("" : "+r"(pending));
	} else {
		pending = &cell->pending[0];
		__asm__ volatile("" : "+r"(pending));
	}
	return pending;
}

#endif
