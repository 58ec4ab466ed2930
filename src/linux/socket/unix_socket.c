#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/libc.h"
#include "linux/socket/unix_socket.h"

/* The second name; the configuration leaves room for it in sun_path. */
#define KEEPER_SUFFIX ".lane"

static socklen_t
unix_sockaddr(const char *path, struct sockaddr_un *sun)
{
	size_t len = strlen(path);

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	/* The configuration allows less. */
	assert(len < sizeof(sun->sun_path));
	memcpy(sun->sun_path, path, len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* May the path be taken? A socket nobody listens on is a dead one's. */
static int
unix_check_path(const char *path, const char **ret_what)
{
	struct sockaddr_un sun;
	struct stat st;
	socklen_t len;
	int fd, code;

	*ret_what = "";
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		*ret_what = "there is a file that is no socket";
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	len = unix_sockaddr(path, &sun);
	code = connect(fd, (struct sockaddr *)&sun, len) < 0 ? -errno : 0;
	fd_close(&fd);
	if (code == -ECONNREFUSED || code == -ENOENT)
		return 0;
	if (code == 0 || code == -EAGAIN)
		return -EADDRINUSE;
	/* EPROTOTYPE: a datagram socket, which cannot be told dead. */
	return code;
}

bool
unix_socket_is_free(const char *path)
{
	const char *what;

	return unix_check_path(path, &what) == 0;
}

/*
 * Mode and owner of the socket's file. Never by its name alone: who can write
 * to the directory could have put a link to something else there. O_PATH holds
 * the file that was looked at (open(2)); chmod(2) takes no such descriptor, but
 * its name in /proc.
 */
int
unix_socket_dress(const char *path, const struct socket_options *o,
    const struct socket_file *ours, const char **ret_what)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char self[32];
	struct stat st;
	int code = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		code = -errno;
	} else if (!S_ISSOCK(st.st_mode) || (ours != NULL &&
	    (st.st_dev != ours->dev || st.st_ino != ours->ino))) {
		*ret_what = "the file is not the socket that clusterd made";
		code = -ESTALE;
	} else if ((o->uid != (uint32_t)-1 || o->gid != (uint32_t)-1) &&
	    fchownat(fd, "", o->uid, o->gid, AT_EMPTY_PATH) < 0) {
		*ret_what = "socket_user or socket_group";
		code = -errno;
	} else {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		if ((st.st_mode & 07777) != o->mode &&
		    chmod(self, (mode_t)o->mode) < 0) {
			*ret_what = "socket_mode";
			code = -errno;
		}
	}
	fd_close(&fd);
	return code;
}

static void
keeper_path(const char *path, char keeper[UNIX_KEEPER_MAX])
{
	int len = snprintf(keeper, UNIX_KEEPER_MAX, "%s" KEEPER_SUFFIX, path);

	assert(len < UNIX_KEEPER_MAX);
}

/*
 * A second name, so that the file can come back when a worker removes the
 * first: a socket without any name can never get one again (linkat(2)). Not
 * every file system has hard links.
 */
static void
keep(const char *path)
{
	char keeper[UNIX_KEEPER_MAX];
	const char *what;

	keeper_path(path, keeper);
	/* A dead clusterd's; anything else is left, and we do without. */
	if (unix_check_path(keeper, &what) == 0)
		(void)unlink(keeper);
	(void)!link(path, keeper);
}

int
unix_socket_listen(const char *path, const struct socket_options *o,
    int *ret_fd, struct socket_file *ret_file, const char **ret_what)
{
	struct sockaddr_un sun;
	struct stat st;
	socklen_t len = unix_sockaddr(path, &sun);
	mode_t saved;
	int fd = -1;
	int code = unix_check_path(path, ret_what);

	if (code < 0)
		return code;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || (unlink(path) < 0 && errno != ENOENT)) {
		code = -errno;
		fd_close(&fd);
		return code;
	}
	/* Nobody may connect before it listens and mode and owner are right. */
	saved = umask(0777);
	code = bind(fd, (struct sockaddr *)&sun, len) < 0 ? -errno : 0;
	umask(saved);
	if (code < 0) {
		fd_close(&fd);
		return code;
	}
	if ((!o->hold && listen(fd, (int)o->backlog) < 0) ||
	    lstat(path, &st) < 0)
		code = -errno;
	/* Before it belongs to somebody else (protected_hardlinks, proc(5)). */
	if (code == 0) {
		keep(path);
		code = unix_socket_dress(path, o, NULL, ret_what);
	}
	if (code < 0) {
		char keeper[UNIX_KEEPER_MAX];

		keeper_path(path, keeper);
		(void)unlink(keeper);
		(void)unlink(path);
		fd_close(&fd);
		return code;
	}
	*ret_file = (struct socket_file){
		.dev = st.st_dev, .ino = st.st_ino,
	};
	*ret_fd = fd_take(&fd);
	return 0;
}

/* 1: our file; 0: nothing is there; -EEXIST: something else. *ret_names: how many
   names our file has. */
static int
whose(const char *path, const struct socket_file *file, nlink_t *ret_names)
{
	struct stat st;

	*ret_names = 0;
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	*ret_names = st.st_nlink;
	return st.st_dev == file->dev && st.st_ino == file->ino ? 1 : -EEXIST;
}

void
unix_socket_worn(const char *path, const struct socket_file *file,
    struct socket_options *o)
{
	char keeper[UNIX_KEEPER_MAX];
	struct stat st;
	nlink_t names;

	keeper_path(path, keeper);
	if (whose(path, file, &names) != 1)
		path = keeper;
	if (lstat(path, &st) < 0 || st.st_dev != file->dev ||
	    st.st_ino != file->ino)
		return;
	o->mode = st.st_mode & 0777;
	o->uid = st.st_uid;
	o->gid = st.st_gid;
}

void
unix_socket_unlink(const char *path, const struct socket_file *file)
{
	char keeper[UNIX_KEEPER_MAX];
	nlink_t names;

	keeper_path(path, keeper);
	if (whose(path, file, &names) == 1)
		(void)unlink(path);
	if (whose(keeper, file, &names) == 1)
		(void)unlink(keeper);
}

int
unix_socket_restore(const char *path, const struct socket_file *file)
{
	char keeper[UNIX_KEEPER_MAX];
	nlink_t names, kept_names;
	int there = whose(path, file, &names);
	int kept;

	keeper_path(path, keeper);
	kept = whose(keeper, file, &kept_names);
	/* A name can still be found when its link is gone already, and the news
	   of that has come (fs/namei.c, vfs_unlink()). */
	if (there == 1 && kept == 1 && (names < 2 || kept_names < 2))
		return -EAGAIN;
	if (there == 1 && kept == 0 && link(path, keeper) < 0)
		return -errno;
	if (there != 0)
		return there < 0 ? there : 0;
	if (kept != 1)
		return kept < 0 ? kept : -ENOENT;
	return link(keeper, path) < 0 ? -errno : 1;
}

/*
 * The directory of a path, by what is in the kernel's caches alone: `path` may
 * come from a worker, and lead to a file server that never answers.
 */
static bool
cached_directory(const char *path, struct statx *ret_stat)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_CACHED,
	};
	const char *slash = strrchr(path, '/');
	char directory[PATH_MAX];
	size_t len = (size_t)(slash - path) + (slash == path);
	int fd;
	bool ok;

	if (len >= sizeof(directory))
		return false;
	memcpy(directory, path, len);
	directory[len] = '\0';
	fd = (int)syscall(SYS_openat2, AT_FDCWD, directory, &how,
	    sizeof(how));
	if (fd < 0)
		return false;
	ok = statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO,
	    ret_stat) == 0;
	fd_close(&fd);
	return ok;
}

bool
unix_socket_same_path(const char *a, const char *b)
{
	struct statx at_a, at_b;

	return strcmp(strrchr(a, '/'), strrchr(b, '/')) == 0 &&
	    cached_directory(a, &at_a) && cached_directory(b, &at_b) &&
	    at_a.stx_ino == at_b.stx_ino &&
	    at_a.stx_dev_major == at_b.stx_dev_major &&
	    at_a.stx_dev_minor == at_b.stx_dev_minor;
}

int
unix_socket_watch(int inotify, const char *path)
{
	char keeper[UNIX_KEEPER_MAX];
	int watch;

	keeper_path(path, keeper);
	/* A change of the link count is a change of attributes (inotify(7)). */
	watch = inotify_add_watch(inotify, keeper, IN_ATTRIB | IN_DONT_FOLLOW);
	return watch < 0 ? -errno : watch;
}
