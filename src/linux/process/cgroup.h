/* The cgroups (v2) that this process is in, or was. */
#ifndef LINUX_PROCESS_CGROUP_H
#define LINUX_PROCESS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

struct error;

struct cgroup {
	char *path;	/* as /proc/self/cgroup names it */
	char *dir;
	uint64_t id;	/* no other one has it, not even by the same name */
};

/*
 * The one that we are in now, wherever the unified hierarchy is mounted (by
 * itself, or beside v1's as systemd's hybrid layout has it). The caller frees.
 * -errno with words; -ENOENT: no cgroup v2 is mounted.
 */
int cgroup_own(struct cgroup *ret_cgroup, struct error *err);

/* Are we in it still? As cheap as can be. */
bool cgroup_is_own(const struct cgroup *cgroup);

/* Is it the one with that id, or below it, as far as it is mounted here? */
bool cgroup_is_within(const struct cgroup *cgroup, uint64_t id);

/* Its directory. The caller owns *ret_fd. -errno with words; -ENOENT: it is
   gone. */
int cgroup_open(const struct cgroup *cgroup, int *ret_fd, struct error *err);

void cgroup_free(struct cgroup *cgroup);

#endif
