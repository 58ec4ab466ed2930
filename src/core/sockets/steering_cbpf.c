#include <linux/filter.h>

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/sockets/cbpf_checks.h"
#include "core/sockets/cbpf_client.h"
#include "core/sockets/cbpf_code.h"
#include "core/sockets/cbpf_lanes.h"
#include "core/sockets/cbpf_question.h"
#include "core/sockets/steering_cbpf.h"

static_assert(STEERING_CBPF_SEATS_MAX == 1 << CBPF_LEVELS_MAX,
    "a level for each bit of a seat");
static_assert(CBPF_M_BASE < BPF_MEMWORDS, "the program's memory is full");

struct build {
	struct cbpf_lanes lanes;
	uint32_t *edges;	/* where seats begin and cease to be there */
	size_t n_edges;
	bool first_is_there;	/* … from seat 0 on */
	uint32_t levels;	/* of draws: seats are < 1 << levels */
	struct cbpf_code code;
};

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

static uint32_t
salt(uint32_t number)
{
	uint32_t x = (number + 1) * SALT;

	x ^= x >> 16;
	x *= CBPF_MIX_1;
	x ^= x >> 13;
	x *= CBPF_MIX_2;
	return x ^ x >> 16;
}

static void
find_edges(struct build *b)
{
	const struct steering_cbpf_lane *l = b->lanes.v;
	unsigned last = l[b->lanes.n - 1].seat;
	size_t n = 0;

	b->first_is_there = l[0].seat == 0;
	b->edges[n++] = 0;
	if (!b->first_is_there)
		b->edges[n++] = l[0].seat;
	for (size_t i = 1; i < b->lanes.n; i++)
		if (l[i].seat != l[i - 1].seat + 1) {
			b->edges[n++] = l[i - 1].seat + 1;
			b->edges[n++] = l[i].seat;
		}
	for (b->levels = 0; last >> b->levels != 0; b->levels++)
		continue;
	if (last + 1 < 1u << b->levels)
		b->edges[n++] = last + 1;
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
	cbpf_put_branch(&b->code, BPF_JGE | BPF_K, b->edges[edge + n / 2], high,
	    low);
	return b->code.n;
}

/* The next of the row: to `there` with it in A if that seat is. */
static void
put_draw(struct build *b, size_t there)
{
	struct cbpf_code *c = &b->code;
	size_t missing = c->n, check;

	cbpf_put_jump(c, there);
	check = put_check(b, 0, b->n_edges, c->n, missing);
	cbpf_put(c, BPF_LD | BPF_IMM, 0);
	for (uint32_t level = 1; level <= b->levels; level++) {
		size_t lesser = c->n;

		cbpf_put_jump(c, check);
		cbpf_put(c, BPF_ALU | BPF_RSH | BPF_K, 32 - level);
		cbpf_put_branch(c, BPF_JGT | BPF_K, INT32_MAX, c->n, lesser);
		cbpf_put(c, BPF_ST, CBPF_M_LEVEL + level - 1);
		cbpf_put(c, BPF_ALU | BPF_ADD | BPF_K, ROW_ADDEND);
		cbpf_put(c, BPF_ALU | BPF_MUL | BPF_K, ROW_FACTOR);
		cbpf_put(c, BPF_LD | BPF_MEM, CBPF_M_LEVEL + level - 1);
	}
}

static void
put_row_starts(struct build *b)
{
	for (uint32_t level = 1; level <= b->levels; level++) {
		cbpf_put(&b->code, BPF_ST, CBPF_M_LEVEL + level - 1);
		cbpf_put_mix(&b->code, 15, CBPF_MIX_1);
		cbpf_put(&b->code, BPF_ALU | BPF_MUL | BPF_K, CBPF_MIX_2);
		cbpf_put(&b->code, BPF_ALU | BPF_XOR | BPF_K, salt(level));
		cbpf_put(&b->code, BPF_LD | BPF_MEM, CBPF_M_HASH);
	}
}

static void
put_highest_weight(struct build *b)
{
	struct cbpf_code *c = &b->code;

	cbpf_put(c, BPF_RET | BPF_A, 0);
	cbpf_put(c, BPF_LD | BPF_MEM, CBPF_M_CHOICE);
	for (size_t i = b->lanes.n; i-- > 0;) {
		size_t lower = c->n;

		cbpf_put(c, BPF_ST, CBPF_M_CHOICE);
		cbpf_put(c, BPF_LD | BPF_IMM, b->lanes.v[i].index);
		cbpf_put(c, BPF_ST, CBPF_M_BEST);
		if (i > 0) {
			cbpf_put_branch(c, BPF_JGT | BPF_X, 0, c->n, lower);
			cbpf_put(c, BPF_LDX | BPF_MEM, CBPF_M_BEST);
		}
		cbpf_put_mix(c, 15, CBPF_MIX_2);
		cbpf_put(c, BPF_ALU | BPF_MUL | BPF_K, CBPF_MIX_1);
		cbpf_put(c, BPF_ALU | BPF_XOR | BPF_K,
		    salt(STEERING_CBPF_SEATS_MAX + b->lanes.v[i].seat));
		cbpf_put(c, BPF_LD | BPF_MEM, CBPF_M_HASH);
	}
}

static void
put_any_lane(struct build *b)
{
	cbpf_lanes_put_any(&b->lanes, &b->code);
	cbpf_put_mix(&b->code, 16, 0);
	cbpf_put(&b->code, BPF_ALU | BPF_MUL | BPF_K, SALT);
	cbpf_put(&b->code, BPF_LD | BPF_MEM, CBPF_M_HASH);
}

static void
put_last_resort(struct build *b)
{
	if (b->lanes.n <= HIGHEST_WEIGHT_MAX)
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
		left = left * (all - b->lanes.n) / all;
	return draws;
}

/* From the hash in CBPF_M_HASH to the lane, by the row. False: no room. */
static bool
put_row(struct build *b)
{
	struct cbpf_code *c = &b->code;
	unsigned wanted, draws;
	size_t lane;

	cbpf_lanes_sort(&b->lanes);
	find_edges(b);
	wanted = draws_wanted(b);
	lane = cbpf_lanes_put_seat(&b->lanes, c);
	/* The most it can be: seats decide how many draws fit, positions not. */
	if (b->lanes.n <= HIGHEST_WEIGHT_MAX)
		c->cost = b->lanes.n * CBPF_LANE_COST_MAX;
	/* Where every number is a seat, the first draw is one. */
	if (b->lanes.n < (size_t)1 << b->levels)
		put_last_resort(b);
	for (draws = 0; draws < wanted && !c->full; draws++) {
		struct cbpf_code before = *c;

		put_draw(b, lane);
		if (c->full && draws > 0) {
			*c = before;
			break;
		}
	}
	return !c->full;
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
	struct cbpf_code *c = &b->code;

	c->n_max = BPF_MAXINSNS - HEAD_MAX;
	if (optmem_max < STEERING_CBPF_OPTMEM_OLD)
		optmem_max = STEERING_CBPF_OPTMEM_OLD;
	c->cost_max = (optmem_max - PROGRAM_BYTES) / INSN_BYTES - HEAD_COST_MAX;
	/* Let this one be the limit that counts: see put_row(). */
	if (b->lanes.n <= HIGHEST_WEIGHT_MAX && c->cost_max > c->n_max)
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
	struct cbpf_code *c = &b->code;

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
	cbpf_put(c, BPF_ST, CBPF_M_HASH);
	cbpf_put_client(c, flow);
}

static void
put_program(struct build *b, enum steering_cbpf_key key, size_t optmem_max)
{
	struct cbpf_code *c = &b->code;

	unlimit(b);
	if (b->lanes.n == 1) {
		cbpf_put(c, BPF_RET | BPF_K, b->lanes.v[0].index);
	} else if (key != STEERING_CBPF_RANDOM) {
		put_source(b, key == STEERING_CBPF_FLOW, optmem_max);
	} else {
		cbpf_lanes_put_any(&b->lanes, &b->code);
		cbpf_put(c, BPF_LD | BPF_W | BPF_ABS,
		    (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
	}
	assert(!c->full);
}

int
steering_cbpf_build_with(enum steering_cbpf_key key,
    const struct steering_cbpf_lane *lanes, size_t n, size_t optmem_max,
    const struct steering_cbpf_extras *extras,
    struct steering_cbpf_program *ret_program)
{
	struct build b = { .n_edges = 0 };
	struct sock_filter *code;
	int r = -ENOMEM;

	if (extras->positions > CBPF_QUESTION_POSITIONS)
		return -E2BIG;
	assert(extras->n_checks <= STEERING_CBPF_CHECKS_MAX);
	assert(n >= 1 && n <= STEERING_CBPF_SEATS_MAX);
	if (cbpf_lanes_init(&b.lanes, lanes, n) < 0)
		return -ENOMEM;
	b.edges = calloc(2 * n + 1, sizeof(*b.edges));
	b.code.at = calloc(BPF_MAXINSNS, sizeof(*b.code.at));
	if (b.edges == NULL || b.code.at == NULL)
		goto out;
	put_program(&b, key, optmem_max);
	cbpf_put_checks(&b.code, extras->checks, extras->n_checks);
	if (extras->positions > 0)
		cbpf_put_question(&b.code, (uint32_t)extras->positions);
	if (b.code.full) {
		r = -E2BIG;
		goto out;
	}
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
	cbpf_lanes_fini(&b.lanes);
	free(b.edges);
	free(b.code.at);
	return r;
}

int
steering_cbpf_build(enum steering_cbpf_key key,
    const struct steering_cbpf_lane *lanes, size_t n, size_t optmem_max,
    struct steering_cbpf_program *ret_program)
{
	return steering_cbpf_build_with(key, lanes, n, optmem_max,
	    &(struct steering_cbpf_extras){ .positions = 0 }, ret_program);
}

void
steering_cbpf_free(struct steering_cbpf_program *program)
{
	free(program->code);
	*program = (struct steering_cbpf_program){ .code = NULL };
}
