#include <sys/mman.h>
#include <sys/socket.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/steering_flows.h"
#include "linux/bpf/steering_layout.h"
#include "linux/bpf/steering_maps.h"
#include "linux/bpf/steering_programs.h"
#include "linux/socket/socket_filter.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

static_assert(STEER_FLOW_LANES == STEERING_FLOWS_LANES_MAX, "lanes");

/* Two lists, of which one counts while the other one is being written. */
#define LIVE_SIZE (1 + 2 * STEER_FLOW_LANES)

struct steering_flows {
	struct steer_flow_group *group;	/* these three are shared with the */
	struct steer_flow_lane *lanes;	/* program */
	uint64_t *live;
	int sockets;
	int program;
};

enum map {
	MAP_GROUP,
	MAP_LANES,
	MAP_LIVE,
	MAP_SOCKETS,
	MAP_FLOWS,
	MAPS
};

static const struct bpf_map_shape shapes[MAPS] = {
	[MAP_GROUP] = {
		.name = "flow_group", .kind = BPF_KIND_ARRAY, .key_size = 4,
		.value_size = sizeof(struct steer_flow_group),
		.max_entries = 1, .flags = BPF_MAP_MMAPABLE,
	},
	[MAP_LANES] = {
		.name = "flow_lanes", .kind = BPF_KIND_ARRAY, .key_size = 4,
		.value_size = sizeof(struct steer_flow_lane),
		.max_entries = STEER_FLOW_LANES, .flags = BPF_MAP_MMAPABLE,
	},
	[MAP_LIVE] = {
		.name = "flow_live", .kind = BPF_KIND_ARRAY, .key_size = 4,
		.value_size = 8, .max_entries = LIVE_SIZE,
		.flags = BPF_MAP_MMAPABLE,
	},
	[MAP_SOCKETS] = {
		.name = "flow_sockets", .kind = BPF_KIND_REUSEPORT_SOCKETS,
		.key_size = 4, .value_size = 8,
		.max_entries = STEER_FLOW_LANES,
	},
	[MAP_FLOWS] = {
		.name = "flows", .kind = BPF_KIND_LRU_HASH,
		.key_size = sizeof(struct steer_flow_key),
		.value_size = sizeof(struct steer_flow),
		.max_entries = STEER_FLOWS,
	},
};

static size_t
size_of(enum map map)
{
	return (size_t)shapes[map].max_entries * shapes[map].value_size;
}

static int
share(int map, enum map which, void **ret)
{
	return bpf_map_share(map, size_of(which), ret);
}

static int
share_all(struct steering_flows *s, const int *maps)
{
	void *group = NULL, *lanes = NULL, *live = NULL;
	int code = share(maps[MAP_GROUP], MAP_GROUP, &group);

	s->group = group;
	if (code == 0)
		code = share(maps[MAP_LANES], MAP_LANES, &lanes);
	s->lanes = lanes;
	if (code == 0)
		code = share(maps[MAP_LIVE], MAP_LIVE, &live);
	s->live = live;
	if (code == 0)
		s->live[0] = UINT64_C(1) << 32;
	return code;
}

static int
load(struct steering_flows *s, const int *maps, struct error *err)
{
	const int numbered[STEERING_MAPS] = {
		[STEERING_VALUE_FLOW_GROUP] = maps[MAP_GROUP],
		[STEERING_MAP_FLOW_LANES] = maps[MAP_LANES],
		[STEERING_MAP_FLOW_LIVE] = maps[MAP_LIVE],
		[STEERING_MAP_FLOW_SOCKETS] = maps[MAP_SOCKETS],
		[STEERING_MAP_FLOWS] = maps[MAP_FLOWS],
	};
	struct error why = ERROR_INIT;

	s->program = bpf_program_load(steering_program(STEERING_FLOWS),
	    numbered, &why);
	if (s->program < 0)
		steering_refused(s->program, "loading the program",
		    error_text(&why), err);
	error_clear(&why);
	return s->program < 0 ? s->program : 0;
}

static int
map_new(enum map map, bool few)
{
	struct bpf_map_shape shape = shapes[map];

	if (map == MAP_FLOWS && few)
		shape.max_entries = STEER_FLOWS_FEW;
	return bpf_map_new(&shape);
}

int
steering_flows_new(bool few, struct steering_flows **ret_s, struct error *err)
{
	struct steering_flows *s = calloc(1, sizeof(*s));
	int maps[MAPS];
	int code = 0;

	if (s == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	s->sockets = s->program = -1;
	for (int i = 0; i < MAPS; i++) {
		maps[i] = code < 0 ? -1 : map_new((enum map)i, few);
		if (code == 0 && maps[i] < 0)
			code = maps[i];
	}
	if (code == 0)
		code = share_all(s, maps);
	if (code < 0)
		steering_refused(code, "making maps", strerror(-code), err);
	else
		code = load(s, maps, err);
	s->sockets = fd_take(&maps[MAP_SOCKETS]);
	/* The program and the mappings have them. */
	for (int i = 0; i < MAPS; i++)
		fd_close(&maps[i]);
	if (code < 0) {
		steering_flows_free(s);
		return code;
	}
	*ret_s = s;
	return 0;
}

void
steering_flows_free(struct steering_flows *s)
{
	if (s == NULL)
		return;
	if (s->group != NULL)
		(void)munmap(s->group, size_of(MAP_GROUP));
	if (s->lanes != NULL)
		(void)munmap(s->lanes, size_of(MAP_LANES));
	if (s->live != NULL)
		(void)munmap(s->live, size_of(MAP_LIVE));
	fd_close(&s->sockets);
	fd_close(&s->program);
	free(s);
}

void
steering_flows_clear(struct steering_flows *s)
{
	for (uint32_t key = 0; key < STEER_FLOW_LANES; key++)
		(void)bpf_map_remove(s->sockets, &key);
}

void
steering_flows_by_source(struct steering_flows *s, bool by_source)
{
	__atomic_store_n(&s->group->by_source, by_source, __ATOMIC_RELAXED);
}

int
steering_flows_set_lane(struct steering_flows *s, size_t slot, int fd)
{
	uint32_t key = (uint32_t)slot;
	uint64_t value = (uint64_t)fd, cookie = 0, there = 0;
	socklen_t len = sizeof(cookie);
	int code;

	assert(slot < STEER_FLOW_LANES);
	code = bpf_map_set(s->sockets, &key, &value);
	/* A socket can be in one place, and once. */
	if (code == -EBUSY &&
	    getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 &&
	    bpf_map_get(s->sockets, &key, &there) == 0 && there == cookie)
		return 0;
	return code;
}

void
steering_flows_open(struct steering_flows *s, size_t slot, uint32_t number)
{
	assert(slot < STEER_FLOW_LANES);
	if (s->lanes[slot].open == number)
		return;
	/* What came to another one is none of its business. */
	if (number != 0) {
		s->lanes[slot].known_ns = 0;
		s->lanes[slot].fresh_ns = 0;
	}
	__atomic_store_n(&s->lanes[slot].open, number, __ATOMIC_RELEASE);
}

void
steering_flows_set_live(struct steering_flows *s,
    const struct steering_flows_lane *lanes, size_t n)
{
	size_t first = s->live[0] >> 32 == 1 ? 1 + STEER_FLOW_LANES : 1;

	assert(n <= STEER_FLOW_LANES);
	for (size_t i = 0; i < n; i++)
		__atomic_store_n(&s->live[first + i],
		    (uint64_t)lanes[i].seat << 32 | lanes[i].slot,
		    __ATOMIC_RELAXED);
	__atomic_store_n(&s->live[0], (uint64_t)first << 32 | n,
	    __ATOMIC_RELEASE);
}

static int64_t
ago_ms(const __u64 *ns, struct mono now)
{
	uint64_t then = __atomic_load_n(ns, __ATOMIC_RELAXED);
	int64_t ms;

	if (then == 0)
		return -1;
	ms = (now.ns - (int64_t)then) / 1000000;
	return ms > 0 ? ms : 0;
}

void
steering_flows_heard(const struct steering_flows *s, size_t slot,
    struct mono now, int64_t *ret_known_ms, int64_t *ret_fresh_ms)
{
	assert(slot < STEER_FLOW_LANES);
	*ret_known_ms = ago_ms(&s->lanes[slot].known_ns, now);
	*ret_fresh_ms = ago_ms(&s->lanes[slot].fresh_ns, now);
}

uint64_t
steering_flows_dropped(const struct steering_flows *s)
{
	return __atomic_load_n(&s->group->dropped, __ATOMIC_RELAXED);
}

int
steering_flows_attach(struct steering_flows *s, int fd, struct error *err)
{
	/* Without socket_begin_attach(): what came meanwhile would be that socket's,
	   past the program, and known flows are not. */
	int code = setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF,
	    &s->program, sizeof(s->program)) < 0 ? -errno : 0;

	/* The holder may have taken SO_REUSEPORT away, without which nobody joins. */
	socket_end_attach(fd);
	if (code < 0)
		return error_set(err, code,
		    "cannot attach the steering program: %s", strerror(-code));
	return 0;
}
