#include <sys/stat.h>
#include <sys/xattr.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "linux/file/file.h"
#include "linux/process/caps.h"
#include "linux/process/cgroup_files.h"

#define FILE_MAX (1024 * 1024)

char *
cgroup_path(const char *dir, const char *group, const char *file)
{
	struct strbuf sb = STRBUF_INIT;

	strbuf_printf(&sb, "%s%s%s%s%s", dir, group != NULL ? "/" : "",
	    group != NULL ? group : "", file != NULL ? "/" : "",
	    file != NULL ? file : "");
	return strbuf_take(&sb);
}

int
cgroup_file_open(const char *dir, const char *group, const char *file,
    int flags)
{
	char *path = cgroup_path(dir, group, file);
	int fd = path != NULL ? open(path, flags | O_CLOEXEC) : -1;
	int code = path == NULL ? -ENOMEM : fd < 0 ? -errno : fd;

	free(path);
	return code;
}

int
cgroup_file_write(const char *dir, const char *group, const char *file,
    const char *text)
{
	int fd = cgroup_file_open(dir, group, file, O_WRONLY);
	int code = 0;

	if (fd < 0)
		return fd;
	if (write(fd, text, strlen(text)) < 0)
		code = -errno;
	fd_close(&fd);
	return code;
}

int
cgroup_file_read(const char *dir, const char *file, char **ret_text)
{
	char *path = cgroup_path(dir, NULL, file);
	size_t len;
	int code = path == NULL ? -ENOMEM :
	    file_read(path, FILE_MAX, ret_text, &len, NULL);

	free(path);
	return code;
}

bool
cgroup_is_there(const char *dir, const char *group)
{
	char *path = cgroup_path(dir, group, NULL);
	bool is = path != NULL && access(path, F_OK) == 0;

	free(path);
	return is;
}

int
cgroup_make(const char *dir, const char *group)
{
	char *path = cgroup_path(dir, group, NULL);
	int code = path == NULL ? -ENOMEM :
	    mkdir(path, 0755) < 0 ? -errno : 0;

	free(path);
	return code;
}

int
cgroup_remove(const char *dir, const char *group)
{
	char *path = cgroup_path(dir, group, NULL);
	int code = path == NULL ? -ENOMEM :
	    rmdir(path) < 0 && errno != ENOENT ? -errno : 0;

	free(path);
	return code;
}

/* It alone has no type. */
bool
cgroup_is_root(const char *dir)
{
	return !cgroup_is_there(dir, "cgroup.type");
}

static bool
has_mark(const char *dir, const char *name)
{
	return getxattr(dir, name, NULL, 0) >= 0 || errno != ENODATA;
}

/* Who may not read trusted attributes is told that there are none. */
static bool
reads_trusted(void)
{
	return caps_has(CAPS_BIT(CAP_SYS_ADMIN));
}

bool
cgroup_may_be_delegated(const char *dir)
{
	/* In a container it is another machine's systemd, which cannot be
	   asked. */
	if (access("/run/systemd/system", F_OK) < 0)
		return true;
	return has_mark(dir, "user.delegate") || !reads_trusted() ||
	    has_mark(dir, "trusted.delegate");
}
