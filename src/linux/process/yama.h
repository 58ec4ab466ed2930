/*
 * Yama, a security module that many distributions have in force
 * (kernel.yama.ptrace_scope): with 1 a process may attach to its descendants only,
 * and so look at their memory and their system calls, and copy their descriptors.
 * Our workers are our descendants, and no descendants of a child of ours.
 */
#ifndef LINUX_PROCESS_YAMA_H
#define LINUX_PROCESS_YAMA_H

#include <stdbool.h>

#define YAMA_SCOPE	"/proc/sys/kernel/yama/ptrace_scope"

/* Is that so here, by the contents of YAMA_SCOPE, so that a child of ours cannot
   look at others as we can? With CAP_SYS_PTRACE it can. */
bool yama_keeps_children_out(const char *scope_path);

#endif
