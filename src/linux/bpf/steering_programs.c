#include <assert.h>
#include <errno.h>

#include "base/error.h"
#include "linux/bpf/bpf_syscall.h"
#include "linux/bpf/steering_bytecode.h"
#include "linux/bpf/steering_programs.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const struct bpf_program programs[] = {
	[STEERING_COUNT] = {
		.name = "lane_count",
		.kind = BPF_KIND_SOCK_OPS,
		.code = count_code,
		.n_code = COUNT_OF(count_code),
		.references = count_references,
		.n_references = COUNT_OF(count_references),
	},
	[STEERING_ENTER] = {
		.name = "lane_enter",
		.kind = BPF_KIND_SK_REUSEPORT,
		.attach_type = BPF_ATTACH_SELECT_OR_MIGRATE,
		.code = enter_code,
		.n_code = COUNT_OF(enter_code),
		.references = enter_references,
		.n_references = COUNT_OF(enter_references),
	},
	[STEERING_ROUND_ROBIN] = {
		.name = "lane_turn",
		.kind = BPF_KIND_SK_REUSEPORT,
		.attach_type = BPF_ATTACH_SELECT_OR_MIGRATE,
		.code = round_robin_code,
		.n_code = COUNT_OF(round_robin_code),
		.references = round_robin_references,
		.n_references = COUNT_OF(round_robin_references),
	},
	[STEERING_LEAST_CONNECTIONS] = {
		.name = "lane_least",
		.kind = BPF_KIND_SK_REUSEPORT,
		.attach_type = BPF_ATTACH_SELECT_OR_MIGRATE,
		.code = least_connections_code,
		.n_code = COUNT_OF(least_connections_code),
		.references = least_connections_references,
		.n_references = COUNT_OF(least_connections_references),
	},
	[STEERING_FLOWS] = {
		.name = "lane_flows",
		.kind = BPF_KIND_SK_REUSEPORT,
		.attach_type = BPF_ATTACH_SELECT_OR_MIGRATE,
		.code = flows_code,
		.n_code = COUNT_OF(flows_code),
		.references = flows_references,
		.n_references = COUNT_OF(flows_references),
	},
};
static_assert(COUNT_OF(programs) == STEERING_PROGRAMS, "one row for each");

const struct bpf_program *
steering_program(enum steering_program which)
{
	return &programs[which];
}

static const char *
missing(int code)
{
	switch (code) {
	case -EPERM:
		return ": it takes root, or CAP_BPF and, for counting, "
		    "CAP_NET_ADMIN (before Linux 5.8 CAP_SYS_ADMIN); a "
		    "container's seccomp filter may forbid bpf(2) as well";
	/* The last three are the verifier's. */
	case -ENOSYS:
	case -EINVAL:
	case -EACCES:
	case -E2BIG:
	case -EFAULT:
		return ": it takes Linux 5.14 with CONFIG_BPF_SYSCALL and "
		    "CONFIG_CGROUP_BPF";
	default:
		return "";
	}
}

int
steering_refused(int code, const char *what, const char *why,
    struct error *err)
{
	return error_set(err, code, "%s: %s%s", what, why, missing(code));
}

uint32_t
steering_programs_print(void)
{
	static uint32_t print;

	if (print != 0)
		return print;
	print = UINT32_C(2166136261);	/* FNV-1a */
	for (int i = 0; i < STEERING_PROGRAMS; i++) {
		const struct bpf_program *p = steering_program(
		    (enum steering_program)i);
		const unsigned char *code = (const unsigned char *)p->code;
		const size_t size = p->n_code * sizeof(*p->code);

		for (size_t k = 0; k < size; k++)
			print = (print ^ code[k]) * UINT32_C(16777619);
	}
	return print;
}
