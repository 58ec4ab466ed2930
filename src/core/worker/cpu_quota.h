/*
 * The texts in which the kernel says how many CPUs a cgroup may use
 * (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/…, proc(5)). Pure; the
 * files are read by linux/process/cpus.
 */
#ifndef CORE_WORKER_CPU_QUOTA_H
#define CORE_WORKER_CPU_QUOTA_H

#include <stdbool.h>
#include <stddef.h>

/* CPUs of a quota, rounded up, at least 1; 0: no limit or no sense in it. */
unsigned cpu_quota_v2(const char *cpu_max);
unsigned cpu_quota_v1(const char *quota_us, const char *period_us);

/*
 * The path of this process in /proc/self/cgroup: of the unified hierarchy when
 * `controller` is NULL, else of the v1 hierarchy that has the controller.
 * Caller frees; NULL when it is not there (or memory is short).
 */
char *cpu_quota_own_path(const char *proc_cgroup, const char *controller);

struct cpu_quota_mount {
	char *point;	/* where the hierarchy is mounted */
	char *root;	/* which of its directories is mounted there */
};

/*
 * Find the hierarchy in /proc/self/mountinfo: cgroup2 when `controller` is
 * NULL, else the v1 hierarchy with the controller. False: none (or no memory).
 * The caller frees with cpu_quota_mount_free().
 */
bool cpu_quota_find_mount(const char *mountinfo, const char *controller,
    struct cpu_quota_mount *ret_mount);
void cpu_quota_mount_free(struct cpu_quota_mount *mount);

/*
 * The directory of `path` under the mount; the mount point itself when the
 * path lies outside of what is mounted (a container that sees its host's
 * paths). Caller frees; NULL when memory is short.
 */
char *cpu_quota_dir(const struct cpu_quota_mount *mount, const char *path);

#endif
