#include <linux/filter.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/sockets/steering_cbpf.h"

/* Most bits that a seat's number has; STEERING_CBPF_SEATS_MAX is 1 << that. */
#define LEVELS_MAX	12

/* What the program keeps in its 16 words of memory, M[]. */
enum {
	M_LEVEL,			/* one for each level of draws */
	M_HASH = M_LEVEL + LEVELS_MAX,	/* of what a client is known by */
	M_BEST,				/* put_highest_weight() */
	M_CHOICE,
	M_POSITION = M_BEST,		/* put_buckets(), never in one run */
	M_OFFSETS = M_CHOICE,		/* of the program with the former */
	M_BASE,
};
static_assert(M_BASE < BPF_MEMWORDS, "the program's memory is full");

/* ---- code, written from its end to its beginning ---- */

/*
 * Jumps only go forward, so that backward is the way to write them: where they
 * go to is there already. A label is the number of instructions behind it.
 */
struct code {
	struct sock_filter *at;	/* BPF_MAXINSNS of them */
	size_t n;
	size_t cost;		/* instructions once the kernel has translated
				   them */
	size_t cost_max;
	size_t n_max;
	bool full;		/* something has found no room */
};

static void
put_insn(struct code *c, struct sock_filter insn, size_t cost)
{
	if (c->n >= c->n_max || c->cost + cost > c->cost_max) {
		c->full = true;
		return;
	}
	c->n++;
	c->cost += cost;
	c->at[BPF_MAXINSNS - c->n] = insn;
}

static void
put(struct code *c, unsigned op, uint32_t k)
{
	bool two = op == (BPF_RET | BPF_K);

	put_insn(c, (struct sock_filter)BPF_STMT((uint16_t)op, k), two ? 2 : 1);
}

static void
put_jump(struct code *c, size_t label)
{
	if (c->n != label)
		put(c, BPF_JMP | BPF_JA, (uint32_t)(c->n - label));
}

/* Conditional jumps reach 255 instructions; further ones go by a second. */
static void
put_branch(struct code *c, unsigned op, uint32_t k, size_t yes, size_t no)
{
	if (c->n - no > UINT8_MAX - 1) {
		put_jump(c, no);
		no = c->n;
	}
	if (c->n - yes > UINT8_MAX) {
		put_jump(c, yes);
		yes = c->n;
	}
	put_insn(c,
	    (struct sock_filter)BPF_JUMP((uint16_t)(BPF_JMP | op), k,
		(uint8_t)(c->n - yes), (uint8_t)(c->n - no)),
	    c->n != yes && c->n != no ? 2 : 1);
}

/* A ^= A >> shift; A *= factor, if any. X is lost. */
static void
put_mix(struct code *c, uint32_t shift, uint32_t factor)
{
	if (factor != 0)
		put(c, BPF_ALU | BPF_MUL | BPF_K, factor);
	put(c, BPF_ALU | BPF_XOR | BPF_X, 0);
	put(c, BPF_ALU | BPF_RSH | BPF_K, shift);
	put(c, BPF_MISC | BPF_TAX, 0);
}

/* ---- from a number to a lane ---- */

/* Keys that follow each other, on lanes that follow each other. */
struct run {
	uint32_t key;
	uint32_t index;		/* the lane of `key` */
	uint32_t n;
};

/* For each a comparison, an addition and the return. */
#define RUN_INSNS	3
#define RUN_COST_MAX	5

/*
 * A lane's key is its seat, or its place in `lanes`. A run by seat goes on
 * across seats that are missing: these never come as far as here.
 */
static size_t
find_runs(const struct steering_cbpf_lane *lanes, size_t n, bool by_seat,
    struct run *runs)
{
	size_t n_runs = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t key = by_seat ? lanes[i].seat : i;
		struct run *last = n_runs > 0 ? &runs[n_runs - 1] : NULL;

		if (last != NULL &&
		    lanes[i].index - key == last->index - last->key)
			last->n++;
		else
			runs[n_runs++] = (struct run){
				.key = key, .index = lanes[i].index, .n = 1,
			};
	}
	return n_runs;
}

/* Return the lane of key A, which must be one. */
static size_t
put_runs(struct code *c, const struct run *runs, size_t n)
{
	if (n == 1 && runs->n == 1) {
		put(c, BPF_RET | BPF_K, runs->index);
	} else if (n == 1) {
		put(c, BPF_RET | BPF_A, 0);
		if (runs->index != runs->key)
			put(c, BPF_ALU | BPF_ADD | BPF_K,
			    runs->index - runs->key);
	} else {
		size_t high = put_runs(c, runs + n / 2, n - n / 2);
		size_t low = put_runs(c, runs, n / 2);

		put_branch(c, BPF_JGE | BPF_K, runs[n / 2].key, high, low);
	}
	return c->n;
}

/*
 * Lanes that are too scattered for runs: five of them share four instructions,
 * the first as it is, the others as bytes that are added to it. Where five
 * spread over more than 256 positions some of them stand in for the others, and
 * get up to five times as much as a lane elsewhere.
 */
#define BUCKET_LANES	5

#define BUCKET_INSNS	4

/* Enough for STEERING_CBPF_SEATS_MAX lanes among 44,000 positions; if there
   ever are more, the last get nothing. */
#define BUCKETS_MAX	960

/* As many runs as there is room for where buckets would not be exact. */
#define RUNS_MAX	500

struct bucket {
	uint32_t base;
	uint32_t offsets;
};

/* Return how many places there are in the buckets; `lanes` by index. */
static uint32_t
fill_buckets(const struct steering_cbpf_lane *lanes, size_t n,
    struct bucket *buckets, size_t *ret_n)
{
	uint32_t places = 0;
	size_t n_buckets = 0;

	for (size_t i = 0, used; i < n && n_buckets < BUCKETS_MAX; i += used) {
		uint32_t base = lanes[i].index;
		uint32_t offsets = 0;
		size_t j;

		for (used = 1; used < BUCKET_LANES && i + used < n &&
		    lanes[i + used].index - base <= UINT8_MAX; used++)
			continue;
		for (j = 1; j < BUCKET_LANES; j++)
			offsets |= (lanes[i + j % used].index - base)
			    << 8 * (j - 1);
		buckets[n_buckets++] = (struct bucket){ base, offsets };
		places += i + used < n ? BUCKET_LANES : (uint32_t)used;
	}
	*ret_n = n_buckets;
	return places;
}

static size_t
put_bucket_tree(struct code *c, const struct bucket *buckets, uint32_t first,
    uint32_t n, size_t tail)
{
	if (n == 1) {
		put_jump(c, tail);
		put(c, BPF_LDX | BPF_IMM, buckets[first].base);
		put(c, BPF_LD | BPF_IMM, buckets[first].offsets);
	} else {
		uint32_t mid = first + n / 2;
		size_t high = put_bucket_tree(c, buckets, mid, n - n / 2, tail);
		size_t low = put_bucket_tree(c, buckets, first, n / 2, tail);

		put_branch(c, BPF_JGE | BPF_K, mid, high, low);
	}
	return c->n;
}

/* Return the lane at place A of the buckets. */
static void
put_buckets(struct code *c, const struct bucket *buckets, size_t n)
{
	size_t first, other;

	put(c, BPF_RET | BPF_A, 0);
	put(c, BPF_LD | BPF_MEM, M_BASE);
	first = c->n;
	put(c, BPF_RET | BPF_A, 0);
	put(c, BPF_ALU | BPF_ADD | BPF_X, 0);
	put(c, BPF_LDX | BPF_MEM, M_BASE);
	put(c, BPF_ALU | BPF_AND | BPF_K, UINT8_MAX);
	put(c, BPF_ALU | BPF_RSH | BPF_X, 0);
	put(c, BPF_LD | BPF_MEM, M_OFFSETS);
	put(c, BPF_MISC | BPF_TAX, 0);
	put(c, BPF_ALU | BPF_LSH | BPF_K, 3);
	put(c, BPF_ALU | BPF_SUB | BPF_K, 1);
	other = c->n;
	put_branch(c, BPF_JEQ | BPF_K, 0, first, other);
	put(c, BPF_ALU | BPF_MOD | BPF_K, BUCKET_LANES);
	put(c, BPF_LD | BPF_MEM, M_POSITION);
	put(c, BPF_STX, M_BASE);
	put(c, BPF_ST, M_OFFSETS);
	put_bucket_tree(c, buckets, 0, (uint32_t)n, c->n);
	put(c, BPF_ALU | BPF_DIV | BPF_K, BUCKET_LANES);
	put(c, BPF_ST, M_POSITION);
}

/* ---- what a build works on ---- */

struct build {
	struct steering_cbpf_lane *lanes;
	size_t n;
	struct run *runs;
	struct bucket *buckets;
	uint32_t *edges;	/* where seats begin and cease to be there */
	size_t n_edges;
	bool first_is_there;	/* … from seat 0 on */
	uint32_t levels;	/* of draws: seats are < 1 << levels */
	struct code code;
};

static int
compare_numbers(unsigned a, unsigned b)
{
	return (a > b) - (a < b);
}

static int
compare_seats(const void *a, const void *b)
{
	return compare_numbers(((const struct steering_cbpf_lane *)a)->seat,
	    ((const struct steering_cbpf_lane *)b)->seat);
}

static int
compare_indexes(const void *a, const void *b)
{
	return compare_numbers(((const struct steering_cbpf_lane *)a)->index,
	    ((const struct steering_cbpf_lane *)b)->index);
}

/*
 * Return the lane that A, any number, stands for: all alike, by their order in
 * the group. (A mod n favours some by at most one in a million.)
 */
static void
put_position(struct build *b)
{
	size_t n_runs, n_buckets;
	uint32_t places;
	bool shorter;

	qsort(b->lanes, b->n, sizeof(*b->lanes), compare_indexes);
	n_runs = find_runs(b->lanes, b->n, false, b->runs);
	places = fill_buckets(b->lanes, b->n, b->buckets, &n_buckets);
	shorter = n_buckets * BUCKET_INSNS < n_runs * RUN_INSNS;
	if (n_runs > RUNS_MAX || (places == b->n && shorter)) {
		put_buckets(&b->code, b->buckets, n_buckets);
	} else {
		(void)put_runs(&b->code, b->runs, n_runs);
		places = (uint32_t)b->n;
	}
	put(&b->code, BPF_ALU | BPF_MOD | BPF_K, places);
}

/* ---- by the client ---- */

/*
 * Each client has an endless row of seats, drawn by lot, and goes to the first
 * of them that is there. That is all it takes for the promises of the header:
 * a seat that goes leaves everybody else's first one alone.
 *
 * The row must not depend on how many seats there are, yet for few of them it
 * must not have the other thousands in it. So there is a row for every number
 * of bits, and each is the one for a bit less with draws from the new upper
 * half of seats thrown in: a coin says whether the next one is of the upper
 * half, or the next in the lesser row. Left without the upper half it *is* the
 * lesser row.
 *
 * A level's coins come from a generator of its own, started from the client's
 * hash. The upper bit of its state is the coin, and where that is 1, it and the
 * bits below it are the seat.
 *
 * The rows cannot be endless. Draws enough are made that one client in a
 * million is left, if there is room; where most seats are missing (or, of many
 * hundreds, many here and there) there is not. Who is left goes
 *  - of up to HIGHEST_WEIGHT_MAX seats to that which, with the client's hash,
 *    has the highest weight: the promises hold unless the number of draws
 *    changes;
 *  - of more seats to any, evenly: these clients move whenever the set changes.
 */
#define ROW_FACTOR	1664525u	/* Knuth and Lewis */
#define ROW_ADDEND	1013904223u
#define SALT		0x9e3779b9u
#define HIGHEST_WEIGHT_MAX 64

#define MIX_1		0x85ebca6bu	/* MurmurHash3's finalizer */
#define MIX_2		0xc2b2ae35u

static uint32_t
salt(uint32_t number)
{
	uint32_t x = (number + 1) * SALT;

	x ^= x >> 16;
	x *= MIX_1;
	x ^= x >> 13;
	x *= MIX_2;
	return x ^ x >> 16;
}

static void
find_edges(struct build *b)
{
	const struct steering_cbpf_lane *l = b->lanes;
	size_t n = 0;

	b->first_is_there = l[0].seat == 0;
	b->edges[n++] = 0;
	if (!b->first_is_there)
		b->edges[n++] = l[0].seat;
	for (size_t i = 1; i < b->n; i++)
		if (l[i].seat != l[i - 1].seat + 1) {
			b->edges[n++] = l[i - 1].seat + 1;
			b->edges[n++] = l[i].seat;
		}
	for (b->levels = 0; l[b->n - 1].seat >> b->levels != 0; b->levels++)
		continue;
	if (l[b->n - 1].seat + 1 < 1u << b->levels)
		b->edges[n++] = l[b->n - 1].seat + 1;
	b->n_edges = n;
}

/* Go on at `there` if seat A is. Return where that is found out. */
static size_t
put_check(struct build *b, size_t edge, size_t n, size_t there, size_t missing)
{
	size_t high, low;

	if (n == 1)
		return (edge % 2 == 0) == b->first_is_there ? there : missing;
	high = put_check(b, edge + n / 2, n - n / 2, there, missing);
	low = put_check(b, edge, n / 2, there, missing);
	put_branch(&b->code, BPF_JGE | BPF_K, b->edges[edge + n / 2], high,
	    low);
	return b->code.n;
}

/* The next of the row: to `there` with it in A if that seat is. */
static void
put_draw(struct build *b, size_t there)
{
	struct code *c = &b->code;
	size_t missing = c->n, check;

	put_jump(c, there);
	check = put_check(b, 0, b->n_edges, c->n, missing);
	put(c, BPF_LD | BPF_IMM, 0);
	for (uint32_t level = 1; level <= b->levels; level++) {
		size_t lesser = c->n;

		put_jump(c, check);
		put(c, BPF_ALU | BPF_RSH | BPF_K, 32 - level);
		put_branch(c, BPF_JGT | BPF_K, INT32_MAX, c->n, lesser);
		put(c, BPF_ST, M_LEVEL + level - 1);
		put(c, BPF_ALU | BPF_ADD | BPF_K, ROW_ADDEND);
		put(c, BPF_ALU | BPF_MUL | BPF_K, ROW_FACTOR);
		put(c, BPF_LD | BPF_MEM, M_LEVEL + level - 1);
	}
}

static void
put_row_starts(struct build *b)
{
	for (uint32_t level = 1; level <= b->levels; level++) {
		put(&b->code, BPF_ST, M_LEVEL + level - 1);
		put_mix(&b->code, 15, MIX_1);
		put(&b->code, BPF_ALU | BPF_MUL | BPF_K, MIX_2);
		put(&b->code, BPF_ALU | BPF_XOR | BPF_K, salt(level));
		put(&b->code, BPF_LD | BPF_MEM, M_HASH);
	}
}

static void
put_highest_weight(struct build *b)
{
	struct code *c = &b->code;

	put(c, BPF_RET | BPF_A, 0);
	put(c, BPF_LD | BPF_MEM, M_CHOICE);
	for (size_t i = b->n; i-- > 0;) {
		size_t lower = c->n;

		put(c, BPF_ST, M_CHOICE);
		put(c, BPF_LD | BPF_IMM, b->lanes[i].index);
		put(c, BPF_ST, M_BEST);
		if (i > 0) {
			put_branch(c, BPF_JGT | BPF_X, 0, c->n, lower);
			put(c, BPF_LDX | BPF_MEM, M_BEST);
		}
		put_mix(c, 15, MIX_2);
		put(c, BPF_ALU | BPF_MUL | BPF_K, MIX_1);
		put(c, BPF_ALU | BPF_XOR | BPF_K,
		    salt(STEERING_CBPF_SEATS_MAX + b->lanes[i].seat));
		put(c, BPF_LD | BPF_MEM, M_HASH);
	}
}

static void
put_any_lane(struct build *b)
{
	put_position(b);
	put_mix(&b->code, 16, 0);
	put(&b->code, BPF_ALU | BPF_MUL | BPF_K, SALT);
	put(&b->code, BPF_LD | BPF_MEM, M_HASH);
}

static void
put_last_resort(struct build *b)
{
	if (b->n <= HIGHEST_WEIGHT_MAX)
		put_highest_weight(b);
	else
		put_any_lane(b);
}

/* How many draws until one client in a million is left. */
static unsigned
draws_wanted(const struct build *b)
{
	uint64_t all = UINT64_C(1) << b->levels;
	uint64_t left = UINT64_C(1) << 40;
	unsigned draws = 0;

	for (; left > UINT64_C(1) << 20; draws++)
		left = left * (all - b->n) / all;
	return draws;
}

/* From the hash in M_HASH to the lane, by the row. False: no room for it. */
static bool
put_row(struct build *b)
{
	struct code *c = &b->code;
	unsigned wanted, draws;
	size_t lane;

	qsort(b->lanes, b->n, sizeof(*b->lanes), compare_seats);
	find_edges(b);
	wanted = draws_wanted(b);
	lane = put_runs(c, b->runs, find_runs(b->lanes, b->n, true, b->runs));
	/* The most it can be: seats decide how many draws fit, positions not. */
	if (b->n <= HIGHEST_WEIGHT_MAX)
		c->cost = b->n * RUN_COST_MAX;
	/* Where every number is a seat, the first draw is one. */
	if (b->n < (size_t)1 << b->levels)
		put_last_resort(b);
	for (draws = 0; draws < wanted && !c->full; draws++) {
		struct code before = *c;

		put_draw(b, lane);
		if (c->full && draws > 0) {
			*c = before;
			break;
		}
	}
	return !c->full;
}

/* One word more of the address in A, what is known of it in X, and back. */
static void
put_word(struct code *c, uint32_t offset, bool first)
{
	put(c, BPF_MISC | BPF_TAX, 0);
	put_mix(c, 15, 0);
	put(c, BPF_ALU | BPF_MUL | BPF_K, MIX_1);
	if (!first)
		put(c, BPF_ALU | BPF_XOR | BPF_X, 0);
	put(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + offset);
}

/* A flow's port into A; the hash of its address stays in X. */
static void
put_ipv4_port(struct code *c)
{
	put(c, BPF_LDX | BPF_MEM, M_HASH);
	put(c, BPF_LD | BPF_H | BPF_IND, (uint32_t)SKF_NET_OFF);
	/* The length of the header, by its first byte: options may follow. */
	put(c, BPF_LDX | BPF_B | BPF_MSH, (uint32_t)SKF_NET_OFF);
	put(c, BPF_STX, M_HASH);
}

/* The same, or 0 where extension headers stand between. */
static void
put_ipv6_port(struct code *c)
{
	size_t done = c->n, port, none;

	put(c, BPF_LD | BPF_IMM, 0);
	none = c->n;
	put_jump(c, done);
	put(c, BPF_LD | BPF_H | BPF_ABS, (uint32_t)SKF_NET_OFF + 40);
	port = c->n;
	put_branch(c, BPF_JEQ | BPF_K, IPPROTO_UDP, port, none);
	put(c, BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF + 6);
}

/*
 * The hash of the source address, and of a flow's source port, into A.
 *
 * A load that goes beyond the packet would end the program with position 0,
 * which may be anybody's. None can: the protocol is what the kernel knows of
 * the packet, not read from it; by it, ip_rcv() or ip6_rcv_core() has made sure
 * of the header that is read here before the transport looks for a socket.
 * IPv6's extension headers stand behind what is read. An IPv4 client of a
 * dual-stack socket comes in IPv4 packets. Anything else there may ever be is
 * one client.
 *
 * Nor can one for the port, which __udp4_lib_rcv() and __udp6_lib_rcv() have
 * made sure of. The kernel runs the program with the UDP header pulled, in
 * front of what it loads by plain offsets, so it is found from the network
 * header. Fragments are one packet again by then, and their IPv6 header gone.
 */
static void
put_source_hash(struct code *c, bool flow)
{
	size_t done, port, ipv4, ipv6;

	put_mix(c, 16, 0);
	put_mix(c, 13, MIX_2);
	put_mix(c, 16, MIX_1);
	done = c->n;
	if (flow)
		put(c, BPF_ALU | BPF_XOR | BPF_X, 0);
	port = c->n;
	if (flow) {
		put_ipv4_port(c);
		put_word(c, 12, true);
	} else {
		put(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12);
	}
	ipv4 = c->n;
	put_jump(c, port);
	if (flow)
		put_ipv6_port(c);
	for (uint32_t offset = 24; offset > 8;) {
		offset -= 4;
		put_word(c, offset, offset == 8);
	}
	ipv6 = c->n;
	put_jump(c, done);
	put(c, BPF_LD | BPF_IMM, 0);
	put_branch(c, BPF_JEQ | BPF_K, ETH_P_IPV6, ipv6, c->n);
	put_branch(c, BPF_JEQ | BPF_K, ETH_P_IP, ipv4, c->n);
	put(c, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
}

/*
 * Room: what stands before the choice needs up to HEAD_MAX instructions, and
 * HEAD_COST_MAX once they are translated (a load becomes about ten). The kernel
 * counts 8 bytes for each of those, and what is around them.
 */
#define HEAD_MAX	160
#define HEAD_COST_MAX	272
#define INSN_BYTES	8
#define PROGRAM_BYTES	256

static void
limit(struct build *b, size_t optmem_max)
{
	struct code *c = &b->code;

	c->n_max = BPF_MAXINSNS - HEAD_MAX;
	if (optmem_max < STEERING_CBPF_OPTMEM_OLD)
		optmem_max = STEERING_CBPF_OPTMEM_OLD;
	c->cost_max = (optmem_max - PROGRAM_BYTES) / INSN_BYTES - HEAD_COST_MAX;
	/* Let this one be the limit that counts: see put_row(). */
	if (b->n <= HIGHEST_WEIGHT_MAX && c->cost_max > c->n_max)
		c->cost_max = c->n_max;
}

static void
unlimit(struct build *b)
{
	b->code.n_max = BPF_MAXINSNS;
	b->code.cost_max = SIZE_MAX;
}

static void
put_source(struct build *b, bool flow, size_t optmem_max)
{
	struct code *c = &b->code;

	limit(b, optmem_max);
	if (put_row(b)) {
		unlimit(b);
		put_row_starts(b);
	} else {
		unlimit(b);
		c->n = c->cost = 0;
		c->full = false;
		put_any_lane(b);
	}
	put(c, BPF_ST, M_HASH);
	put_source_hash(c, flow);
}

static void
put_program(struct build *b, enum steering_cbpf_key key, size_t optmem_max)
{
	struct code *c = &b->code;

	unlimit(b);
	if (b->n == 1) {
		put(c, BPF_RET | BPF_K, b->lanes[0].index);
	} else if (key != STEERING_CBPF_RANDOM) {
		put_source(b, key == STEERING_CBPF_FLOW, optmem_max);
	} else {
		put_position(b);
		put(c, BPF_LD | BPF_W | BPF_ABS,
		    (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
	}
	assert(!c->full);
}

int
steering_cbpf_build(enum steering_cbpf_key key,
    const struct steering_cbpf_lane *lanes, size_t n, size_t optmem_max,
    struct steering_cbpf_program *ret_program)
{
	struct build b = { .n = n };
	struct sock_filter *code;
	int r = -ENOMEM;

	assert(n >= 1 && n <= STEERING_CBPF_SEATS_MAX);
	b.lanes = calloc(n, sizeof(*b.lanes));
	b.runs = calloc(n, sizeof(*b.runs));
	b.buckets = calloc(n, sizeof(*b.buckets));
	b.edges = calloc(2 * n + 1, sizeof(*b.edges));
	b.code.at = calloc(BPF_MAXINSNS, sizeof(*b.code.at));
	if (b.lanes == NULL || b.runs == NULL || b.buckets == NULL ||
	    b.edges == NULL || b.code.at == NULL)
		goto out;
	memcpy(b.lanes, lanes, n * sizeof(*lanes));
	put_program(&b, key, optmem_max);
	code = calloc(b.code.n, sizeof(*code));
	if (code == NULL)
		goto out;
	memcpy(code, b.code.at + BPF_MAXINSNS - b.code.n,
	    b.code.n * sizeof(*code));
	*ret_program = (struct steering_cbpf_program){
		.code = code, .n = b.code.n,
	};
	r = 0;
out:
	free(b.lanes);
	free(b.runs);
	free(b.buckets);
	free(b.edges);
	free(b.code.at);
	return r;
}

void
steering_cbpf_free(struct steering_cbpf_program *program)
{
	free(program->code);
	*program = (struct steering_cbpf_program){ .code = NULL };
}
