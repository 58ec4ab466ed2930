#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "core/worker/cpu_quota.h"
#include "linux/process/cpus.h"
#include "linux/file/file.h"

#define PROC_FILE_MAX (4 * 1024 * 1024)

static unsigned
affinity(void)
{
	/* The kernel may know more CPUs than a cpu_set_t; it then says EINVAL
	   and wants a larger mask (sched_getaffinity(2)). */
	for (int cpus = CPU_SETSIZE; cpus <= 1 << 20; cpus *= 2) {
		cpu_set_t *set = CPU_ALLOC(cpus);
		size_t size = CPU_ALLOC_SIZE(cpus);
		int count = 0;

		if (set == NULL)
			break;
		if (sched_getaffinity(0, size, set) == 0)
			count = CPU_COUNT_S(size, set);
		CPU_FREE(set);
		if (count > 0)
			return (unsigned)count;
	}
	return 1;
}

static char *
read_in(const char *dir, const char *name)
{
	struct strbuf path = STRBUF_INIT;
	char *text = NULL;
	size_t len;

	strbuf_printf(&path, "%s/%s", dir, name);
	if (path.failed ||
	    file_read(path.text, PROC_FILE_MAX, &text, &len, NULL) < 0)
		text = NULL;
	strbuf_free(&path);
	return text;
}

static unsigned
quota_in(const char *dir, bool v1)
{
	unsigned cpus = 0;

	if (v1) {
		char *quota = read_in(dir, "cpu.cfs_quota_us");
		char *period = read_in(dir, "cpu.cfs_period_us");

		if (quota != NULL && period != NULL)
			cpus = cpu_quota_v1(quota, period);
		free(quota);
		free(period);
	} else {
		char *max = read_in(dir, "cpu.max");

		if (max != NULL)
			cpus = cpu_quota_v2(max);
		free(max);
	}
	return cpus;
}

/* The smallest quota from our own cgroup up to the mount point. */
static unsigned
quota_of(const char *mountinfo, const char *proc_cgroup, const char *controller)
{
	struct cpu_quota_mount mount;
	char *path, *dir;
	unsigned least = 0;

	if (!cpu_quota_find_mount(mountinfo, controller, &mount))
		return 0;
	path = cpu_quota_own_path(proc_cgroup, controller);
	dir = path != NULL ? cpu_quota_dir(&mount, path) : NULL;
	while (dir != NULL) {
		unsigned cpus = quota_in(dir, controller != NULL);
		char *slash = strrchr(dir, '/');

		if (cpus > 0 && (least == 0 || cpus < least))
			least = cpus;
		if (slash == NULL || strlen(dir) <= strlen(mount.point))
			break;
		*slash = '\0';
	}
	free(dir);
	free(path);
	cpu_quota_mount_free(&mount);
	return least;
}

unsigned
cpus_available(void)
{
	unsigned cpus = affinity();
	char *mountinfo = read_in("/proc/self", "mountinfo");
	char *cgroup = read_in("/proc/self", "cgroup");

	if (mountinfo != NULL && cgroup != NULL) {
		unsigned v2 = quota_of(mountinfo, cgroup, NULL);
		unsigned v1 = quota_of(mountinfo, cgroup, "cpu");

		if (v2 > 0 && v2 < cpus)
			cpus = v2;
		if (v1 > 0 && v1 < cpus)
			cpus = v1;
	}
	free(mountinfo);
	free(cgroup);
	return cpus;
}
