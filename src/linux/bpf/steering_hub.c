#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "core/sockets/check_source.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/conn_count.h"
#include "linux/bpf/steering_hub.h"
#include "linux/bpf/steering_layout.h"
#include "linux/bpf/steering_loader.h"
#include "linux/bpf/steering_maps.h"
#include "linux/bpf/steering_programs.h"

#define UNITS (STEER_WORDS / STEER_UNIT)

static_assert(STEER_GROUP_WORDS % STEER_UNIT == 0, "in whole units");
static_assert(STEER_CHECKS_END % STEER_UNIT == 0, "in whole units");
static_assert(STEER_WORDS / STEER_UNIT <= 1 << 16, "as a head has bits");

enum map {
	MAP_VALUES,
	MAP_CALLS,
	MAP_PROGRAMS,
	MAP_WORDS,
	MAP_SOCKETS,
	MAP_LANES,
	MAPS
};

static const struct bpf_map_shape shapes[MAPS] = {
	[MAP_VALUES] = {
		.name = "lane_hub", .kind = BPF_KIND_ARRAY, .key_size = 4,
		.value_size = sizeof(struct steer_hub), .max_entries = 1,
	},
	[MAP_CALLS] = {
		.name = "lane_calls", .kind = BPF_KIND_ARRAY_OF_EACH_CPU,
		.key_size = 4, .value_size = sizeof(struct steer_call),
		.max_entries = 1,
	},
	[MAP_PROGRAMS] = {
		.name = "lane_programs", .kind = BPF_KIND_PROGRAMS,
		.key_size = 4, .value_size = 4,
		.max_entries = STEERING_EBPF_MODES,
	},
	[MAP_WORDS] = {
		.name = "lane_words", .kind = BPF_KIND_ARRAY, .key_size = 4,
		.value_size = 8, .max_entries = STEER_WORDS,
		.flags = BPF_MAP_MMAPABLE,
	},
	[MAP_SOCKETS] = {
		.name = "lane_sockets", .kind = BPF_KIND_REUSEPORT_SOCKETS,
		.key_size = 4, .value_size = 8, .max_entries = STEER_LANES,
	},
	[MAP_LANES] = {
		.name = "lane_cookies", .kind = BPF_KIND_HASH, .key_size = 8,
		.value_size = sizeof(struct steer_lane),
		.max_entries = STEER_LANES, .flags = BPF_MAP_NO_PREALLOC,
	},
};

struct steering_hub {
	struct conn_count *count;
	struct bpf_window words;
	uint32_t generation;		/* of the latest group */
	int enter;			/* what is attached; -1: nothing yet */
	bool loaded[STEERING_EBPF_MODES];
	struct steering_loader loader;
	enum steering_ebpf_mode coming;	/* what is being loaded, if anything */
	int maps[MAPS];
	unsigned char taken[UNITS];	/* is it, by unit */
};

/* ---- beginning and end ---- */

static int
make_maps(struct steering_hub *hub)
{
	const struct steer_hub values = {
		.counted = conn_count_why_not(hub->count) == NULL,
	};
	const uint32_t zero = 0;

	for (int i = 0; i < MAPS; i++) {
		hub->maps[i] = bpf_map_new(&shapes[i]);
		if (hub->maps[i] < 0)
			return hub->maps[i];
	}
	return bpf_map_set(hub->maps[MAP_VALUES], &zero, &values);
}

static struct steering_hub *
allocate(struct conn_count *count)
{
	struct steering_hub *hub = calloc(1, sizeof(*hub));

	if (hub == NULL)
		return NULL;
	hub->count = count;
	hub->words = (struct bpf_window)BPF_WINDOW_INIT;
	hub->enter = -1;
	for (int i = 0; i < MAPS; i++)
		hub->maps[i] = -1;
	return hub;
}

/* The checks' place is at the beginning. Those of a supervisor before us have
   ended with it. */
static int
open_words(struct steering_hub *hub)
{
	uint32_t place;
	int code = bpf_window_open(&hub->words, hub->maps[MAP_WORDS],
	    STEER_WORDS * sizeof(uint64_t));

	if (code < 0)
		return code;
	code = steering_hub_take(hub, STEER_CHECKS_END, &place);
	if (code < 0) {
		bpf_window_close(&hub->words);
		return code;
	}
	assert(place == 0);
	memset(hub->words.values, 0, STEER_CHECKS_END * sizeof(uint64_t));
	return 0;
}

int
steering_hub_new(struct conn_count *count, struct steering_hub **ret_hub,
    struct error *err)
{
	struct steering_hub *hub = allocate(count);
	int code;

	if (hub == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	code = make_maps(hub);
	if (code == 0)
		code = open_words(hub);
	if (code < 0) {
		steering_refused(code, "making maps", strerror(-code), err);
		steering_hub_free(hub);
		return code;
	}
	*ret_hub = hub;
	return 0;
}

void
steering_hub_free(struct steering_hub *hub)
{
	if (hub == NULL)
		return;
	steering_loader_end(&hub->loader);
	bpf_window_close(&hub->words);
	fd_close(&hub->enter);
	for (int i = 0; i < MAPS; i++)
		if (hub->maps[i] >= 0)
			fd_close(&hub->maps[i]);
	free(hub);
}

/* ---- from one supervisor to the next ---- */

static_assert(STEERING_HUB_FDS == MAPS, "one of each");

void
steering_hub_fds(const struct steering_hub *hub, int fds[STEERING_HUB_FDS])
{
	memcpy(fds, hub->maps, sizeof(hub->maps));
}

bool
steering_hub_is_there(const int fds[STEERING_HUB_FDS])
{
	for (int i = 0; i < MAPS; i++)
		if (!bpf_map_has(fds[i], &shapes[i]))
			return false;
	return true;
}

int
steering_hub_attached(const struct steering_hub *hub)
{
	return hub->enter;
}

bool
steering_hub_attached_again(struct steering_hub *hub, int program)
{
	if (hub->enter >= 0 || !bpf_program_is(program,
	    steering_program(STEERING_ENTER), hub->maps[MAP_WORDS]))
		return false;
	hub->enter = program;
	return true;
}

static bool
has_program(const struct steering_hub *hub, uint32_t mode)
{
	uint32_t program;

	return bpf_map_get(hub->maps[MAP_PROGRAMS], &mode, &program) == 0;
}

int
steering_hub_again(const int fds[STEERING_HUB_FDS], struct conn_count *count,
    struct steering_hub **ret)
{
	struct steering_hub *hub = allocate(count);
	int code;

	if (hub == NULL)
		return -ENOMEM;
	memcpy(hub->maps, fds, sizeof(hub->maps));
	code = open_words(hub);
	if (code < 0) {
		free(hub);
		return code;
	}
	for (uint32_t mode = 0; mode < STEERING_EBPF_MODES; mode++)
		hub->loaded[mode] = has_program(hub, mode);
	/* Beyond all that were: groups do not come by the millisecond. */
	hub->generation = (uint32_t)(mono_now().ns / 1000000) % INT32_MAX;
	*ret = hub;
	return 0;
}

struct conn_count *
steering_hub_count(const struct steering_hub *hub)
{
	return hub->count;
}

/* ---- places ---- */

static size_t
units(size_t n)
{
	return (n + STEER_UNIT - 1) / STEER_UNIT;
}

/* The first one that is large enough: what is used stays together, at the
   beginning, and no more of it is shared. */
int
steering_hub_take(struct steering_hub *hub, size_t n, uint32_t *ret_place)
{
	const size_t wanted = units(n);
	size_t free_units = 0, end = 0;
	int code;

	while (free_units < wanted && end < UNITS)
		free_units = hub->taken[end++] ? 0 : free_units + 1;
	if (free_units < wanted)
		return -ENOSPC;
	code = bpf_window_reach(&hub->words,
	    end * STEER_UNIT * sizeof(uint64_t));
	if (code < 0)
		return code;
	memset(hub->taken + end - wanted, 1, wanted);
	*ret_place = (uint32_t)((end - wanted) * STEER_UNIT);
	return 0;
}

void
steering_hub_release(struct steering_hub *hub, uint32_t place, size_t n)
{
	memset(hub->taken + place / STEER_UNIT, 0, units(n));
}

uint64_t *
steering_hub_words(const struct steering_hub *hub)
{
	return hub->words.values;
}

uint32_t
steering_hub_generation(struct steering_hub *hub)
{
	hub->generation = hub->generation % INT32_MAX + 1;
	return hub->generation;
}

/* ---- checks ---- */

static uint64_t *
check_words(const struct steering_hub *hub, const struct check_source *source)
{
	return steering_hub_words(hub) + STEER_CHECKS_FIRST +
	    source->port % STEER_CHECKS * STEER_CHECK_WORDS;
}

static uint64_t
head_of(const struct check_source *source)
{
	return STEER_CHECK_SET | (source->ipv6 ? STEER_CHECK_IPV6 : 0) |
	    (uint64_t)source->port << 32;
}

static void
count_checks(struct steering_hub *hub, uint64_t by)
{
	__atomic_fetch_add(steering_hub_words(hub), by, __ATOMIC_RELAXED);
}

/* The address is there before anybody goes by it. */
int
steering_hub_check(struct steering_hub *hub, const struct check_source *source,
    uint32_t cell)
{
	uint64_t *words = check_words(hub, source);
	uint64_t ip[2] = { 0 };

	if (words[STEER_CHECK_HEAD] != 0)
		return -EBUSY;
	memcpy(ip, source->ip, source->ipv6 ? 16 : 4);
	__atomic_store_n(&words[STEER_CHECK_IP], ip[0], __ATOMIC_RELAXED);
	__atomic_store_n(&words[STEER_CHECK_IP_REST], ip[1], __ATOMIC_RELAXED);
	__atomic_store_n(&words[STEER_CHECK_HEAD], head_of(source) | cell,
	    __ATOMIC_RELEASE);
	count_checks(hub, 1);
	return 0;
}

void
steering_hub_check_end(struct steering_hub *hub,
    const struct check_source *source)
{
	uint64_t *words = check_words(hub, source);
	uint64_t from = words[STEER_CHECK_HEAD] >> 32;

	if (from != head_of(source) >> 32 ||
	    memcmp(&words[STEER_CHECK_IP], source->ip,
		source->ipv6 ? 16 : 4) != 0)
		return;
	__atomic_store_n(&words[STEER_CHECK_HEAD], 0, __ATOMIC_RELEASE);
	count_checks(hub, UINT64_MAX);
}

/* ---- programs ---- */

static enum steering_program
program_of(enum steering_ebpf_mode mode)
{
	return mode == STEERING_EBPF_LEAST ? STEERING_LEAST_CONNECTIONS :
	    STEERING_ROUND_ROBIN;
}

static int
load(enum steering_program which, const int *numbers, struct error *err)
{
	struct error why = ERROR_INIT;
	int program = bpf_program_load(steering_program(which), numbers, &why);

	if (program < 0)
		steering_refused(program, "loading the program",
		    error_text(&why), err);
	error_clear(&why);
	return program;
}

static void
number_maps(const struct steering_hub *hub, int numbers[STEERING_MAPS])
{
	const struct conn_maps counts = conn_count_maps(hub->count);

	memset(numbers, 0, STEERING_MAPS * sizeof(*numbers));
	numbers[STEERING_VALUE_HUB] = hub->maps[MAP_VALUES];
	numbers[STEERING_MAP_CALLS] = hub->maps[MAP_CALLS];
	numbers[STEERING_MAP_WORDS] = hub->maps[MAP_WORDS];
	numbers[STEERING_MAP_SOCKETS] = hub->maps[MAP_SOCKETS];
	numbers[STEERING_MAP_LANES] = hub->maps[MAP_LANES];
	numbers[STEERING_MAP_CELLS] = counts.cells;
	numbers[STEERING_MAP_MOVED] = counts.moved;
	numbers[STEERING_VALUE_MOVES] = counts.moves;
}

static bool
is_coming(const struct steering_hub *hub, enum steering_ebpf_mode mode)
{
	return hub->loader.pid != 0 && hub->coming == mode;
}

/* The one that chooses, where the other one finds it. */
static int
load_shared(struct steering_hub *hub, enum steering_ebpf_mode mode,
    struct error *err)
{
	const uint32_t key = mode;
	int numbers[STEERING_MAPS];
	int program, code;

	if (hub->loaded[mode] || is_coming(hub, mode))
		return 0;
	number_maps(hub, numbers);
	program = load(program_of(mode), numbers, err);
	if (program < 0)
		return program;
	code = bpf_map_set(hub->maps[MAP_PROGRAMS], &key, &program);
	fd_close(&program);
	if (code < 0)
		return steering_refused(code, "sharing the program",
		    strerror(-code), err);
	hub->loaded[mode] = true;
	return 0;
}

int
steering_hub_program(struct steering_hub *hub, enum steering_ebpf_mode mode,
    struct error *err)
{
	const int numbers[STEERING_MAPS] = {
		[STEERING_MAP_CALLS] = hub->maps[MAP_CALLS],
		[STEERING_MAP_PROGRAMS] = hub->maps[MAP_PROGRAMS],
		[STEERING_MAP_WORDS] = hub->maps[MAP_WORDS],
		[STEERING_MAP_LANES] = hub->maps[MAP_LANES],
	};
	int code = load_shared(hub, mode, err);

	if (code == 0 && hub->enter < 0)
		code = hub->enter = load(STEERING_ENTER, numbers, err);
	return code < 0 ? code : hub->enter;
}

void
steering_hub_load_soon(struct steering_hub *hub, enum steering_ebpf_mode mode)
{
	int numbers[STEERING_MAPS];

	if (hub->loaded[mode] || hub->loader.pid != 0)
		return;
	number_maps(hub, numbers);
	hub->coming = mode;
	(void)steering_loader_begin(&hub->loader,
	    steering_program(program_of(mode)), numbers,
	    hub->maps[MAP_PROGRAMS], mode);
}

bool
steering_hub_is_waiting(const struct steering_hub *hub)
{
	return !steering_loader_is_over(&hub->loader);
}

/* Why it is not there, if it is not, is told to who tries it once more. */
int
steering_hub_await(struct steering_hub *hub, enum steering_ebpf_mode mode,
    struct error *err)
{
	if (!is_coming(hub, mode))
		return 0;
	steering_loader_end(&hub->loader);
	hub->loaded[mode] = has_program(hub, mode);
	return load_shared(hub, mode, err);
}

int
steering_hub_sockets(const struct steering_hub *hub)
{
	return hub->maps[MAP_SOCKETS];
}

int
steering_hub_cookies(const struct steering_hub *hub)
{
	return hub->maps[MAP_LANES];
}
