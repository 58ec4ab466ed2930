#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/process/raw_call.h"

/* Commands and their arguments: the leading members of union bpf_attr, which
   the kernel fills up with zeros. */
enum command {
	MAP_CREATE = 0,
	MAP_LOOKUP_ELEM = 1,
	MAP_UPDATE_ELEM = 2,
	MAP_DELETE_ELEM = 3,
	PROG_LOAD = 5,
	OBJ_GET_INFO_BY_FD = 15,
	BTF_LOAD = 18,
	LINK_CREATE = 28,	/* Linux 5.7 */
};

union arguments {
	struct {
		uint32_t map_type;
		uint32_t key_size;
		uint32_t value_size;
		uint32_t max_entries;
		uint32_t map_flags;
		uint32_t inner_map_fd;
		uint32_t unused;
		char map_name[16];
		uint32_t map_ifindex;
		uint32_t btf_fd;
		uint32_t btf_key_type_id;
		uint32_t btf_value_type_id;
	} map;
	struct {
		uint32_t map_fd;
		uint32_t padding;
		uint64_t key;
		uint64_t value;
		uint64_t flags;
	} element;
	struct {
		uint32_t prog_type;
		uint32_t insn_cnt;
		uint64_t insns;
		uint64_t license;
		uint32_t log_level;
		uint32_t log_size;
		uint64_t log_buf;
		uint32_t kern_version;
		uint32_t prog_flags;
		char prog_name[16];
		uint32_t prog_ifindex;
		uint32_t expected_attach_type;
	} program;
	struct {
		uint64_t btf;
		uint64_t log_buf;
		uint32_t btf_size;
		uint32_t log_size;
		uint32_t log_level;
		uint32_t padding;
	} btf;
	struct {
		uint32_t bpf_fd;
		uint32_t info_len;
		uint64_t info;
	} info;
	struct {
		uint32_t prog_fd;
		uint32_t target_fd;
		uint32_t attach_type;
		uint32_t flags;
	} link;
};

static uint64_t
pointer(const void *p)
{
	return (uint64_t)(uintptr_t)p;
}

static int
call(enum command command, union arguments *arguments, size_t size)
{
	long code = syscall(SYS_bpf, command, arguments, size);

	return code < 0 ? -errno : (int)code;
}

/* EPERM may be the limit of locked memory, which old kernels held against
   maps and programs. */
static int
call_unlimited(enum command command, union arguments *arguments, size_t size)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct rlimit old;
	int code = call(command, arguments, size);

	if (code != -EPERM || getrlimit(RLIMIT_MEMLOCK, &old) < 0 ||
	    setrlimit(RLIMIT_MEMLOCK, &none) < 0)
		return code;
	code = call(command, arguments, size);
	(void)setrlimit(RLIMIT_MEMLOCK, &old);
	return code;
}

/* ---- maps ---- */

/*
 * Types of a storage map: 1, a signed 32-bit int, which the key must be, and 2,
 * an array of `n` of them (Documentation/bpf/btf.rst). Returns a descriptor.
 */
static int
types_new(uint32_t n)
{
	const struct {
		uint16_t magic;
		uint8_t version, flags;
		uint32_t header_len;
		uint32_t types_at, types_len, names_at, names_len;
		uint32_t int_name, int_info, int_size, int_bits;
		uint32_t array_name, array_info, array_size;
		uint32_t element_type, index_type, elements;
		char names[8];
	} blob = {
		.magic = 0xeb9f,
		.version = 1,
		.header_len = 24,
		.types_len = 40,
		.names_at = 40,
		.names_len = 5,
		.int_name = 1,
		.int_info = 1U << 24,
		.int_size = 4,
		.int_bits = 1U << 24 | 32,
		.array_info = 3U << 24,
		.element_type = 1,
		.index_type = 1,
		.elements = n,
		.names = "\0int",
	};
	union arguments a;

	memset(&a, 0, sizeof(a));
	a.btf.btf = pointer(&blob);
	a.btf.btf_size = 24 + 40 + 5;
	return call_unlimited(BTF_LOAD, &a, sizeof(a.btf));
}

int
bpf_map_new(const struct bpf_map_shape *shape)
{
	union arguments a;
	int types = -1;
	int code;

	memset(&a, 0, sizeof(a));
	a.map.map_type = shape->kind;
	a.map.key_size = shape->key_size;
	a.map.value_size = shape->value_size;
	a.map.max_entries = shape->max_entries;
	a.map.map_flags = shape->flags;
	strncpy(a.map.map_name, shape->name, sizeof(a.map.map_name) - 1);
	if (shape->kind == BPF_KIND_SOCKET_STORAGE) {
		types = types_new(shape->value_size / 4);
		if (types < 0)
			return types;
		a.map.btf_fd = (uint32_t)types;
		a.map.btf_key_type_id = 1;
		a.map.btf_value_type_id = 2;
	}
	code = call_unlimited(MAP_CREATE, &a, sizeof(a.map));
	fd_close(&types);
	return code;
}

static int
element(enum command command, int map, const void *key, const void *value)
{
	union arguments a;

	memset(&a, 0, sizeof(a));
	a.element.map_fd = (uint32_t)map;
	a.element.key = pointer(key);
	a.element.value = pointer(value);
	return call(command, &a, sizeof(a.element));
}

int
bpf_map_set(int map, const void *key, const void *value)
{
	return element(MAP_UPDATE_ELEM, map, key, value);
}

int
bpf_map_get(int map, const void *key, void *ret_value)
{
	return element(MAP_LOOKUP_ELEM, map, key, ret_value);
}

int
bpf_map_remove(int map, const void *key)
{
	return element(MAP_DELETE_ELEM, map, key, NULL);
}

/* Of another thing it tells other numbers, in the same place: a program's type,
   and its number for a size. */
struct map_info {
	uint32_t type, id, key_size, value_size, max_entries, flags;
	char name[16];
};

static bool
get_info(int fd, void *info, size_t size)
{
	union arguments a;

	memset(info, 0, size);
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = (uint32_t)size;
	a.info.info = pointer(info);
	return call(OBJ_GET_INFO_BY_FD, &a, sizeof(a.info)) >= 0;
}

bool
bpf_map_is(int fd, enum bpf_map_kind kind, uint32_t *ret_max_entries)
{
	struct map_info info;
	uint32_t key = 0;
	uint64_t value;
	int code;

	if (!get_info(fd, &info, sizeof(info)) ||
	    info.type != (uint32_t)kind || info.key_size != sizeof(key))
		return false;
	/* No program can be asked for an entry. */
	code = bpf_map_get(fd, &key, &value);
	if (code < 0 && code != -ENOENT)
		return false;
	*ret_max_entries = info.max_entries;
	return true;
}

bool
bpf_map_has(int fd, const struct bpf_map_shape *shape)
{
	struct map_info info;

	return get_info(fd, &info, sizeof(info)) &&
	    info.type == (uint32_t)shape->kind &&
	    info.key_size == shape->key_size &&
	    info.value_size == shape->value_size &&
	    info.max_entries == shape->max_entries &&
	    strncmp(info.name, shape->name, sizeof(info.name)) == 0;
}

#define LINK_CGROUP	3

bool
bpf_link_is(int fd, int program, uint64_t *ret_cgroup)
{
	struct {
		uint32_t type, id;
	} of_program;
	struct {
		uint32_t type, id, program, unused;
		uint64_t cgroup;
		uint32_t attach_type, more;
	} link;

	if (!get_info(program, &of_program, sizeof(of_program)) ||
	    !get_info(fd, &link, sizeof(link)) ||
	    of_program.type != BPF_KIND_SOCK_OPS ||
	    link.type != LINK_CGROUP || link.program != of_program.id ||
	    link.attach_type != BPF_ATTACH_SOCK_OPS)
		return false;
	*ret_cgroup = link.cgroup;
	return true;
}

int
bpf_map_share(int map, size_t len, void **ret_values)
{
	void *values = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, map,
	    0);

	if (values == MAP_FAILED)
		return -errno;
	*ret_values = values;
	return 0;
}

/* A step of a window: a multiple of the size of any page. */
#define STEP ((size_t)65536)
#define SMALL_STEP ((size_t)16384)

static size_t
step(void)
{
	return sysconf(_SC_PAGESIZE) > (long)SMALL_STEP ? STEP : SMALL_STEP;
}

int
bpf_window_open(struct bpf_window *w, int map, size_t size)
{
	void *values = mmap(NULL, size, PROT_NONE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (values == MAP_FAILED)
		return -errno;
	*w = (struct bpf_window){ .map = map, .size = size, .values = values };
	return 0;
}

int
bpf_window_reach(struct bpf_window *w, size_t len)
{
	size_t end = (len + step() - 1) / step() * step();

	if (len <= w->shared)
		return 0;
	if (end > w->size)
		end = w->size;
	if (mmap((char *)w->values + w->shared, end - w->shared,
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, w->map,
	    (off_t)w->shared) == MAP_FAILED)
		return -errno;
	w->shared = end;
	return 0;
}

void
bpf_window_close(struct bpf_window *w)
{
	if (w->values != NULL)
		(void)munmap(w->values, w->size);
	w->values = NULL;
}

/* ---- programs ---- */

#define LOG_SIZE (1024 * 1024)

/* The log's last line is a summary of numbers, what is wrong stands before. */
static char *
log_tail(char *log)
{
	char *end = strstr(log, "\nprocessed ");
	char *line;

	if (end != NULL)
		*end = '\0';
	line = strrchr(log, '\n');
	return line != NULL ? line + 1 : log;
}

static int
refused(union arguments *a, int code, struct error *err)
{
	char *log = calloc(1, LOG_SIZE);

	/* Once more, only to be told why; the kernel cuts a long log. */
	if (log != NULL && code != -EPERM && code != -ENOSYS) {
		a->program.log_level = 1;
		a->program.log_size = LOG_SIZE;
		a->program.log_buf = pointer(log);
		(void)call(PROG_LOAD, a, sizeof(a->program));
	}
	if (log != NULL && log[0] != '\0')
		error_set(err, code, "%s (%s)", strerror(-code),
		    log_tail(log));
	else
		error_set(err, code, "%s", strerror(-code));
	free(log);
	return code;
}

static void
fill_code(struct bpf_insn *code, const struct bpf_program *program,
    const int *maps)
{
	memcpy(code, program->code, program->n_code * sizeof(*code));
	for (size_t i = 0; i < program->n_references; i++)
		code[program->references[i].index].imm =
		    maps[program->references[i].map];
}

static void
fill_load(union arguments *a, const struct bpf_program *program,
    const struct bpf_insn *code)
{
	memset(a, 0, sizeof(*a));
	a->program.prog_type = program->kind;
	a->program.insn_cnt = (uint32_t)program->n_code;
	a->program.insns = pointer(code);
	a->program.license = pointer("BSD");
	strncpy(a->program.prog_name, program->name,
	    sizeof(a->program.prog_name) - 1);
	a->program.expected_attach_type = program->attach_type;
}

int
bpf_program_load(const struct bpf_program *program, const int *maps,
    struct error *err)
{
	struct bpf_insn *code = calloc(program->n_code, sizeof(*code));
	union arguments a;
	int fd;

	if (code == NULL)
		return error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	fill_code(code, program, maps);
	fill_load(&a, program, code);
	fd = call_unlimited(PROG_LOAD, &a, sizeof(a.program));
	if (fd < 0)
		refused(&a, fd, err);
	free(code);
	return fd;
}

struct bpf_load {
	union arguments load, put;
	uint32_t key, program;
	struct bpf_insn code[];
};

size_t
bpf_load_size(const struct bpf_program *program)
{
	return sizeof(struct bpf_load) +
	    program->n_code * sizeof(struct bpf_insn);
}

void
bpf_load_prepare(struct bpf_load *l, const struct bpf_program *program,
    const int *maps, int programs, uint32_t key)
{
	fill_code(l->code, program, maps);
	fill_load(&l->load, program, l->code);
	l->key = key;
	memset(&l->put, 0, sizeof(l->put));
	l->put.element.map_fd = (uint32_t)programs;
	l->put.element.key = pointer(&l->key);
	l->put.element.value = pointer(&l->program);
}

int
bpf_load_run(struct bpf_load *l)
{
	long fd = raw_call(SYS_bpf, PROG_LOAD, (long)&l->load,
	    sizeof(l->load.program), 0, 0);

	if (fd < 0)
		return (int)fd;
	l->program = (uint32_t)fd;
	return (int)raw_call(SYS_bpf, MAP_UPDATE_ELEM, (long)&l->put,
	    sizeof(l->put.element), 0, 0);
}

/* Of the maps that it goes by the kernel tells so many. */
#define MAPS_MAX 16

bool
bpf_program_is(int fd, const struct bpf_program *program, int map)
{
	struct {
		uint32_t type, id;
		uint8_t tag[8];
		uint32_t jited_len, xlated_len;
		uint64_t jited, xlated, load_time;
		uint32_t uid, n_maps;
		uint64_t maps;
		char name[16];
	} info;
	uint32_t maps[MAPS_MAX];
	struct map_info of_map;
	union arguments a;

	memset(&info, 0, sizeof(info));
	info.n_maps = MAPS_MAX;
	info.maps = pointer(maps);
	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)fd;
	a.info.info_len = sizeof(info);
	a.info.info = pointer(&info);
	/* The first words of a map's are a kind and a number, too. */
	if (!get_info(map, &of_map, sizeof(of_map)) ||
	    call(OBJ_GET_INFO_BY_FD, &a, sizeof(a.info)) < 0 ||
	    info.type != (uint32_t)program->kind ||
	    strncmp(info.name, program->name, sizeof(info.name)) != 0)
		return false;
	for (uint32_t i = 0; i < info.n_maps && i < MAPS_MAX; i++)
		if (maps[i] == of_map.id)
			return true;
	return false;
}

int
bpf_link_cgroup(int program, int cgroup, uint32_t attach_type)
{
	union arguments a;

	memset(&a, 0, sizeof(a));
	a.link.prog_fd = (uint32_t)program;
	a.link.target_fd = (uint32_t)cgroup;
	a.link.attach_type = attach_type;
	return call(LINK_CREATE, &a, sizeof(a.link));
}
