#include <sys/mman.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/bpf_syscall.h"
#include "linux/conn_count.h"
#include "linux/steering_ebpf.h"
#include "linux/steering_layout.h"
#include "linux/steering_programs.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* One element of the map of live slots. */
struct live_slot {
	uint32_t slot;
	uint32_t unused;
};
static_assert(sizeof(struct live_slot) == 8, "the stride of 4-byte values");

struct steering_ebpf {
	enum steering_ebpf_mode mode;
	size_t max;
	struct conn_count *count;
	struct conn_range *range;
	struct steer_group *group;	/* shared with the program */
	struct live_slot *live;		/* likewise */
	uint64_t *cookies;		/* of the lanes in `lanes_map`; 0 */
	int sockets_map;
	int lanes_map;
	int program;
};

/* Of the map of live slots (linux/steering_layout.h). */
static size_t
half_size(const struct steering_ebpf *s)
{
	return s->max + STEER_BEYOND;
}

static size_t
live_size(const struct steering_ebpf *s)
{
	return 2 * half_size(s) * sizeof(*s->live);
}

void
steering_ebpf_free(struct steering_ebpf *s)
{
	if (s == NULL)
		return;
	conn_count_release(s->count, s->range);
	if (s->group != NULL)
		(void)munmap(s->group, sizeof(*s->group));
	if (s->live != NULL)
		(void)munmap(s->live, live_size(s));
	fd_close(&s->sockets_map);
	fd_close(&s->lanes_map);
	fd_close(&s->program);
	free(s->cookies);
	free(s);
}

/* ---- maps and program ---- */

struct shared_maps {
	int group;
	int live;
};

static int
own_maps(struct steering_ebpf *s, struct shared_maps *shared)
{
	const struct bpf_map_shape group = {
		.name = "lane_group",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = sizeof(struct steer_group),
		.max_entries = 1,
		.flags = BPF_MAP_MMAPABLE,
	};
	const struct bpf_map_shape live = {
		.name = "lane_live",
		.kind = BPF_KIND_ARRAY,
		.key_size = 4,
		.value_size = 4,
		.max_entries = (uint32_t)(2 * half_size(s)),
		.flags = BPF_MAP_MMAPABLE,
	};
	const struct bpf_map_shape sockets = {
		.name = "lane_sockets",
		.kind = BPF_KIND_REUSEPORT_SOCKETS,
		.key_size = 4,
		.value_size = 8,
		.max_entries = (uint32_t)s->max,
	};
	const struct bpf_map_shape lanes = {
		.name = "lane_cookies",
		.kind = BPF_KIND_HASH,
		.key_size = 8,
		.value_size = 4,
		.max_entries = (uint32_t)s->max,
		.flags = BPF_MAP_NO_PREALLOC,
	};
	void *values;
	int code;

	if ((shared->group = bpf_map_new(&group)) < 0)
		return shared->group;
	if ((shared->live = bpf_map_new(&live)) < 0)
		return shared->live;
	if ((s->sockets_map = bpf_map_new(&sockets)) < 0)
		return s->sockets_map;
	if ((s->lanes_map = bpf_map_new(&lanes)) < 0)
		return s->lanes_map;
	code = bpf_map_share(shared->group, sizeof(*s->group), &values);
	if (code < 0)
		return code;
	s->group = values;
	code = bpf_map_share(shared->live, live_size(s), &values);
	if (code < 0)
		return code;
	s->live = values;
	return 0;
}

static int
load(struct steering_ebpf *s, const struct conn_range *range,
    const struct shared_maps *shared, struct error *err)
{
	const struct conn_maps counts = conn_range_maps(range);
	const int maps[STEERING_MAPS] = {
		[STEERING_VALUE_GROUP] = shared->group,
		[STEERING_MAP_LIVE] = shared->live,
		[STEERING_MAP_SOCKETS] = s->sockets_map,
		[STEERING_MAP_LANES] = s->lanes_map,
		[STEERING_MAP_CELLS] = counts.cells,
		[STEERING_MAP_MOVED] = counts.moved,
		[STEERING_VALUE_MOVES] = counts.moves,
	};
	struct error why = ERROR_INIT;

	s->program = bpf_program_load(steering_program(
	    s->mode == STEERING_EBPF_LEAST ? STEERING_LEAST_CONNECTIONS :
	    STEERING_ROUND_ROBIN), maps, &why);
	if (s->program < 0)
		steering_refused(s->program, "loading the program",
		    error_text(&why), err);
	error_clear(&why);
	return s->program < 0 ? s->program : 0;
}

static int
build(struct steering_ebpf *s, struct error *err)
{
	struct shared_maps shared = { .group = -1, .live = -1 };
	int code = own_maps(s, &shared);

	if (code < 0) {
		steering_refused(code, "making maps", strerror(-code), err);
	} else {
		s->group->half = (uint32_t)half_size(s);
		s->group->first_cell = conn_range_counted(s->range) ?
		    s->range->first : STEER_UNCOUNTED;
		code = load(s, s->range, &shared, err);
	}
	/* The program has them, and the mappings too. */
	fd_close(&shared.group);
	fd_close(&shared.live);
	return code;
}

int
steering_ebpf_new(enum steering_ebpf_mode mode, size_t max_lanes,
    struct conn_count *count, struct steering_ebpf **ret_s,
    struct error *err)
{
	struct steering_ebpf *s;
	int code;

	assert(max_lanes > 0 && max_lanes <= STEERING_EBPF_LANES_MAX);
	s = calloc(1, sizeof(*s));
	if (s == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	s->mode = mode;
	s->max = max_lanes;
	s->count = count;
	s->sockets_map = s->lanes_map = s->program = -1;
	s->cookies = calloc(max_lanes, sizeof(*s->cookies));
	code = s->cookies != NULL ? 0 :
	    error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	if (code == 0)
		code = conn_count_take(count, max_lanes, &s->range, err);
	if (code == 0 && mode == STEERING_EBPF_LEAST &&
	    !conn_range_counted(s->range))
		code = error_set(err, -EPERM, "%s",
		    conn_count_why_not(count));
	if (code == 0)
		code = build(s, err);
	if (code < 0) {
		steering_ebpf_free(s);
		return code;
	}
	*ret_s = s;
	return 0;
}

/* ---- lanes ---- */

int
steering_ebpf_mark_lane(struct steering_ebpf *s, size_t slot, int fd)
{
	assert(slot < s->max);
	return conn_range_mark(s->range, slot, fd);
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
	uint32_t cell = s->range->first + (uint32_t)slot;
	uint64_t *known = &s->cookies[slot];

	if (*known != 0 && (!covered || *known != cookie)) {
		(void)bpf_map_remove(s->lanes_map, known);
		*known = 0;
	}
	if (covered && *known == 0 &&
	    bpf_map_set(s->lanes_map, &cookie, &cell) == 0)
		*known = cookie;
}

/* Into the array of sockets. A socket can be in one array, and once. */
static int
insert(struct steering_ebpf *s, size_t slot, int fd, uint64_t cookie)
{
	uint32_t key = (uint32_t)slot;
	uint64_t value = (uint64_t)fd, there = 0;
	int code = bpf_map_set(s->sockets_map, &key, &value);

	if (code == -EBUSY &&
	    bpf_map_get(s->sockets_map, &key, &there) == 0 && there == cookie)
		return 0;
	return code;
}

int
steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err)
{
	struct steer_cell *cell = &s->range->cells[slot];
	uint64_t cookie = 0;
	bool covered = false;
	int code;

	assert(slot < s->max);
	if (!is_tcp(fd))
		return error_set(err, -EPROTONOSUPPORT,
		    "only TCP is steered by eBPF");
	code = cookie_of(fd, &cookie);
	if (code == 0 && !conn_range_marked(s->range, slot, fd, &covered))
		code = conn_range_mark(s->range, slot, fd);
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
	__atomic_store_n(&cell->pending[0], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->pending[1], 0, __ATOMIC_RELAXED);
	return 0;
}

bool
steering_ebpf_lane_counted(const struct steering_ebpf *s, size_t slot)
{
	return s->cookies[slot] != 0;
}

void
steering_ebpf_set_live(struct steering_ebpf *s, const unsigned *slots, size_t n)
{
	uint64_t half = (s->group->live >> 32) ^ 1;
	struct live_slot *live = s->live + half * half_size(s);

	assert(n <= s->max);
	for (size_t i = 0; n > 0 && i < n + STEER_BEYOND; i++) {
		assert(slots[i % n] < s->max);
		__atomic_store_n(&live[i].slot, slots[i % n],
		    __ATOMIC_RELAXED);
	}
	__atomic_store_n(&s->group->live, half << 32 | n, __ATOMIC_RELEASE);
}

int
steering_ebpf_attach(struct steering_ebpf *s, int fd, struct error *err)
{
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, &s->program,
	    sizeof(s->program)) < 0)
		return error_set(err, -errno,
		    "cannot attach the steering program: %s",
		    strerror(errno));
	return 0;
}

bool
steering_ebpf_counts(const struct steering_ebpf *s, size_t slot,
    uint64_t *ret_open, uint64_t *ret_total)
{
	const struct steer_cell *cell = &s->range->cells[slot];

	if (!conn_range_counted(s->range))
		return false;
	*ret_open = __atomic_load_n(&cell->open, __ATOMIC_RELAXED);
	*ret_total = __atomic_load_n(&cell->total, __ATOMIC_RELAXED);
	return true;
}

uint64_t
steering_ebpf_dropped(const struct steering_ebpf *s)
{
	return __atomic_load_n(&s->group->dropped, __ATOMIC_RELAXED);
}
