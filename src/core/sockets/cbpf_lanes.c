#include <linux/filter.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/sockets/cbpf_code.h"
#include "core/sockets/cbpf_lanes.h"

/* Keys that follow each other, on lanes that follow each other. */
struct cbpf_run {
	uint32_t key;
	uint32_t index;		/* the lane of `key` */
	uint32_t n;
};

/* For each a comparison, an addition and the return. */
#define RUN_INSNS	3

/*
 * A lane's key is its seat, or its place in `lanes`. A run by seat goes on
 * across seats that are missing: these never come as far as here.
 */
static size_t
find_runs(const struct steering_cbpf_lane *lanes, size_t n, bool by_seat,
    struct cbpf_run *runs)
{
	size_t n_runs = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t key = by_seat ? lanes[i].seat : i;
		struct cbpf_run *last = n_runs > 0 ? &runs[n_runs - 1] : NULL;

		if (last != NULL &&
		    lanes[i].index - key == last->index - last->key)
			last->n++;
		else
			runs[n_runs++] = (struct cbpf_run){
				.key = key, .index = lanes[i].index, .n = 1,
			};
	}
	return n_runs;
}

/* Return the lane of key A, which must be one. */
static size_t
put_runs(struct cbpf_code *c, const struct cbpf_run *runs, size_t n)
{
	if (n == 1 && runs->n == 1) {
		cbpf_put(c, BPF_RET | BPF_K, runs->index);
	} else if (n == 1) {
		cbpf_put(c, BPF_RET | BPF_A, 0);
		if (runs->index != runs->key)
			cbpf_put(c, BPF_ALU | BPF_ADD | BPF_K,
			    runs->index - runs->key);
	} else {
		size_t high = put_runs(c, runs + n / 2, n - n / 2);
		size_t low = put_runs(c, runs, n / 2);

		cbpf_put_branch(c, BPF_JGE | BPF_K, runs[n / 2].key, high, low);
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

struct cbpf_bucket {
	uint32_t base;
	uint32_t offsets;
};

/* Return how many places there are in the buckets; `lanes` by index. */
static uint32_t
fill_buckets(const struct steering_cbpf_lane *lanes, size_t n,
    struct cbpf_bucket *buckets, size_t *ret_n)
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
		buckets[n_buckets++] = (struct cbpf_bucket){ base, offsets };
		places += i + used < n ? BUCKET_LANES : (uint32_t)used;
	}
	*ret_n = n_buckets;
	return places;
}

static size_t
put_bucket_tree(struct cbpf_code *c, const struct cbpf_bucket *buckets,
    uint32_t first, uint32_t n, size_t tail)
{
	if (n == 1) {
		cbpf_put_jump(c, tail);
		cbpf_put(c, BPF_LDX | BPF_IMM, buckets[first].base);
		cbpf_put(c, BPF_LD | BPF_IMM, buckets[first].offsets);
	} else {
		uint32_t mid = first + n / 2;
		size_t high = put_bucket_tree(c, buckets, mid, n - n / 2, tail);
		size_t low = put_bucket_tree(c, buckets, first, n / 2, tail);

		cbpf_put_branch(c, BPF_JGE | BPF_K, mid, high, low);
	}
	return c->n;
}

/* Return the lane at place A of the buckets. */
static void
put_buckets(struct cbpf_code *c, const struct cbpf_bucket *buckets, size_t n)
{
	size_t first, other;

	cbpf_put(c, BPF_RET | BPF_A, 0);
	cbpf_put(c, BPF_LD | BPF_MEM, CBPF_M_BASE);
	first = c->n;
	cbpf_put(c, BPF_RET | BPF_A, 0);
	cbpf_put(c, BPF_ALU | BPF_ADD | BPF_X, 0);
	cbpf_put(c, BPF_LDX | BPF_MEM, CBPF_M_BASE);
	cbpf_put(c, BPF_ALU | BPF_AND | BPF_K, UINT8_MAX);
	cbpf_put(c, BPF_ALU | BPF_RSH | BPF_X, 0);
	cbpf_put(c, BPF_LD | BPF_MEM, CBPF_M_OFFSETS);
	cbpf_put(c, BPF_MISC | BPF_TAX, 0);
	cbpf_put(c, BPF_ALU | BPF_LSH | BPF_K, 3);
	cbpf_put(c, BPF_ALU | BPF_SUB | BPF_K, 1);
	other = c->n;
	cbpf_put_branch(c, BPF_JEQ | BPF_K, 0, first, other);
	cbpf_put(c, BPF_ALU | BPF_MOD | BPF_K, BUCKET_LANES);
	cbpf_put(c, BPF_LD | BPF_MEM, CBPF_M_POSITION);
	cbpf_put(c, BPF_STX, CBPF_M_BASE);
	cbpf_put(c, BPF_ST, CBPF_M_OFFSETS);
	put_bucket_tree(c, buckets, 0, (uint32_t)n, c->n);
	cbpf_put(c, BPF_ALU | BPF_DIV | BPF_K, BUCKET_LANES);
	cbpf_put(c, BPF_ST, CBPF_M_POSITION);
}

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

int
cbpf_lanes_init(struct cbpf_lanes *l, const struct steering_cbpf_lane *lanes,
    size_t n)
{
	*l = (struct cbpf_lanes){ .n = n };
	l->v = calloc(n, sizeof(*l->v));
	l->runs = calloc(n, sizeof(*l->runs));
	l->buckets = calloc(n, sizeof(*l->buckets));
	if (l->v == NULL || l->runs == NULL || l->buckets == NULL) {
		cbpf_lanes_fini(l);
		return -ENOMEM;
	}
	memcpy(l->v, lanes, n * sizeof(*lanes));
	return 0;
}

void
cbpf_lanes_fini(struct cbpf_lanes *l)
{
	free(l->v);
	free(l->runs);
	free(l->buckets);
	*l = (struct cbpf_lanes){ .v = NULL };
}

void
cbpf_lanes_sort(struct cbpf_lanes *l)
{
	qsort(l->v, l->n, sizeof(*l->v), compare_seats);
}

size_t
cbpf_lanes_put_seat(struct cbpf_lanes *l, struct cbpf_code *c)
{
	return put_runs(c, l->runs, find_runs(l->v, l->n, true, l->runs));
}

void
cbpf_lanes_put_any(struct cbpf_lanes *l, struct cbpf_code *c)
{
	size_t n_runs, n_buckets;
	uint32_t places;
	bool shorter;

	qsort(l->v, l->n, sizeof(*l->v), compare_indexes);
	n_runs = find_runs(l->v, l->n, false, l->runs);
	places = fill_buckets(l->v, l->n, l->buckets, &n_buckets);
	shorter = n_buckets * BUCKET_INSNS < n_runs * RUN_INSNS;
	if (n_runs > RUNS_MAX || (places == l->n && shorter)) {
		put_buckets(c, l->buckets, n_buckets);
	} else {
		(void)put_runs(c, l->runs, n_runs);
		places = (uint32_t)l->n;
	}
	cbpf_put(c, BPF_ALU | BPF_MOD | BPF_K, places);
}
