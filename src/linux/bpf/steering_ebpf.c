#include <sys/mman.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_ebpf.h"
#include "linux/bpf/steering_layout.h"
#include "linux/bpf/steering_maps.h"
#include "linux/bpf/steering_programs.h"
#include "linux/socket/socket_filter.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* What has room for `max` lanes and no more, and the program that refers to it.
   For more lanes a larger one takes its place. */
struct room {
	size_t max;
	uint32_t *cells;
	uint64_t *cookies;	/* of the lanes in `lanes_map`; 0 */
	uint64_t *live;		/* shared with the program */
	int lanes_map;
	int live_map;
	int program;
};

#define ROOM_NONE { .lanes_map = -1, .live_map = -1, .program = -1 }

struct steering_ebpf {
	enum steering_ebpf_mode mode;
	struct conn_count *count;
	struct steer_group *group;	/* shared with the program */
	struct room room;
	int group_map;
	int shelves_map;		/* the map of these */
	int shelves[STEER_SHELVES];
	size_t n_shelves;
};

/* ---- the live set's array (linux/bpf/steering_layout.h) ---- */

static size_t
list_size(size_t max)
{
	return max + STEER_BEYOND;
}

static size_t
live_size(size_t max)
{
	return 1 + 2 * list_size(max);
}

static size_t
live_first(const uint64_t *live)
{
	return live[0] >> 32;
}

static size_t
live_n(const uint64_t *live)
{
	return (uint32_t)live[0];
}

/* ---- room for lanes ---- */

static const struct bpf_map_shape lanes_shape = {
	.name = "lane_cookies",
	.kind = BPF_KIND_HASH,
	.key_size = 8,
	.value_size = 4,
	.flags = BPF_MAP_NO_PREALLOC,
};

static const struct bpf_map_shape live_shape = {
	.name = "lane_live",
	.kind = BPF_KIND_ARRAY,
	.key_size = 4,
	.value_size = 8,
	.flags = BPF_MAP_MMAPABLE,
};

static const struct bpf_map_shape shelf_shape = {
	.name = "lane_sockets",
	.kind = BPF_KIND_REUSEPORT_SOCKETS,
	.key_size = 4,
	.value_size = 8,
	.max_entries = STEER_SHELF,
};

static int
map_new(const struct bpf_map_shape *shape, size_t n, int *ret_map)
{
	struct bpf_map_shape sized = *shape;
	int map;

	sized.max_entries = (uint32_t)n;
	map = bpf_map_new(&sized);
	if (map < 0)
		return map;
	*ret_map = map;
	return 0;
}

static void
room_free(struct room *room)
{
	if (room->live != NULL)
		(void)munmap(room->live,
		    live_size(room->max) * sizeof(*room->live));
	fd_close(&room->lanes_map);
	fd_close(&room->live_map);
	fd_close(&room->program);
	free(room->cells);
	free(room->cookies);
}

static int
room_new(size_t max, struct room *ret_room)
{
	struct room room = ROOM_NONE;
	void *values;
	int code = 0;

	room.max = max;
	room.cells = calloc(max, sizeof(*room.cells));
	room.cookies = calloc(max, sizeof(*room.cookies));
	if (room.cells == NULL || room.cookies == NULL)
		code = -ENOMEM;
	if (code == 0)
		code = map_new(&lanes_shape, max, &room.lanes_map);
	if (code == 0)
		code = map_new(&live_shape, live_size(max), &room.live_map);
	if (code == 0)
		code = bpf_map_share(room.live_map,
		    live_size(max) * sizeof(*room.live), &values);
	if (code == 0) {
		room.live = values;
		*ret_room = room;
	} else {
		room_free(&room);
	}
	return code;
}

/* All that is in `from` and not its own: the lanes and the live set. */
static int
room_copy(struct room *room, const struct room *from)
{
	room->live[0] = UINT64_C(1) << 32;
	if (from->max == 0)
		return 0;
	memcpy(room->cells, from->cells, from->max * sizeof(*from->cells));
	for (size_t i = 0; i < from->max; i++) {
		int code = from->cookies[i] == 0 ? 0 : bpf_map_set(
		    room->lanes_map, &from->cookies[i], &from->cells[i]);

		if (code < 0)
			return code;
		room->cookies[i] = from->cookies[i];
	}
	memcpy(room->live + 1, from->live + live_first(from->live),
	    list_size(from->max) * sizeof(*room->live));
	room->live[0] |= live_n(from->live);
	return 0;
}

/* Shelves are only ever added: a socket cannot be in two, and while it is in
   none it would get nothing. */
static int
add_shelves(struct steering_ebpf *s, size_t max)
{
	while (s->n_shelves * STEER_SHELF < max) {
		uint32_t key = (uint32_t)s->n_shelves;
		int *shelf = &s->shelves[key];
		int code = map_new(&shelf_shape, STEER_SHELF, shelf);

		if (code == 0)
			code = bpf_map_set(s->shelves_map, &key, shelf);
		if (code < 0) {
			fd_close(shelf);
			return code;
		}
		s->n_shelves++;
	}
	return 0;
}

static int
room_load(const struct steering_ebpf *s, struct room *room, struct error *err)
{
	const struct conn_maps counts = conn_count_maps(s->count);
	const int maps[STEERING_MAPS] = {
		[STEERING_VALUE_GROUP] = s->group_map,
		[STEERING_MAP_LIVE] = room->live_map,
		[STEERING_MAP_SOCKETS] = s->shelves_map,
		[STEERING_MAP_LANES] = room->lanes_map,
		[STEERING_MAP_CELLS] = counts.cells,
		[STEERING_MAP_MOVED] = counts.moved,
		[STEERING_VALUE_MOVES] = counts.moves,
	};
	struct error why = ERROR_INIT;

	room->program = bpf_program_load(steering_program(
	    s->mode == STEERING_EBPF_LEAST ? STEERING_LEAST_CONNECTIONS :
	    STEERING_ROUND_ROBIN), maps, &why);
	if (room->program < 0)
		steering_refused(room->program, "loading the program",
		    error_text(&why), err);
	error_clear(&why);
	/* The program and the mapping have it. */
	fd_close(&room->live_map);
	return room->program < 0 ? room->program : 0;
}

static int
attach(int program, int fd, struct error *err)
{
	int code;

	socket_begin_attach(fd);
	code = setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &program,
	    sizeof(program)) < 0 ? -errno : 0;
	socket_end_attach(fd);
	if (code < 0)
		return error_set(err, code,
		    "cannot attach the steering program: %s", strerror(-code));
	return 0;
}

/* A larger room, complete but for the new lanes' cells. */
static int
make_room(struct steering_ebpf *s, size_t max, struct room *ret_room,
    struct error *err)
{
	struct room room = ROOM_NONE;
	int code = add_shelves(s, max);

	if (code == 0)
		code = room_new(max, &room);
	if (code == 0)
		code = room_copy(&room, &s->room);
	if (code < 0)
		steering_refused(code, "making maps", strerror(-code), err);
	else
		code = room_load(s, &room, err);
	if (code == 0)
		*ret_room = room;
	else
		room_free(&room);
	return code;
}

int
steering_ebpf_grow(struct steering_ebpf *s, size_t max_lanes, int fd,
    struct error *err)
{
	const size_t old = s->room.max;
	struct room room = ROOM_NONE;
	int code;

	assert(max_lanes <= STEERING_EBPF_LANES_MAX);
	if (max_lanes <= old)
		return 0;
	code = make_room(s, max_lanes, &room, err);
	if (code < 0)
		return code;
	code = conn_count_take(s->count, max_lanes - old, room.cells + old,
	    err);
	/* The kernel exchanges the programs at once, and both choose from the
	   same lanes. */
	if (code == 0 && fd >= 0) {
		code = attach(room.program, fd, err);
		if (code < 0)
			conn_count_release(s->count, room.cells + old,
			    max_lanes - old);
	}
	if (code < 0) {
		room_free(&room);
		return code;
	}
	room_free(&s->room);
	s->room = room;
	return 0;
}

int
steering_ebpf_set_mode(struct steering_ebpf *s, enum steering_ebpf_mode mode,
    int fd, struct error *err)
{
	const enum steering_ebpf_mode old = s->mode;
	struct room room = ROOM_NONE;
	int code;

	if (mode == old)
		return 0;
	if (mode == STEERING_EBPF_LEAST &&
	    conn_count_why_not(s->count) != NULL)
		return error_set(err, -EPERM, "%s",
		    conn_count_why_not(s->count));
	s->mode = mode;
	code = make_room(s, s->room.max, &room, err);
	if (code == 0 && fd >= 0)
		code = attach(room.program, fd, err);
	if (code < 0) {
		s->mode = old;
		room_free(&room);
		return code;
	}
	room_free(&s->room);
	s->room = room;
	return 0;
}

void
steering_ebpf_clear(struct steering_ebpf *s)
{
	for (size_t i = 0; i < s->n_shelves; i++)
		for (uint32_t key = 0; key < STEER_SHELF; key++)
			(void)bpf_map_remove(s->shelves[i], &key);
}

/* ---- the group ---- */

static int
make_group(struct steering_ebpf *s)
{
	const struct bpf_map_shape group = {
		.name = "lane_group",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct steer_group),
		.flags = BPF_MAP_MMAPABLE,
	};
	void *values;
	int code = map_new(&group, 1, &s->group_map);

	if (code == 0)
		code = bpf_map_share(s->group_map, sizeof(*s->group), &values);
	if (code < 0)
		return code;
	s->group = values;
	s->group->counted = conn_count_why_not(s->count) == NULL;
	return 0;
}

static int
make_shelves_map(struct steering_ebpf *s)
{
	int like = bpf_map_new(&shelf_shape);
	const struct bpf_map_shape shelves = {
		.name = "lane_shelves",
		.kind = BPF_KIND_ARRAY_OF_MAPS,
		.key_size = 4,
		.value_size = 4,
		.like = like,
	};
	int code = like < 0 ? like : map_new(&shelves, STEER_SHELVES,
	    &s->shelves_map);

	fd_close(&like);
	return code;
}

int
steering_ebpf_new(enum steering_ebpf_mode mode, size_t max_lanes,
    struct conn_count *count, struct steering_ebpf **ret_s, struct error *err)
{
	struct steering_ebpf *s;
	int code;

	assert(max_lanes > 0 && max_lanes <= STEERING_EBPF_LANES_MAX);
	if (mode == STEERING_EBPF_LEAST && conn_count_why_not(count) != NULL)
		return error_set(err, -EPERM, "%s",
		    conn_count_why_not(count));
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	s->mode = mode;
	s->count = count;
	s->group_map = s->shelves_map = -1;
	s->room = (struct room)ROOM_NONE;
	code = make_group(s);
	if (code == 0)
		code = make_shelves_map(s);
	if (code < 0)
		steering_refused(code, "making maps", strerror(-code), err);
	else
		code = steering_ebpf_grow(s, max_lanes, -1, err);
	if (code < 0) {
		steering_ebpf_free(s);
		return code;
	}
	*ret_s = s;
	return 0;
}

void
steering_ebpf_free(struct steering_ebpf *s)
{
	if (s == NULL)
		return;
	conn_count_release(s->count, s->room.cells, s->room.max);
	room_free(&s->room);
	if (s->group != NULL)
		(void)munmap(s->group, sizeof(*s->group));
	while (s->n_shelves > 0)
		fd_close(&s->shelves[--s->n_shelves]);
	fd_close(&s->group_map);
	fd_close(&s->shelves_map);
	free(s);
}

/* ---- lanes ---- */

int
steering_ebpf_mark_lane(struct steering_ebpf *s, size_t slot, int fd)
{
	assert(slot < s->room.max);
	return conn_cell_mark(s->count, s->room.cells[slot], fd);
}

static int
cookie_of(int fd, uint64_t *ret_cookie)
{
	socklen_t len = sizeof(*ret_cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, ret_cookie, &len) < 0 ?
	    -errno : 0;
}

static bool
is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) == 0 &&
	    protocol == IPPROTO_TCP;
}

/*
 * When a lane's queue is moved, the counts move with it: from the lane that the
 * program knows by this cookie. Only where every connection in the queue is
 * counted, else what leaves the count had never come in.
 */
static void
know_cookie(struct steering_ebpf *s, size_t slot, uint64_t cookie, bool covered)
{
	uint32_t cell = s->room.cells[slot];
	uint64_t *known = &s->room.cookies[slot];

	if (*known != 0 && (!covered || *known != cookie)) {
		(void)bpf_map_remove(s->room.lanes_map, known);
		*known = 0;
	}
	if (covered && *known == 0 &&
	    bpf_map_set(s->room.lanes_map, &cookie, &cell) == 0)
		*known = cookie;
}

/* Onto its shelf. A socket can be on one shelf, and once. */
static int
insert(struct steering_ebpf *s, size_t slot, int fd, uint64_t cookie)
{
	const int shelf = s->shelves[slot / STEER_SHELF];
	uint32_t key = (uint32_t)(slot % STEER_SHELF);
	uint64_t value = (uint64_t)fd, there = 0;
	int code = bpf_map_set(shelf, &key, &value);

	if (code == -EBUSY &&
	    bpf_map_get(shelf, &key, &there) == 0 && there == cookie)
		return 0;
	return code;
}

int
steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err)
{
	struct steer_cell *cell;
	uint32_t number;
	uint64_t cookie = 0;
	bool covered = false;
	int code;

	assert(slot < s->room.max);
	number = s->room.cells[slot];
	if (!is_tcp(fd))
		return error_set(err, -EPROTONOSUPPORT,
		    "only TCP is steered by eBPF");
	code = cookie_of(fd, &cookie);
	if (code == 0 && !conn_cell_marked(s->count, number, fd, &covered))
		code = conn_cell_mark(s->count, number, fd);
	if (code < 0)
		return error_set(err, code, "cannot mark lane %zu: %s", slot,
		    strerror(-code));
	know_cookie(s, slot, cookie, covered);
	code = insert(s, slot, fd, cookie);
	if (code < 0)
		return error_set(err, code, "cannot steer to lane %zu: %s%s",
		    slot, strerror(-code), code == -EINVAL ?
		    " (it does not listen, or without SO_REUSEPORT)" : "");
	/* What it was held against it that it did not listen. */
	cell = conn_cell(s->count, number);
	__atomic_store_n(&cell->pending[0], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->pending[1], 0, __ATOMIC_RELAXED);
	return 0;
}

bool
steering_ebpf_lane_counted(const struct steering_ebpf *s, size_t slot)
{
	return s->room.cookies[slot] != 0;
}

void
steering_ebpf_set_live(struct steering_ebpf *s, const unsigned *slots, size_t n)
{
	uint64_t *live = s->room.live;
	size_t first = live_first(live) == 1 ? 1 + list_size(s->room.max) : 1;

	assert(n <= s->room.max);
	for (size_t i = 0; n > 0 && i < n + STEER_BEYOND; i++) {
		const unsigned slot = slots[i % n];

		assert(slot < s->room.max);
		__atomic_store_n(&live[first + i],
		    (uint64_t)s->room.cells[slot] << 32 | slot,
		    __ATOMIC_RELAXED);
	}
	__atomic_store_n(&live[0], (uint64_t)first << 32 | n,
	    __ATOMIC_RELEASE);
}

int
steering_ebpf_attach(struct steering_ebpf *s, int fd, struct error *err)
{
	return attach(s->room.program, fd, err);
}

bool
steering_ebpf_counts(const struct steering_ebpf *s, size_t slot,
    uint64_t *ret_open, uint64_t *ret_total)
{
	const struct steer_cell *cell;

	assert(slot < s->room.max);
	if (!s->group->counted)
		return false;
	cell = conn_cell(s->count, s->room.cells[slot]);
	*ret_open = __atomic_load_n(&cell->open, __ATOMIC_RELAXED);
	*ret_total = __atomic_load_n(&cell->total, __ATOMIC_RELAXED);
	return true;
}

uint64_t
steering_ebpf_dropped(const struct steering_ebpf *s)
{
	return __atomic_load_n(&s->group->dropped, __ATOMIC_RELAXED);
}
