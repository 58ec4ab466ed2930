/*
 * What the eBPF programs in src/bpf/ and the supervisor both see: the values of
 * their maps. Kernel types only, so that clang's BPF target compiles it too.
 */
#ifndef LINUX_BPF_STEERING_LAYOUT_H
#define LINUX_BPF_STEERING_LAYOUT_H

#include <linux/types.h>

/* SYNs are charged by epochs of 2^30 ns, about a second: the one under way
   counts and the one before, so that a charge expires after one to two. */
#define STEER_EPOCH_SHIFT 30

/* Cells come in pools of this size, sockets of a listener in shelves: maps in a
   map that has room for more of them, so that nothing that is there moves when
   lanes are added. Number n is element n % size of map n / size. */
#define STEER_POOL 512
#define STEER_POOLS 256
#define STEER_SHELF 512
#define STEER_SHELVES 32

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

/* How many lanes a choice looks at; of more, this many from anywhere on. */
#define STEER_LOOK 64

/* How many of them in a row may refuse before the packet is dropped. */
#define STEER_TRIES 8

/*
 * The live lanes, an array of 64-bit numbers. Element 0: where the list begins
 * << 32 | how many lanes are in it. There are two lists, of which one counts
 * while the other one is being written. A lane: its cell << 32 | its slot.
 * After the last lane the first ones come again, STEER_BEYOND of them, so that
 * nobody has to turn round.
 */
#define STEER_BEYOND (STEER_LOOK + STEER_TRIES)

/* One reuseport group. */
struct steer_group {
	__u32 counted;		/* or there is nobody who counts */
	__u32 next;		/* where least-connections looks first, … */
	__u32 turn;		/* round-robin's, for SYNs */
	__u32 turn_other;	/* ... for what is none */
	__u32 dropped;		/* no lane would take it */
	__u32 next_cookie;	/* … for ACKs that return SYN cookies */
	__u64 zero;		/* always, but the verifier does not know */
};

/* ---- datagrams (src/bpf/flows.bpf.c) ---- */

/* How many flows are known of a listener; of more, those that were heard of
   longest ago are forgotten. Some 8 MB of the kernel's memory; or less, of one
   that few have. */
#define STEER_FLOWS 65536
#define STEER_FLOWS_FEW 4096

/* Lanes of a listener. */
#define STEER_FLOW_LANES 4096

struct steer_flow_key {
	__u32 ip[4];		/* network order; IPv4: behind ones */
	__u32 port;
};

struct steer_flow {
	__u32 slot;
	__u32 open;		/* its lane's, then */
};

/* By slot. The supervisor writes `open`, the program the rest. */
struct steer_flow_lane {
	__u64 known_ns;		/* when a flow was last heard of that had been
				   before; 0: never */
	__u64 fresh_ns;		/* … that had not */
	__u32 open;		/* to flows that have the same number; 0: to
				   none */
	__u32 unused;
};

/* The live lanes are listed as those above, but that a lane is its seat << 32 |
   its slot, and none comes twice; the list may be empty. */
struct steer_flow_group {
	__u32 by_source;	/* of a flow its address alone decides */
	__u32 dropped;		/* no lane would take it */
	__u64 zero;		/* always, but the verifier does not know */
};

#endif
