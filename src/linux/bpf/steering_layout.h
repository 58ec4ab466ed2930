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

/*
 * All groups share their maps and programs, since to have the kernel look through
 * a program takes it some 20 ms, and to put a map into another one some 10 ms:
 * with maps of its own each listener would hold up the supervisor for as long.
 * They have room for all that may come, some 3 MB of the kernel's memory.
 */
#define STEER_LANES 32768

/* One lane's connections. The supervisor sets `generation` and the ramp, and for
   the rest only ever zeros before its first use. */
struct steer_cell {
	__u32 open;		/* established and not closed yet */
	__u32 generation;	/* of the lane; others' marks do not count */
	__u64 total;		/* ever established */
	__u64 pending[2];	/* by epoch & 1: epoch << 32 | SYNs under way */
	/* Slow start, by the clock of bpf_ktime_get_ns(). Its weight grows from
	   one STEER_RAMP_PARTS-th to all of it. */
	__u64 ramp_from;
	__u64 ramp_ns;		/* 0: no ramp */
};

#define STEER_RAMP_PARTS_SHIFT 5
#define STEER_RAMP_PARTS (1 << STEER_RAMP_PARTS_SHIFT)

/* How many turns in a row lanes that are slow to start may let pass. */
#define STEER_RAMP_TURNS 32

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

/*
 * Which group a listening socket is in, by its cookie, and which lane it is there.
 * The kernel asks about one of the group's sockets: the one that it comes to first,
 * or the one that stops listening. There may be one that is no lane: somebody else's
 * with the same address. Then the group is found by that, steer_place_key(). One that
 * is in here in neither way is nobody's choice: its group has been given up.
 */
struct steer_lane {
	__u32 cell;
	__u32 covered;		/* all of its connections are counted; no lane: 0 */
	__u64 group;		/* its generation << 32 | its place among the words;
				   if that has another one by now: none */
};

/* Among the cookies, which are counted up from 1. An interface makes no difference,
   nor do two addresses that happen to have the same key: of two groups it is then
   the latest that gets what comes to a stranger's socket. */
static inline __attribute__((always_inline)) __u64
steer_mix(__u64 key, __u32 word)
{
	key = (key ^ word) * 0x9e3779b97f4a7c15ULL;
	return key ^ key >> 32;
}

static inline __attribute__((always_inline)) __u64
steer_place_key(const __u32 ip[4], __u32 port, __u32 family)
{
	__u64 key = (__u64)family << 16 | port;

	key = steer_mix(key, ip[0]);
	key = steer_mix(key, ip[1]);
	key = steer_mix(key, ip[2]);
	return steer_mix(key, ip[3]) | 1ULL << 63;
}

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
 * A group's own: words of 64 bits in one array for all groups. At its place in
 * there it has those of enum steer_word, and somewhere two lists of its live
 * lanes, of which one counts while the other one is being written. In a list a
 * lane is the number of its cell, by which its socket is found as well.
 */
#define STEER_WORDS (4 * STEER_LANES)

enum steer_word {
	/* The generation of the group << 32 | where its list begins, in units
	   of STEER_UNIT << 16 | how many lanes are in it. */
	STEER_WORD_LIVE,
	STEER_WORD_NEXT,	/* where least-connections looks first, … */
	STEER_WORD_NEXT_COOKIE,	/* … for ACKs that return SYN cookies */
	STEER_WORD_TURN,	/* round-robin's, for SYNs */
	STEER_WORD_TURN_OTHER,	/* … for what is none */
	STEER_WORD_DROPPED,	/* no lane would take it */
	STEER_WORD_MODE,	/* which of the programs chooses */
	STEER_WORD_RAMP_END,	/* when no live lane is slow to start any more,
				   by the clock of bpf_ktime_get_ns() */
	STEER_WORD_RAMP_FIRST,	/* the cell of the one that is so first */
	STEER_GROUP_WORDS = 16
};

/* Places begin at multiples of this. */
#define STEER_UNIT 8

/*
 * Connections of clusterd's own, each of which is to reach the lane that it means
 * (daemon/sockets, lanes_check). The array begins with how many there are, and a
 * table of them by source port, of which the lower bits say where. A source
 * address and port that we have bound are nobody else's.
 */
#define STEER_CHECKS		256
#define STEER_CHECKS_FIRST	STEER_UNIT
#define STEER_CHECKS_END	(STEER_CHECKS_FIRST + STEER_CHECKS * \
				 STEER_CHECK_WORDS)

enum steer_check_word {
	/* STEER_CHECK_SET | STEER_CHECK_IPV6, unless it is IPv4 | the source
	   port << 32 | the lane's cell; 0: nobody's. */
	STEER_CHECK_HEAD,
	/* The source address, network order; IPv4 has the first four bytes. */
	STEER_CHECK_IP,
	STEER_CHECK_IP_REST,
	STEER_CHECK_UNUSED,
	STEER_CHECK_WORDS
};
#define STEER_CHECK_SET		(1ULL << 63)
#define STEER_CHECK_IPV6	(1ULL << 62)

/* From the program that is attached to all groups to the one that chooses. */
struct steer_call {
	__u64 group;		/* which is asked: of a steer_lane */
};

/* What is the same for all groups. */
struct steer_hub {
	__u32 counted;		/* or there is nobody who counts */
	__u32 unused;
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

/* The live lanes, an array of 64-bit numbers. Element 0: where the list begins
   << 32 | how many lanes are in it. There are two lists, as above. A lane is its
   seat << 32 | its slot, and none comes twice; the list may be empty. */
struct steer_flow_group {
	__u32 by_source;	/* of a flow its address alone decides */
	__u32 dropped;		/* no lane would take it */
	__u64 zero;		/* always, but the verifier does not know */
};

#endif
