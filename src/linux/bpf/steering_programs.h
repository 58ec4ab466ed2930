/*
 * The eBPF programs of src/bpf/, as clang made them (steering_bytecode.h, by
 * `make bpf`), and words for when the kernel will not have them.
 */
#ifndef LINUX_BPF_STEERING_PROGRAMS_H
#define LINUX_BPF_STEERING_PROGRAMS_H

#include <stdint.h>

struct bpf_program;
struct error;

enum steering_program {
	STEERING_COUNT,
	STEERING_ENTER,
	STEERING_ROUND_ROBIN,
	STEERING_LEAST_CONNECTIONS,
	STEERING_FLOWS,
	STEERING_PROGRAMS
};

/* A number that is another one where any of them is. */
uint32_t steering_programs_print(void);

const struct bpf_program *steering_program(enum steering_program which);

/* Say that `what` was refused with `code` for the reason `why`, and what is
   missing. Returns `code`. */
int steering_refused(int code, const char *what, const char *why,
    struct error *err);

#endif
