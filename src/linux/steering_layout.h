/*
 * What the eBPF programs in src/bpf/ and the supervisor both see: the values of
 * their maps. Kernel types only, so that clang's BPF target compiles it too.
 */
#ifndef LINUX_STEERING_LAYOUT_H
#define LINUX_STEERING_LAYOUT_H

#include <linux/types.h>

/* SYNs are charged by epochs of 2^30 ns, about a second: the one under way
   counts and the one before, so that a charge expires after one to two. */
#define STEER_EPOCH_SHIFT 30

/* One lane's connections. The supervisor sets `generation`, and for the rest
   only ever zeros before its first use. */
struct steer_cell {
	__u32 open;		/* established and not closed yet */
	__u32 generation;	/* of the lane; others' marks do not count */
	__u64 total;		/* ever established */
	__u64 pending[2];	/* by epoch & 1: epoch << 32 | SYNs under way */
};

/*
 * Socket storage: which cell a lane's connections belong to. The supervisor
 * puts it on the listening socket, the kernel copies it to each connection.
 */
struct steer_mark {
	__u32 cell;
	__u32 generation;
	__u32 counted;		/* a connection: it is in the cell's `open` */
	__u32 covered;		/* a listener: the counting program saw it
				   begin to listen, so it sees all of it */
};

/* Of the connections that were moved to another lane while they waited. */
struct steer_moves {
	__u32 now;		/* how many of them are open */
	__u32 lost;		/* one could not be noted: those that are not
				   noted stay with their first lane, for good */
};

#define STEER_UNCOUNTED 0xffffffffU

/* How many lanes a choice looks at; of more, this many from anywhere on. */
#define STEER_LOOK 64

/* How many of them in a row may refuse before the packet is dropped. */
#define STEER_TRIES 8

/*
 * One reuseport group. The map of live slots has two halves, of which one
 * counts while the other one is being written. After the last slot the first
 * ones come again, STEER_BEYOND of them, so that nobody has to turn round.
 */
#define STEER_BEYOND (STEER_LOOK + STEER_TRIES)

struct steer_group {
	__u64 live;		/* half << 32 | how many lanes may be chosen */
	__u32 half;		/* size of each half */
	__u32 first_cell;	/* that of slot 0; or STEER_UNCOUNTED */
	__u32 next;		/* where least-connections looks first */
	__u32 turn;		/* round-robin's, for SYNs */
	__u32 turn_other;	/* ... for what is none */
	__u32 dropped;		/* no lane would take it */
	__u64 zero;		/* always, but the verifier does not know */
};

#endif
