/*
 * Classic BPF, written from its end to its beginning: jumps only go forward, so
 * that backward is the way to write them: where they go to is there already. A
 * label is the number of instructions behind it.
 */
#ifndef CORE_SOCKETS_CBPF_CODE_H
#define CORE_SOCKETS_CBPF_CODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sock_filter;	/* <linux/filter.h> */

/* Most bits that a seat's number has. */
#define CBPF_LEVELS_MAX	12

/* What a program keeps in its 16 words of memory, M[]. */
enum {
	CBPF_M_LEVEL,		/* one for each level of draws */
	/* Of what a client is known by. */
	CBPF_M_HASH = CBPF_M_LEVEL + CBPF_LEVELS_MAX,
	/* put_highest_weight() in steering_cbpf.c */
	CBPF_M_BEST,
	CBPF_M_CHOICE,
	/* put_buckets() in cbpf_lanes.c, never in one run of the program with
	   the former */
	CBPF_M_POSITION = CBPF_M_BEST,
	CBPF_M_OFFSETS = CBPF_M_CHOICE,
	CBPF_M_BASE,
};

#define CBPF_MIX_1	0x85ebca6bu	/* MurmurHash3's finalizer */
#define CBPF_MIX_2	0xc2b2ae35u

struct cbpf_code {
	struct sock_filter *at;	/* BPF_MAXINSNS of them; the last n are used */
	size_t n;
	size_t cost;		/* instructions once the kernel has translated
				   them */
	size_t cost_max;
	size_t n_max;
	bool full;		/* something has found no room */
};

/* One instruction. Where there is no room, this and the others set `full`. */
void cbpf_put(struct cbpf_code *c, unsigned op, uint32_t k);

/* Go on at the label. */
void cbpf_put_jump(struct cbpf_code *c, size_t label);

/* `op`: such as BPF_JEQ | BPF_K, without BPF_JMP. Up to three instructions. */
void cbpf_put_branch(struct cbpf_code *c, unsigned op, uint32_t k, size_t yes,
    size_t no);

/* A ^= A >> shift; A *= factor, if any. X is lost. */
void cbpf_put_mix(struct cbpf_code *c, uint32_t shift, uint32_t factor);

#endif
