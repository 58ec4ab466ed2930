#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "core/worker/cpu_quota.h"
#include "linux/process/cgroup.h"
#include "linux/file/file.h"

#define PROC_FILE_MAX (4 * 1024 * 1024)

static int
open_in(const char *mountinfo, const char *cgroups, int *ret_fd,
    struct error *err)
{
	struct cpu_quota_mount mount;
	char *path, *dir = NULL;
	int fd, code = -ENOMEM;

	if (!cpu_quota_find_mount(mountinfo, NULL, &mount))
		return error_set(err, -ENOENT, "no cgroup v2 is mounted here");
	path = cpu_quota_own_path(cgroups, NULL);
	if (path != NULL)
		dir = cpu_quota_dir(&mount, path);
	if (dir == NULL) {
		error_set(err, code, "no cgroup v2 in /proc/self/cgroup");
	} else {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		code = fd < 0 ? -errno : 0;
		if (fd < 0)
			error_set(err, code, "cannot open our cgroup %s: %s",
			    dir, strerror(-code));
		else
			*ret_fd = fd;
	}
	free(dir);
	free(path);
	cpu_quota_mount_free(&mount);
	return code;
}

int
cgroup_open_own(int *ret_fd, struct error *err)
{
	char *mountinfo = NULL, *cgroups = NULL;
	size_t len;
	int code;

	code = file_read("/proc/self/mountinfo", PROC_FILE_MAX, &mountinfo,
	    &len, err);
	if (code == 0)
		code = file_read("/proc/self/cgroup", PROC_FILE_MAX, &cgroups,
		    &len, err);
	if (code == 0)
		code = open_in(mountinfo, cgroups, ret_fd, err);
	free(mountinfo);
	free(cgroups);
	return code;
}
