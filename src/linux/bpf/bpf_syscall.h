/*
 * bpf(2), as thin as it gets: maps, programs, one kind of link. No library. All
 * numbers are the kernel's ABI and stand here, so that the age of the headers
 * that this is built with does not matter.
 *
 * Functions that return a descriptor (close-on-exec, the caller's) or 0 return
 * -errno on failure. -EPERM: the capabilities are not there, or a sandbox
 * forbids it; -EINVAL, -ENOSYS: the kernel is too old for it.
 */
#ifndef LINUX_BPF_BPF_SYSCALL_H
#define LINUX_BPF_BPF_SYSCALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bpf_insn;
struct error;

enum bpf_map_kind {
	BPF_KIND_HASH = 1,
	BPF_KIND_ARRAY = 2,
	BPF_KIND_PROGRAMS = 3,
	BPF_KIND_ARRAY_OF_EACH_CPU = 6,
	BPF_KIND_LRU_HASH = 9,
	BPF_KIND_REUSEPORT_SOCKETS = 20,
	BPF_KIND_SOCKET_STORAGE = 24,
};

/* Flags of a map. */
#define BPF_MAP_NO_PREALLOC (1U << 0)
#define BPF_MAP_CLONE (1U << 9)		/* Linux 5.4 */
#define BPF_MAP_MMAPABLE (1U << 10)	/* Linux 5.5 */

struct bpf_map_shape {
	const char *name;	/* for bpftool, 15 characters at most */
	enum bpf_map_kind kind;
	uint32_t key_size;
	uint32_t value_size;
	uint32_t max_entries;
	uint32_t flags;
};

/*
 * Socket storage must describe its types: the value is then an array of 32-bit
 * integers. Before Linux 5.11 maps counted as locked memory; where that limit
 * is in the way, it is lifted for the length of the call.
 */
int bpf_map_new(const struct bpf_map_shape *shape);

/* What goes into an array of programs is a descriptor; they leave it when its own
   last descriptor is closed. */
int bpf_map_set(int map, const void *key, const void *value);
int bpf_map_get(int map, const void *key, void *ret_value);
int bpf_map_remove(int map, const void *key);

/* Whether the descriptor is of a map of that kind, and how many entries it may
   have. */
bool bpf_map_is(int fd, enum bpf_map_kind kind, uint32_t *ret_max_entries);

/* Is it one of that shape? Its flags are not looked at. */
bool bpf_map_has(int fd, const struct bpf_map_shape *shape);

/* Is it a link of that program to a cgroup, and which one's? */
bool bpf_link_is(int fd, int program, uint64_t *ret_cgroup);

/* The first `len` bytes of the values of a map with BPF_MAP_MMAPABLE, each
   rounded up to 8 bytes, shared with the programs; to be undone by munmap(2)
   with the same length. */
int bpf_map_share(int map, size_t len, void **ret_values);

/*
 * The same for a large map of which little is used at first: all values have
 * their addresses, but only those at the beginning are shared, and are the
 * program's own memory. _reach: at least so many bytes. -errno.
 */
struct bpf_window {
	int map;		/* borrowed */
	size_t size;		/* of all values */
	size_t shared;
	void *values;
};
#define BPF_WINDOW_INIT { .map = -1 }
int bpf_window_open(struct bpf_window *window, int map, size_t size);
int bpf_window_reach(struct bpf_window *window, size_t len);
void bpf_window_close(struct bpf_window *window);

enum bpf_program_kind {
	BPF_KIND_SOCK_OPS = 13,
	BPF_KIND_SK_REUSEPORT = 21,
};

/* The instruction at `index` loads map number `map` of the caller's, or the
   constant that stands there. */
struct bpf_reference {
	uint32_t index;
	uint32_t map;
};

struct bpf_program {
	const char *name;
	enum bpf_program_kind kind;
	uint32_t attach_type;	/* 0, or one of BPF_ATTACH_* */
	const struct bpf_insn *code;
	size_t n_code;
	const struct bpf_reference *references;
	size_t n_references;
};

#define BPF_ATTACH_SOCK_OPS 3U
#define BPF_ATTACH_SELECT_OR_MIGRATE 40U	/* Linux 5.14 */

/* `maps`: descriptors, by the numbers of the references. It takes
   the kernel's verifier up to some 20 ms for a large program. The words say what the
   kernel's verifier said last. */
int bpf_program_load(const struct bpf_program *program, const int *maps,
    struct error *err);

/*
 * The same, into the array of programs `programs`, by a child that shares our memory
 * (linux/process/birth.h), which alone runs it. What it needs is in a room of that
 * size, aligned as malloc(3) does it. _run: 0 or -errno; the program's descriptor
 * stays open in the child.
 */
struct bpf_load;
size_t bpf_load_size(const struct bpf_program *program);
void bpf_load_prepare(struct bpf_load *load, const struct bpf_program *program,
    const int *maps, int programs, uint32_t key);
int bpf_load_run(struct bpf_load *load);

/* Is it one of that kind and name, which goes by this map? */
bool bpf_program_is(int fd, const struct bpf_program *program, int map);

/* For as long as the link's descriptor is open somewhere, and so not beyond
   our own death. */
int bpf_link_cgroup(int program, int cgroup, uint32_t attach_type);

#endif
