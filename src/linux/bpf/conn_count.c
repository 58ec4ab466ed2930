#include <sys/mman.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/process/cgroup.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_layout.h"
#include "linux/bpf/steering_maps.h"
#include "linux/bpf/steering_programs.h"

/* Moved connections that are noted at a time. More stay with the lane that they
   came from. */
#define MOVED_MAX 4096

/* A released cell is free when its last connection has closed. */
enum cell_use {
	CELL_FREE,
	CELL_TAKEN,
	CELL_RELEASED,
	CELL_LEFT,		/* a lane's that has not asked for it yet */
};

/* More are not looked after: whoever is moved that often is not counted. */
#define COVERS_MAX 64

/* A cgroup whose sockets are counted. */
struct conn_cover {
	uint64_t cgroup;
	int link;
};

struct conn_count {
	struct bpf_window cells;	/* STEER_LANES of them */
	unsigned char *use;		/* enum cell_use, of the first `n` */
	uint32_t n;
	uint32_t next;			/* where to look for a free one */
	uint32_t generation;		/* of the latest cell; 0 is none's */
	int cells_map;
	int marks_map;
	int moved_map;
	int moves_map;
	int program;			/* which counts; -1: nothing is */
	struct conn_cover covers[COVERS_MAX];
	size_t n_covers;
	struct error why_not;
};

/* ---- the program ---- */

enum map {
	MAP_CELLS,
	MAP_MARKS,
	MAP_MOVED,
	MAP_MOVES,
	MAPS
};

static const struct bpf_map_shape shapes[MAPS] = {
	[MAP_CELLS] = {
		.name = "lane_counts",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct steer_cell),
		.max_entries = STEER_LANES,
		.flags = BPF_MAP_MMAPABLE,
	},
	[MAP_MARKS] = {
		.name = "lane_marks",
		.kind = BPF_KIND_SOCKET_STORAGE,
		.key_size = 4,
		.value_size = sizeof(struct steer_mark),
		.flags = BPF_MAP_NO_PREALLOC | BPF_MAP_CLONE,
	},
	[MAP_MOVED] = {
		.name = "lane_moved",
		.kind = BPF_KIND_HASH,
		.key_size = 8,
		.value_size = 4,
		.max_entries = MOVED_MAX,
		.flags = BPF_MAP_NO_PREALLOC,
	},
	[MAP_MOVES] = {
		.name = "lane_moves",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct steer_moves),
		.max_entries = 1,
	},
};

static int
open_cells(struct conn_count *count)
{
	return bpf_window_open(&count->cells, count->cells_map,
	    STEER_LANES * sizeof(struct steer_cell));
}

static int
make_maps(struct conn_count *count)
{
	int *const maps[MAPS] = {
		[MAP_CELLS] = &count->cells_map,
		[MAP_MARKS] = &count->marks_map,
		[MAP_MOVED] = &count->moved_map,
		[MAP_MOVES] = &count->moves_map,
	};

	for (int i = 0; i < MAPS; i++) {
		*maps[i] = bpf_map_new(&shapes[i]);
		if (*maps[i] < 0)
			return *maps[i];
	}
	return open_cells(count);
}

/* The program that counts. The words are complete. */
static int
load_program(struct conn_count *count, struct error *err)
{
	const int maps[STEERING_MAPS] = {
		[STEERING_MAP_CELLS] = count->cells_map,
		[STEERING_MAP_MARKS] = count->marks_map,
		[STEERING_MAP_MOVED] = count->moved_map,
		[STEERING_VALUE_MOVES] = count->moves_map,
	};
	struct error why = ERROR_INIT;

	count->program = bpf_program_load(steering_program(STEERING_COUNT),
	    maps, &why);
	if (count->program < 0)
		steering_refused(count->program, "counting connections",
		    error_text(&why), err);
	error_clear(&why);
	return count->program < 0 ? count->program : 0;
}

static int
attach(struct conn_count *count, const struct cgroup *cgroup, struct error *err)
{
	int fd = -1;
	int code = cgroup_open(cgroup, &fd, err);
	int link;

	if (code < 0)
		return code;
	link = bpf_link_cgroup(count->program, fd, BPF_ATTACH_SOCK_OPS);
	fd_close(&fd);
	if (link < 0)
		return steering_refused(link, "attaching to our cgroup",
		    strerror(-link), err);
	count->covers[count->n_covers++] = (struct conn_cover){
		.cgroup = cgroup->id, .link = link,
	};
	return 0;
}

int
conn_count_cover(struct conn_count *count, const struct cgroup *cgroup,
    struct error *err)
{
	if (count->program < 0)
		return error_set(err, -EPERM, "%s",
		    error_text(&count->why_not));
	/* What is attached to one above it is in force below (bpf_link, hierarchical):
	   a second time would be one more to hand over. */
	for (size_t i = 0; i < count->n_covers; i++)
		if (cgroup_is_within(cgroup, count->covers[i].cgroup))
			return 0;
	if (count->n_covers == COVERS_MAX)
		return error_set(err, -ENOSPC,
		    "moved to more than %d cgroups", COVERS_MAX);
	return attach(count, cgroup, err);
}

static int
start_counting(struct conn_count *count, struct error *err)
{
	struct cgroup own;
	int code = load_program(count, err);

	if (code == 0)
		code = cgroup_own(&own, err);
	if (code < 0)
		return code;
	code = attach(count, &own, err);
	cgroup_free(&own);
	return code;
}

static struct conn_count *
allocate(void)
{
	struct conn_count *count = calloc(1, sizeof(*count));

	if (count == NULL)
		return NULL;
	count->cells_map = count->marks_map = count->moved_map = -1;
	count->moves_map = count->program = -1;
	count->cells = (struct bpf_window)BPF_WINDOW_INIT;
	return count;
}

int
conn_count_new(struct conn_count **ret_count, struct error *err)
{
	struct conn_count *count = allocate();
	int code;

	if (count == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	code = make_maps(count);
	if (code < 0) {
		steering_refused(code, "making maps", strerror(-code), err);
		conn_count_free(count);
		return code;
	}
	if (start_counting(count, &count->why_not) < 0)
		fd_close(&count->program);
	*ret_count = count;
	return 0;
}

void
conn_count_free(struct conn_count *count)
{
	if (count == NULL)
		return;
	while (count->n_covers > 0)
		fd_close(&count->covers[--count->n_covers].link);
	fd_close(&count->program);
	bpf_window_close(&count->cells);
	free(count->use);
	fd_close(&count->cells_map);
	fd_close(&count->marks_map);
	fd_close(&count->moved_map);
	fd_close(&count->moves_map);
	error_clear(&count->why_not);
	free(count);
}

/* ---- from one supervisor to the next ---- */

bool
conn_count_fds(const struct conn_count *count, int fds[CONN_COUNT_FDS])
{
	if (count->program < 0 || count->n_covers != 1)
		return false;
	fds[CONN_COUNT_CELLS] = count->cells_map;
	fds[CONN_COUNT_MARKS] = count->marks_map;
	fds[CONN_COUNT_MOVED] = count->moved_map;
	fds[CONN_COUNT_MOVES] = count->moves_map;
	fds[CONN_COUNT_PROGRAM] = count->program;
	fds[CONN_COUNT_LINK] = count->covers[0].link;
	return true;
}

bool
conn_count_is_there(const int fds[CONN_COUNT_FDS])
{
	uint64_t cgroup;

	return bpf_map_has(fds[CONN_COUNT_CELLS], &shapes[MAP_CELLS]) &&
	    bpf_map_has(fds[CONN_COUNT_MARKS], &shapes[MAP_MARKS]) &&
	    bpf_map_has(fds[CONN_COUNT_MOVED], &shapes[MAP_MOVED]) &&
	    bpf_map_has(fds[CONN_COUNT_MOVES], &shapes[MAP_MOVES]) &&
	    bpf_link_is(fds[CONN_COUNT_LINK], fds[CONN_COUNT_PROGRAM],
		&cgroup);
}

int
conn_count_again(const int fds[CONN_COUNT_FDS], struct conn_count **ret)
{
	struct conn_count *count = allocate();
	int code;

	if (count == NULL)
		return -ENOMEM;
	count->cells_map = fds[CONN_COUNT_CELLS];
	code = open_cells(count);
	if (code < 0 || !bpf_link_is(fds[CONN_COUNT_LINK],
	    fds[CONN_COUNT_PROGRAM], &count->covers[0].cgroup)) {
		bpf_window_close(&count->cells);
		free(count);
		return code < 0 ? code : -EBADF;
	}
	count->marks_map = fds[CONN_COUNT_MARKS];
	count->moved_map = fds[CONN_COUNT_MOVED];
	count->moves_map = fds[CONN_COUNT_MOVES];
	count->program = fds[CONN_COUNT_PROGRAM];
	count->covers[0].link = fds[CONN_COUNT_LINK];
	count->n_covers = 1;
	/* Beyond all that were given out: lanes do not come by the millisecond. */
	count->generation = (uint32_t)(mono_now().ns / 1000000);
	*ret = count;
	return 0;
}

const char *
conn_count_why_not(const struct conn_count *count)
{
	return count->program >= 0 ? NULL : error_text(&count->why_not);
}

bool
conn_count_is_whole(const struct conn_count *count)
{
	struct steer_moves moves;
	uint32_t key = 0;

	return bpf_map_get(count->moves_map, &key, &moves) == 0 &&
	    moves.lost == 0;
}

struct conn_maps
conn_count_maps(const struct conn_count *count)
{
	return (struct conn_maps){
		.cells = count->cells_map,
		.moved = count->moved_map,
		.moves = count->moves_map,
	};
}

/* ---- cells ---- */

struct steer_cell *
conn_cell(const struct conn_count *count, uint32_t cell)
{
	return (struct steer_cell *)count->cells.values + cell;
}

static bool
is_free(const struct conn_count *count, uint32_t cell)
{
	unsigned char use = count->use[cell];

	return use == CELL_FREE || (use == CELL_RELEASED &&
	    __atomic_load_n(&conn_cell(count, cell)->open,
	    __ATOMIC_ACQUIRE) == 0);
}

/* Of a new count they are all zeros. One that is nobody's may have connections yet. */
static unsigned char
use_of(const struct conn_count *count, uint32_t cell)
{
	return conn_cell(count, cell)->generation != 0 ? CELL_LEFT :
	    CELL_RELEASED;
}

/* As many more as are shared by one step. */
static int
add_cells(struct conn_count *count)
{
	const size_t size = sizeof(struct steer_cell);
	unsigned char *use;
	size_t n;
	int code;

	if (count->n == STEER_LANES)
		return -ENOSPC;
	code = bpf_window_reach(&count->cells, (count->n + 1) * size);
	if (code < 0)
		return code;
	n = count->cells.shared / size;
	use = realloc(count->use, n);
	if (use == NULL)
		return -ENOMEM;
	count->use = use;
	for (uint32_t cell = count->n; cell < n; cell++)
		use[cell] = use_of(count, cell);
	count->n = (uint32_t)n;
	return 0;
}

/* From where the last one was found, once round, then of those not used yet. */
static int
find_free(struct conn_count *count, uint32_t *ret_cell)
{
	uint32_t n = count->n;
	int code;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t cell = (count->next + i) % n;

		if (is_free(count, cell)) {
			*ret_cell = cell;
			return 0;
		}
	}
	code = add_cells(count);
	return code == 0 ? find_free(count, ret_cell) : code;
}

static void
take(struct conn_count *count, uint32_t number)
{
	struct steer_cell *cell = conn_cell(count, number);

	count->use[number] = CELL_TAKEN;
	count->next = number + 1;
	if (++count->generation == 0)
		count->generation = 1;
	cell->total = 0;
	cell->pending[0] = cell->pending[1] = 0;
	cell->ramp_ns = cell->ramp_from = 0;
	__atomic_store_n(&cell->generation, count->generation,
	    __ATOMIC_RELEASE);
}

/* False: it has been asked for, or is given out anew. */
static bool
claim(struct conn_count *count, const struct steer_mark *mark)
{
	if (mark->cell >= STEER_LANES)
		return false;
	while (mark->cell >= count->n)
		if (add_cells(count) < 0)
			return false;
	if (count->use[mark->cell] != CELL_LEFT ||
	    conn_cell(count, mark->cell)->generation != mark->generation)
		return false;
	count->use[mark->cell] = CELL_TAKEN;
	return true;
}

bool
conn_cell_claim(struct conn_count *count, int fd, uint32_t *cell,
    bool *ret_covered)
{
	struct steer_mark mark;

	if (bpf_map_get(count->marks_map, &fd, &mark) < 0)
		return false;
	if ((mark.cell != *cell ||
	    mark.generation != conn_cell(count, *cell)->generation) &&
	    !claim(count, &mark))
		return false;
	*cell = mark.cell;
	*ret_covered = mark.covered != 0;
	return true;
}

int
conn_count_take(struct conn_count *count, size_t n, uint32_t *ret_cells,
    struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		int code = find_free(count, &ret_cells[i]);

		if (code < 0) {
			conn_count_release(count, ret_cells, i);
			return steering_refused(code, "making room to count",
			    strerror(-code), err);
		}
		take(count, ret_cells[i]);
	}
	return 0;
}

void
conn_count_release(struct conn_count *count, const uint32_t *cells, size_t n)
{
	/* Somebody may still hold the sockets: what they get from now on
	   does not count. */
	for (size_t i = 0; i < n; i++) {
		__atomic_store_n(&conn_cell(count, cells[i])->generation, 0,
		    __ATOMIC_RELEASE);
		count->use[cells[i]] = CELL_RELEASED;
	}
}

/* ---- marks ---- */

int
conn_cell_mark(const struct conn_count *count, uint32_t cell, int fd)
{
	const struct steer_mark mark = {
		.cell = cell,
		.generation = conn_cell(count, cell)->generation,
	};

	return bpf_map_set(count->marks_map, &fd, &mark);
}
