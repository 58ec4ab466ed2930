#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "linux/child/notify_dir.h"

#define RANDOM	"XXXXXX"

/* In /tmp, names say whose they are. */
#define RUNTIME_PREFIX	"notify."
#define TMP_PREFIX	"clusterd-notify."

/* Somebody may take a new one for a dead one's, before it is locked. */
#define TRIES	8

/* ---- what is left of others ---- */

static void
empty(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
	struct dirent *entry;
	struct stat st;

	if (dir == NULL) {
		fd_close(&copy);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ==
			0 && S_ISSOCK(st.st_mode))
			(void)unlinkat(fd, entry->d_name, 0);
	closedir(dir);
}

/* Open and ours, not a link, and nobody alive has locked it: else -1. */
static int
open_dead(int base, const char *name)
{
	int fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_uid != geteuid() ||
	    flock(fd, LOCK_EX | LOCK_NB) < 0))
		fd_close(&fd);
	return fd;
}

static void
sweep(const char *base, const char *prefix)
{
	DIR *dir = opendir(base);
	struct dirent *entry;

	if (dir == NULL)
		return;
	while ((entry = readdir(dir)) != NULL) {
		int fd;

		if (!str_starts(entry->d_name, prefix) ||
		    strlen(entry->d_name) != strlen(prefix) + strlen(RANDOM))
			continue;
		fd = open_dead(dirfd(dir), entry->d_name);
		if (fd < 0)
			continue;
		empty(fd);
		(void)unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR);
		fd_close(&fd);
	}
	closedir(dir);
}

/* ---- ours ---- */

/* Still what the path leads to? */
static bool
is_there(const char *path, int fd)
{
	struct stat there, here;

	return lstat(path, &there) == 0 && fstat(fd, &here) == 0 &&
	    there.st_dev == here.st_dev && there.st_ino == here.st_ino;
}

/* Workers of other users are to find their sockets, and no list of them. */
#define MODE 0711

/* `path` is a template. -EAGAIN: somebody has taken it away. */
static int
make(char *path, int *ret_fd)
{
	int fd, code = 0;

	if (mkdtemp(path) == NULL)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || !is_there(path, fd))
		code = -EAGAIN;
	else if (fchmod(fd, MODE) < 0)
		code = -errno;
	if (code == 0) {
		*ret_fd = fd;
		return 0;
	}
	fd_close(&fd);
	(void)rmdir(path);
	return code;
}

static int
make_below(const char *base, const char *prefix, bool first,
    struct notify_dir *ret_dir, struct error *err)
{
	char *path = NULL;
	int fd = -1, code = -EAGAIN;

	if (strlen(base) + 1 + strlen(prefix) + strlen(RANDOM) + 1 +
	    NOTIFY_NAME_MAX >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return error_set(err, -ENAMETOOLONG, "%s: too long for the "
		    "paths of sockets", base);
	if (first)
		sweep(base, prefix);
	for (int i = 0; i < TRIES && code == -EAGAIN; i++) {
		free(path);
		if (asprintf(&path, "%s/%s" RANDOM, base, prefix) < 0)
			return error_set(err, -ENOMEM, "out of memory");
		code = make(path, &fd);
	}
	if (code < 0) {
		free(path);
		return error_set(err, code, "%s: %s", base, strerror(-code));
	}
	*ret_dir = (struct notify_dir){ .fd = fd, .path = path };
	return 0;
}

/* Where others could put something of theirs in the place of ours, workers
   would talk to them. */
static int
check_tmp(const char *tmp, struct error *err)
{
	struct stat st;

	if (*tmp != '/' || stat(tmp, &st) < 0)
		return error_set(err, -ENOENT, "%s: no such directory", tmp);
	if ((st.st_uid != 0 && st.st_uid != geteuid()) ||
	    ((st.st_mode & (S_IWOTH | S_IWGRP)) != 0 &&
		(st.st_mode & S_ISVTX) == 0))
		return error_set(err, -EPERM, "others may replace files in %s",
		    tmp);
	return 0;
}

int
notify_dir_open(const char *runtime, bool first,
    struct notify_dir *ret_dir, struct error *err)
{
	const char *tmp = getenv("TMPDIR");
	int code = -ENOENT;
	struct stat st;

	/* Root's workers may become anybody. */
	if (runtime != NULL && (geteuid() != 0 ||
	    (stat(runtime, &st) == 0 && (st.st_mode & S_IXOTH) != 0)))
		code = make_below(runtime, RUNTIME_PREFIX, first, ret_dir,
		    NULL);
	if (code == 0)
		return 0;
	if (tmp == NULL || *tmp != '/')
		tmp = "/tmp";
	code = check_tmp(tmp, err);
	return code == 0 ? make_below(tmp, TMP_PREFIX, first, ret_dir, err) :
	    code;
}

int
notify_dir_take(struct notify_dir *dir, int fd, const char *path)
{
	char *copy = strdup(path);

	if (copy == NULL) {
		fd_close(&fd);
		return -ENOMEM;
	}
	*dir = (struct notify_dir){ .fd = fd, .path = copy };
	return 0;
}

void
notify_dir_close(struct notify_dir *dir)
{
	if (dir->fd >= 0) {
		empty(dir->fd);
		/* Nobody else's, should it have been replaced. */
		if (is_there(dir->path, dir->fd))
			(void)rmdir(dir->path);
	}
	fd_close(&dir->fd);
	free(dir->path);
	dir->path = NULL;
}
