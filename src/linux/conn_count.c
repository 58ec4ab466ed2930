#include <sys/mman.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/bpf_syscall.h"
#include "linux/cgroup.h"
#include "linux/conn_count.h"
#include "linux/steering_layout.h"
#include "linux/steering_programs.h"

/* Cells of the first pool; 32 bytes each. */
#define POOL_CELLS 1024

/* Moved connections that are noted at a time. More stay with the lane that they
   came from. */
#define MOVED_MAX 4096

struct conn_pool {
	struct conn_pool *next;
	struct conn_range *ranges;	/* in the order of their cells */
	struct steer_cell *cells;
	uint32_t n;
	int cells_map;
	int marks_map;
	int moved_map;
	int moves_map;
	int link;			/* -1: nothing is counted */
};

struct conn_count {
	struct conn_pool *pools;
	uint32_t generation;		/* of the latest range; 0 is none's */
	struct error why_not;		/* the latest pool */
};

static void
pool_free(struct conn_pool *pool)
{
	while (pool->ranges != NULL) {
		struct conn_range *range = pool->ranges;

		pool->ranges = range->next;
		free(range);
	}
	if (pool->cells != NULL)
		(void)munmap(pool->cells, pool->n * sizeof(*pool->cells));
	fd_close(&pool->link);
	fd_close(&pool->cells_map);
	fd_close(&pool->marks_map);
	fd_close(&pool->moved_map);
	fd_close(&pool->moves_map);
	free(pool);
}

static int
pool_maps(struct conn_pool *pool)
{
	const struct bpf_map_shape cells = {
		.name = "lane_counts",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct steer_cell),
		.max_entries = pool->n,
		.flags = BPF_MAP_MMAPABLE,
	};
	const struct bpf_map_shape marks = {
		.name = "lane_marks",
		.kind = BPF_KIND_SOCKET_STORAGE,
		.key_size = 4,
		.value_size = sizeof(struct steer_mark),
		.flags = BPF_MAP_NO_PREALLOC | BPF_MAP_CLONE,
	};
	const struct bpf_map_shape moved = {
		.name = "lane_moved",
		.kind = BPF_KIND_HASH,
		.key_size = 8,
		.value_size = 4,
		.max_entries = MOVED_MAX,
		.flags = BPF_MAP_NO_PREALLOC,
	};
	const struct bpf_map_shape moves = {
		.name = "lane_moves",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct steer_moves),
		.max_entries = 1,
	};
	void *values;
	int code;

	if ((pool->cells_map = bpf_map_new(&cells)) < 0)
		return pool->cells_map;
	if ((pool->marks_map = bpf_map_new(&marks)) < 0)
		return pool->marks_map;
	if ((pool->moved_map = bpf_map_new(&moved)) < 0)
		return pool->moved_map;
	if ((pool->moves_map = bpf_map_new(&moves)) < 0)
		return pool->moves_map;
	code = bpf_map_share(pool->cells_map, pool->n * sizeof(*pool->cells),
	    &values);
	if (code == 0)
		pool->cells = values;
	return code;
}

/* The program that counts, attached to our cgroup. The words are complete. */
static int
pool_count(struct conn_pool *pool, struct error *err)
{
	const int maps[STEERING_MAPS] = {
		[STEERING_MAP_CELLS] = pool->cells_map,
		[STEERING_MAP_MARKS] = pool->marks_map,
		[STEERING_MAP_MOVED] = pool->moved_map,
		[STEERING_VALUE_MOVES] = pool->moves_map,
	};
	struct error why = ERROR_INIT;
	int cgroup = -1;
	int program, code;

	program = bpf_program_load(steering_program(STEERING_COUNT), maps, &why);
	if (program < 0) {
		code = steering_refused(program, "counting connections",
		    error_text(&why), err);
		error_clear(&why);
		return code;
	}
	code = cgroup_open_own(&cgroup, err);
	if (code == 0) {
		pool->link = bpf_link_cgroup(program, cgroup,
		    BPF_ATTACH_SOCK_OPS);
		if (pool->link < 0)
			code = steering_refused(pool->link,
			    "attaching to our cgroup", strerror(-pool->link),
			    err);
	}
	fd_close(&cgroup);
	fd_close(&program);
	return code;
}

/* Add a pool at the front. That it does not count is no failure. */
static int
pool_add(struct conn_count *count, size_t n, struct error *err)
{
	struct conn_pool *pool = calloc(1, sizeof(*pool));
	int code;

	if (pool == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	pool->n = n > POOL_CELLS ? (uint32_t)n : POOL_CELLS;
	pool->cells_map = pool->marks_map = pool->moved_map = -1;
	pool->moves_map = pool->link = -1;
	code = pool_maps(pool);
	if (code < 0) {
		steering_refused(code, "making maps", strerror(-code), err);
		pool_free(pool);
		return code;
	}
	error_clear(&count->why_not);
	if (pool_count(pool, &count->why_not) < 0)
		fd_close(&pool->link);
	pool->next = count->pools;
	count->pools = pool;
	return 0;
}

int
conn_count_new(struct conn_count **ret_count, struct error *err)
{
	struct conn_count *count = calloc(1, sizeof(*count));
	int code;

	if (count == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	code = pool_add(count, POOL_CELLS, err);
	if (code < 0) {
		conn_count_free(count);
		return code;
	}
	*ret_count = count;
	return 0;
}

void
conn_count_free(struct conn_count *count)
{
	if (count == NULL)
		return;
	while (count->pools != NULL) {
		struct conn_pool *pool = count->pools;

		count->pools = pool->next;
		pool_free(pool);
	}
	error_clear(&count->why_not);
	free(count);
}

const char *
conn_count_why_not(const struct conn_count *count)
{
	return count->pools->link >= 0 ? NULL : error_text(&count->why_not);
}

/* ---- ranges ---- */

static bool
in_use(const struct conn_range *range)
{
	if (!range->released)
		return true;
	for (size_t i = 0; i < range->n; i++)
		if (__atomic_load_n(&range->cells[i].open, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

static void
forget_unused(struct conn_pool *pool)
{
	struct conn_range **at = &pool->ranges;

	while (*at != NULL) {
		struct conn_range *range = *at;

		if (in_use(range)) {
			at = &range->next;
			continue;
		}
		*at = range->next;
		free(range);
	}
}

/* Where a gap of `n` cells is: *ret_first, and the link to insert at. */
static struct conn_range **
find_gap(struct conn_pool *pool, size_t n, uint32_t *ret_first)
{
	struct conn_range **at = &pool->ranges;
	uint32_t first = 0;

	for (; *at != NULL; at = &(*at)->next) {
		if ((*at)->first - first >= n)
			break;
		first = (*at)->first + (uint32_t)(*at)->n;
	}
	if (*at == NULL && pool->n - first < n)
		return NULL;
	*ret_first = first;
	return at;
}

static struct conn_range **
find_room(struct conn_count *count, size_t n, struct conn_pool **ret_pool,
    uint32_t *ret_first)
{
	struct conn_range **at = NULL;

	for (struct conn_pool *p = count->pools; p != NULL; p = p->next) {
		forget_unused(p);
		at = find_gap(p, n, ret_first);
		*ret_pool = p;
		if (at != NULL)
			break;
	}
	return at;
}

int
conn_count_take(struct conn_count *count, size_t n,
    struct conn_range **ret_range, struct error *err)
{
	struct conn_pool *pool = NULL;
	uint32_t first = 0;
	struct conn_range **at = find_room(count, n, &pool, &first);
	struct conn_range *range;

	if (at == NULL) {
		int code = pool_add(count, n, err);

		if (code < 0)
			return code;
		at = find_room(count, n, &pool, &first);
	}
	range = calloc(1, sizeof(*range));
	if (range == NULL || at == NULL) {
		free(range);
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	}
	if (++count->generation == 0)
		count->generation = 1;
	*range = (struct conn_range){
		.next = *at,
		.cells = pool->cells + first,
		.n = n,
		.first = first,
		.generation = count->generation,
		.pool = pool,
	};
	*at = range;
	for (size_t i = 0; i < n; i++) {
		struct steer_cell *cell = &range->cells[i];

		cell->total = 0;
		cell->pending[0] = cell->pending[1] = 0;
		__atomic_store_n(&cell->generation, range->generation,
		    __ATOMIC_RELEASE);
	}
	*ret_range = range;
	return 0;
}

void
conn_count_release(struct conn_count *count, struct conn_range *range)
{
	if (range == NULL)
		return;
	/* Somebody may still hold the sockets: what they get from now on
	   does not count. */
	for (size_t i = 0; i < range->n; i++)
		__atomic_store_n(&range->cells[i].generation, 0,
		    __ATOMIC_RELEASE);
	range->released = true;
	for (struct conn_pool *p = count->pools; p != NULL; p = p->next)
		forget_unused(p);
}

bool
conn_range_counted(const struct conn_range *range)
{
	return range->pool->link >= 0;
}

struct conn_maps
conn_range_maps(const struct conn_range *range)
{
	return (struct conn_maps){
		.cells = range->pool->cells_map,
		.moved = range->pool->moved_map,
		.moves = range->pool->moves_map,
	};
}

/* ---- marks ---- */

int
conn_range_mark(const struct conn_range *range, size_t lane, int fd)
{
	const struct steer_mark mark = {
		.cell = range->first + (uint32_t)lane,
		.generation = range->generation,
	};

	return bpf_map_set(range->pool->marks_map, &fd, &mark);
}

bool
conn_range_marked(const struct conn_range *range, size_t lane, int fd,
    bool *ret_covered)
{
	struct steer_mark mark;

	if (bpf_map_get(range->pool->marks_map, &fd, &mark) < 0 ||
	    mark.cell != range->first + (uint32_t)lane ||
	    mark.generation != range->generation)
		return false;
	*ret_covered = mark.covered != 0;
	return true;
}
