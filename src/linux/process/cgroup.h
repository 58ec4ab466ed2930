/* The cgroup (v2) of this process. */
#ifndef LINUX_PROCESS_CGROUP_H
#define LINUX_PROCESS_CGROUP_H

struct error;

/*
 * Open its directory, wherever the unified hierarchy is mounted (by itself, or
 * beside v1's as systemd's hybrid layout has it). The caller owns *ret_fd. -errno
 * with words; -ENOENT: no cgroup v2 is mounted.
 */
int cgroup_open_own(int *ret_fd, struct error *err);

#endif
