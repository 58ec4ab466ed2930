/*
 * A program that a child has the kernel look through, which takes it ten
 * milliseconds and more, while we go on.
 */
#ifndef LINUX_BPF_STEERING_LOADER_H
#define LINUX_BPF_STEERING_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bpf_program;

struct steering_loader {
	pid_t pid;	/* 0: nothing is under way */
	int pidfd;	/* -1: not to be asked */
	void *room;	/* the child's stack, and what it needs */
	size_t size;
};
#define STEERING_LOADER_INIT { .pid = 0 }

/* Nothing may be under way. `maps` as for bpf_program_load(); it gets into the array of
   programs `programs`, at `key`. -errno: nothing has begun. */
int steering_loader_begin(struct steering_loader *loader,
    const struct bpf_program *program, const int *maps, int programs,
    uint32_t key);

/* Is it? */
bool steering_loader_is_over(const struct steering_loader *loader);

/* Waits until it is over, whoever may have reaped the child. What came of it, the array tells. */
void steering_loader_end(struct steering_loader *loader);

#endif
