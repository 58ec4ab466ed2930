/*
 * Yama, a security module that many distributions have in force
 * (kernel.yama.ptrace_scope): with 1 a process may attach to its descendants only,
 * and so look at their memory and their system calls, and copy their descriptors.
 * Our workers are our descendants, and no descendants of a child of ours.
 */
#ifndef LINUX_PROCESS_YAMA_H
#define LINUX_PROCESS_YAMA_H

#include <sys/types.h>

#include <stdbool.h>

#define YAMA_SYSCTLS	"/proc/sys/kernel"

enum yama {
	YAMA_NONE,		/* a child may look where we may */
	YAMA_ANCESTORS,		/* it may not */
	YAMA_HIDDEN,		/* that is not to be read here */
};

/* By the files of YAMA_SYSCTLS. With CAP_SYS_PTRACE it does not matter. */
enum yama yama_for_children(const char *sysctls);

/* May we look at this process, as far as Yama and others say? For a child of its,
   about its parent. */
bool yama_lets_look(pid_t pid);

#endif
