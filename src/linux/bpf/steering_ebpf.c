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
#include "linux/bpf/steering_hub.h"
#include "linux/bpf/steering_known.h"
#include "linux/bpf/steering_layout.h"
#include "linux/bpf/steering_programs.h"
#include "linux/socket/socket_filter.h"

#ifndef SO_ATTACH_REUSEPORT_EBPF
#define SO_ATTACH_REUSEPORT_EBPF 52
#endif

/* What has room for `max` lanes and no more. For more lanes a larger one takes
   its place. */
struct room {
	size_t max;
	uint32_t *cells;
	struct steering_known *known;
	uint32_t lists;		/* two, among the hub's words */
};

struct steering_ebpf {
	struct steering_hub *hub;
	struct conn_count *count;
	uint32_t group;			/* its words */
	uint32_t generation;
	struct room room;
	/* From which the programs may have read a moment ago. */
	uint32_t old_lists;
	size_t old_max;
	uint64_t key;			/* of its address; 0: not attached */
};

/* ---- the group's words (linux/bpf/steering_layout.h) ---- */

static uint64_t *
word(const struct steering_ebpf *s, enum steer_word which)
{
	return steering_hub_words(s->hub) + s->group + which;
}

static void
store_live(struct steering_ebpf *s, uint32_t first, size_t n)
{
	__atomic_store_n(word(s, STEER_WORD_LIVE),
	    (uint64_t)s->generation << 32 |
	    (uint64_t)(first / STEER_UNIT) << 16 | n, __ATOMIC_RELEASE);
}

static uint32_t
live_first(const struct steering_ebpf *s)
{
	return (uint32_t)(*word(s, STEER_WORD_LIVE) >> 16 & 0xffff) *
	    STEER_UNIT;
}

static size_t
live_n(const struct steering_ebpf *s)
{
	return *word(s, STEER_WORD_LIVE) & 0xffff;
}

static enum steering_ebpf_mode
mode_of(const struct steering_ebpf *s)
{
	return (enum steering_ebpf_mode)*word(s, STEER_WORD_MODE);
}

/* As its lanes have it. */
static uint64_t
group_of(const struct steering_ebpf *s)
{
	return (uint64_t)s->generation << 32 | s->group;
}

static void
begin_words(struct steering_ebpf *s)
{
	s->generation = steering_hub_generation(s->hub);
	for (int i = 0; i < STEER_GROUP_WORDS; i++)
		__atomic_store_n(word(s, (enum steer_word)i), 0,
		    __ATOMIC_RELAXED);
}

/* ---- room for lanes ---- */

/* A list begins at a multiple of STEER_UNIT. */
static size_t
list_size(size_t max)
{
	return (max + STEER_UNIT - 1) / STEER_UNIT * STEER_UNIT;
}

static void
release_lists(const struct steering_ebpf *s, uint32_t lists, size_t max)
{
	if (max > 0)
		steering_hub_release(s->hub, lists, 2 * list_size(max));
}

/* More of the same: what was there has its place. */
static int
stretch(struct room *room, size_t max)
{
	uint32_t *cells = reallocarray(room->cells, max, sizeof(*cells));
	struct steering_known *known;

	if (cells == NULL)
		return -ENOMEM;
	room->cells = cells;
	known = reallocarray(room->known, max, sizeof(*known));
	if (known == NULL)
		return -ENOMEM;
	room->known = known;
	memset(known + room->max, 0, (max - room->max) * sizeof(*known));
	return 0;
}

/* The programs go from the one list to the other at once, and both have the same
   lanes. */
static void
move_lists(struct steering_ebpf *s, uint32_t lists, size_t max)
{
	uint64_t *words = steering_hub_words(s->hub);
	size_t n = live_n(s);

	memcpy(words + lists, words + live_first(s), n * sizeof(*words));
	store_live(s, lists, n);
	release_lists(s, s->old_lists, s->old_max);
	s->old_lists = s->room.lists;
	s->old_max = s->room.max;
	s->room.lists = lists;
	s->room.max = max;
}

int
steering_ebpf_grow(struct steering_ebpf *s, size_t max_lanes, struct error *err)
{
	struct room *room = &s->room;
	const size_t more = max_lanes - room->max;
	uint32_t lists = 0;
	int code;

	assert(max_lanes <= STEERING_EBPF_LANES_MAX);
	if (max_lanes <= room->max)
		return 0;
	code = stretch(room, max_lanes);
	if (code == 0)
		code = steering_hub_take(s->hub, 2 * list_size(max_lanes),
		    &lists);
	if (code < 0)
		return steering_refused(code, "making room", strerror(-code),
		    err);
	code = conn_count_take(s->count, more, room->cells + room->max, err);
	if (code < 0) {
		release_lists(s, lists, max_lanes);
		return code;
	}
	move_lists(s, lists, max_lanes);
	return 0;
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

int
steering_ebpf_set_mode(struct steering_ebpf *s, enum steering_ebpf_mode mode,
    struct error *err)
{
	int program;

	if (mode == STEERING_EBPF_LEAST &&
	    conn_count_why_not(s->count) != NULL)
		return error_set(err, -EPERM, "%s",
		    conn_count_why_not(s->count));
	program = steering_hub_program(s->hub, mode, err);
	if (program < 0)
		return program;
	__atomic_store_n(word(s, STEER_WORD_MODE), mode, __ATOMIC_RELEASE);
	return 0;
}

void
steering_ebpf_clear(struct steering_ebpf *s)
{
	for (size_t i = 0; i < s->room.max; i++)
		(void)bpf_map_remove(steering_hub_sockets(s->hub),
		    &s->room.cells[i]);
}

/* ---- the group ---- */

static int
begin(struct steering_ebpf *s, size_t max_lanes, enum steering_ebpf_mode mode,
    struct error *err)
{
	int code = steering_hub_take(s->hub, STEER_GROUP_WORDS, &s->group);

	if (code < 0)
		return steering_refused(code, "making room", strerror(-code),
		    err);
	begin_words(s);
	code = steering_ebpf_grow(s, max_lanes, err);
	return code < 0 ? code : steering_ebpf_set_mode(s, mode, err);
}

int
steering_ebpf_new(enum steering_ebpf_mode mode, size_t max_lanes,
    struct steering_hub *hub, struct steering_ebpf **ret_s, struct error *err)
{
	struct steering_ebpf *s = calloc(1, sizeof(*s));
	int code;

	assert(max_lanes > 0 && max_lanes <= STEERING_EBPF_LANES_MAX);
	if (s == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	s->hub = hub;
	s->count = steering_hub_count(hub);
	code = begin(s, max_lanes, mode, err);
	if (code < 0) {
		steering_ebpf_free(s);
		return code;
	}
	*ret_s = s;
	return 0;
}

/* The hub knows a cell's socket until the next one's takes its place, and a
   cookie for ever, unless it is told. */
static void
forget_all(struct steering_ebpf *s)
{
	const int map = steering_hub_cookies(s->hub);

	steering_forget(map, s->room.known, s->room.max);
	steering_forget_address(map, &s->key, group_of(s));
}

void
steering_ebpf_free(struct steering_ebpf *s)
{
	if (s == NULL)
		return;
	forget_all(s);
	conn_count_release(s->count, s->room.cells, s->room.max);
	release_lists(s, s->old_lists, s->old_max);
	release_lists(s, s->room.lists, s->room.max);
	if (s->generation != 0) {
		/* A socket that somebody still has would go on to look at what
		   is another group's then. */
		store_live(s, 0, 0);
		steering_hub_release(s->hub, s->group, STEER_GROUP_WORDS);
	}
	free(s->room.cells);
	free(s->room.known);
	free(s);
}

/* ---- lanes ---- */

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
 * The hub knows the group by this socket. When a lane's queue is moved, the counts
 * move with it: from the lane that has the cookie. Only where every connection in the
 * queue is counted, else what leaves the count had never come in.
 */
static int
know(struct steering_ebpf *s, size_t slot, uint64_t cookie, bool covered)
{
	const struct steer_lane lane = {
		.cell = s->room.cells[slot],
		.covered = covered,
		.group = group_of(s),
	};

	return steering_know(steering_hub_cookies(s->hub), s->room.known,
	    s->room.max, slot, cookie, &lane);
}

int
steering_ebpf_mark_lane(struct steering_ebpf *s, size_t slot, int fd)
{
	const struct steering_known *known = &s->room.known[slot];
	uint64_t cookie = 0;
	int code;

	assert(slot < s->room.max);
	code = conn_cell_mark(s->count, s->room.cells[slot], fd);
	if (code == 0)
		code = cookie_of(fd, &cookie);
	/* Until it listens again, what waited in it may still move. */
	return code < 0 ? code : know(s, slot, cookie,
	    known->cookie == cookie && known->lane.covered != 0);
}

/* A socket can be in one place, and once. */
static int
insert(struct steering_ebpf *s, size_t slot, int fd, uint64_t cookie)
{
	const int sockets = steering_hub_sockets(s->hub);
	const uint32_t cell = s->room.cells[slot];
	uint64_t value = (uint64_t)fd, there = 0;

	/* Mostly it is there: to put it there again is refused. */
	if (bpf_map_get(sockets, &cell, &there) == 0 && there == cookie)
		return 0;
	return bpf_map_set(sockets, &cell, &value);
}

/* The cell that it had under a supervisor before, with its connections; or from now
   on the slot's. One that has a mark was looked at, or the kernel refuses to steer to
   it. */
static int
mark(struct steering_ebpf *s, size_t slot, int fd, bool *ret_covered)
{
	uint32_t *number = &s->room.cells[slot], its = *number;

	if (!conn_cell_claim(s->count, fd, &its, ret_covered))
		return is_tcp(fd) ? conn_cell_mark(s->count, *number, fd) :
		    -EPROTONOSUPPORT;
	if (its == *number)
		return 0;
	conn_count_release(s->count, number, 1);
	*number = its;
	return 0;
}

int
steering_ebpf_set_lane(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err)
{
	struct steer_cell *cell;
	uint64_t cookie = 0;
	bool covered = false;
	int code;

	assert(slot < s->room.max);
	code = cookie_of(fd, &cookie);
	if (code == 0)
		code = mark(s, slot, fd, &covered);
	if (code == -EPROTONOSUPPORT)
		return error_set(err, code, "only TCP is steered by eBPF");
	if (code == 0)
		code = know(s, slot, cookie, covered);
	if (code < 0)
		return error_set(err, code, "cannot mark lane %zu: %s", slot,
		    strerror(-code));
	code = insert(s, slot, fd, cookie);
	if (code < 0)
		return error_set(err, code, "cannot steer to lane %zu: %s%s",
		    slot, strerror(-code), code == -EINVAL ?
		    " (it does not listen, or without SO_REUSEPORT)" : "");
	/* What it was held against it that it did not listen. */
	cell = conn_cell(s->count, s->room.cells[slot]);
	__atomic_store_n(&cell->pending[0], 0, __ATOMIC_RELAXED);
	__atomic_store_n(&cell->pending[1], 0, __ATOMIC_RELAXED);
	return 0;
}

bool
steering_ebpf_lane_counted(const struct steering_ebpf *s, size_t slot)
{
	return s->room.known[slot].lane.covered != 0;
}

bool
steering_ebpf_counts_all(const struct steering_ebpf *s)
{
	return conn_count_is_whole(s->count);
}

static uint64_t
ramp_end(const struct steering_ebpf *s, uint32_t number)
{
	const struct steer_cell *cell = conn_cell(s->count, number);

	return cell->ramp_ns == 0 ? 0 : cell->ramp_from + cell->ramp_ns;
}

/* Of those that are live: until when the programs have to look at ramps. */
static void
note_ramps(struct steering_ebpf *s)
{
	const uint64_t *list = steering_hub_words(s->hub) + live_first(s);
	uint64_t first_end = UINT64_MAX, last_end = 0, first = 0;

	for (size_t i = 0; i < live_n(s); i++) {
		uint64_t end = ramp_end(s, (uint32_t)list[i]);

		if (end < first_end) {
			first_end = end;
			first = list[i];
		}
		if (end > last_end)
			last_end = end;
	}
	__atomic_store_n(word(s, STEER_WORD_RAMP_FIRST), first,
	    __ATOMIC_RELEASE);
	__atomic_store_n(word(s, STEER_WORD_RAMP_END), last_end,
	    __ATOMIC_RELEASE);
}

void
steering_ebpf_ramp(struct steering_ebpf *s, size_t slot, struct mono from,
    int64_t ms)
{
	struct steer_cell *cell = conn_cell(s->count, s->room.cells[slot]);

	assert(slot < s->room.max);
	/* In between it has none. */
	__atomic_store_n(&cell->ramp_ns, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&cell->ramp_from, (uint64_t)from.ns,
	    __ATOMIC_RELEASE);
	__atomic_store_n(&cell->ramp_ns, (uint64_t)ms * 1000000,
	    __ATOMIC_RELEASE);
	note_ramps(s);
}

void
steering_ebpf_set_live(struct steering_ebpf *s, const unsigned *slots, size_t n)
{
	const uint32_t lists = s->room.lists;
	const uint32_t first = live_first(s) != lists ? lists :
	    lists + (uint32_t)list_size(s->room.max);
	uint64_t *list = steering_hub_words(s->hub) + first;

	assert(n <= s->room.max);
	for (size_t i = 0; i < n; i++) {
		assert(slots[i] < s->room.max);
		__atomic_store_n(&list[i], s->room.cells[slots[i]],
		    __ATOMIC_RELAXED);
	}
	store_live(s, first, n);
	note_ramps(s);
}

static void
know_address(struct steering_ebpf *s, int fd)
{
	steering_know_address(steering_hub_cookies(s->hub), &s->key,
	    group_of(s), fd);
}

int
steering_ebpf_attach(struct steering_ebpf *s, int fd, struct error *err)
{
	int program = steering_hub_program(s->hub, mode_of(s), err);

	if (program < 0)
		return program;
	know_address(s, fd);
	return attach(program, fd, err);
}

/* The kernel chooses where no lane takes it, and there is one socket. */
int
steering_ebpf_found(struct steering_ebpf *s, size_t slot, int fd,
    struct error *err)
{
	const unsigned only = (unsigned)slot;
	int program = steering_hub_program(s->hub, mode_of(s), err);
	int code;

	if (program < 0)
		return program;
	steering_ebpf_set_live(s, &only, 1);
	know_address(s, fd);
	code = socket_found_group(fd, program);
	return code == 0 ? 0 : error_set(err, code,
	    "cannot attach the steering program: %s", strerror(-code));
}

int
steering_ebpf_check(struct steering_ebpf *s, size_t slot,
    const struct check_source *source)
{
	assert(slot < s->room.max);
	return steering_hub_check(s->hub, source, s->room.cells[slot]);
}

bool
steering_ebpf_counts(const struct steering_ebpf *s, size_t slot,
    uint64_t *ret_open, uint64_t *ret_total)
{
	const struct steer_cell *cell;

	assert(slot < s->room.max);
	if (conn_count_why_not(s->count) != NULL)
		return false;
	cell = conn_cell(s->count, s->room.cells[slot]);
	*ret_open = __atomic_load_n(&cell->open, __ATOMIC_RELAXED);
	*ret_total = __atomic_load_n(&cell->total, __ATOMIC_RELAXED);
	return true;
}

bool
steering_ebpf_knows(const struct steering_ebpf *s, size_t slot)
{
	uint64_t cookie;

	assert(slot < s->room.max);
	return bpf_map_get(steering_hub_sockets(s->hub), &s->room.cells[slot],
	    &cookie) == 0;
}

uint64_t
steering_ebpf_charged(const struct steering_ebpf *s, size_t slot,
    struct mono now)
{
	const struct steer_cell *cell = conn_cell(s->count,
	    s->room.cells[slot]);
	const uint32_t epoch = (uint32_t)(now.ns >> STEER_EPOCH_SHIFT);
	uint64_t n = 0;

	assert(slot < s->room.max);
	for (size_t i = 0; i < 2; i++) {
		uint64_t pending = __atomic_load_n(&cell->pending[i],
		    __ATOMIC_RELAXED);

		if (epoch - (uint32_t)(pending >> 32) <= 1)
			n += (uint32_t)pending;
	}
	return n;
}

uint64_t
steering_ebpf_dropped(const struct steering_ebpf *s)
{
	return __atomic_load_n(word(s, STEER_WORD_DROPPED), __ATOMIC_RELAXED);
}
