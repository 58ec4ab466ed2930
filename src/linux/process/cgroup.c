#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "core/worker/cpu_quota.h"
#include "linux/process/cgroup.h"
#include "linux/file/file.h"

#define PROC_FILE_MAX (4 * 1024 * 1024)

/* NULL: none, or no memory. */
static char *
own_path(struct error *err)
{
	char *text, *path;
	size_t len;

	if (file_read("/proc/self/cgroup", PROC_FILE_MAX, &text, &len, err) < 0)
		return NULL;
	path = cpu_quota_own_path(text, NULL);
	free(text);
	if (path == NULL)
		error_set(err, -ENOENT, "no cgroup v2 in /proc/self/cgroup");
	return path;
}

static int
find_dir(const char *path, char **ret_dir, struct error *err)
{
	struct cpu_quota_mount mount;
	char *mountinfo;
	size_t len;
	int code;

	code = file_read("/proc/self/mountinfo", PROC_FILE_MAX, &mountinfo,
	    &len, err);
	if (code < 0)
		return code;
	if (cpu_quota_find_mount(mountinfo, NULL, &mount)) {
		*ret_dir = cpu_quota_dir(&mount, path);
		cpu_quota_mount_free(&mount);
		code = *ret_dir != NULL ? 0 :
		    error_set(err, -ENOMEM, "%s", strerror(ENOMEM));
	} else {
		code = error_set(err, -ENOENT, "no cgroup v2 is mounted here");
	}
	free(mountinfo);
	return code;
}

int
cgroup_own(struct cgroup *ret_cgroup, struct error *err)
{
	struct cgroup own = { .path = own_path(err) };
	struct stat st;
	int code;

	if (own.path == NULL)
		return -ENOENT;
	code = find_dir(own.path, &own.dir, err);
	if (code == 0 && stat(own.dir, &st) < 0)
		code = error_set(err, -errno, "cannot look at our cgroup %s: "
		    "%s", own.dir, strerror(errno));
	if (code < 0) {
		cgroup_free(&own);
		return code;
	}
	own.id = st.st_ino;
	*ret_cgroup = own;
	return 0;
}

bool
cgroup_is_own(const struct cgroup *cgroup)
{
	char *path = own_path(NULL);
	struct stat st;
	bool is = path != NULL && cgroup->path != NULL &&
	    strcmp(path, cgroup->path) == 0 &&
	    stat(cgroup->dir, &st) == 0 && st.st_ino == cgroup->id;

	free(path);
	return is;
}

bool
cgroup_is_within(const struct cgroup *cgroup, uint64_t id)
{
	char *dir = strdup(cgroup->dir), *end;
	struct stat own, st;
	bool is = cgroup->id == id;

	if (dir == NULL || stat(dir, &own) < 0)
		end = NULL;
	else
		end = strrchr(dir, '/');
	/* Above where it is mounted is another file system. */
	for (; !is && end != NULL && end > dir; end = strrchr(dir, '/')) {
		*end = '\0';
		if (stat(dir, &st) < 0 || st.st_dev != own.st_dev)
			break;
		is = st.st_ino == id;
	}
	free(dir);
	return is;
}

int
cgroup_open(const struct cgroup *cgroup, int *ret_fd, struct error *err)
{
	int fd = open(cgroup->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	int code = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		code = -errno;
	else if (st.st_ino != cgroup->id)
		code = -ENOENT;
	if (code < 0) {
		fd_close(&fd);
		return error_set(err, code, "cannot open the cgroup %s: %s",
		    cgroup->dir, strerror(-code));
	}
	*ret_fd = fd;
	return 0;
}

void
cgroup_free(struct cgroup *cgroup)
{
	free(cgroup->path);
	free(cgroup->dir);
	*cgroup = (struct cgroup){ .path = NULL };
}
