#include <sys/stat.h>
#include <sys/vfs.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/open_trusted.h"

#define LINKS_MAX	40	/* as the kernel has it */

struct walk {
	int dir;
	char rest[PATH_MAX];	/* still to be walked, without a leading '/' */
	int links;
	struct error *err;	/* words of what was refused */
};

static const char *below;

static int
enter(struct walk *w, const char *name)
{
	int fd = openat(w->dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);

	if (fd < 0)
		return -errno;
	fd_close(&w->dir);
	w->dir = fd;
	return 0;
}

static int
enter_at(struct walk *w, const char *dir)
{
	fd_close(&w->dir);
	w->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return w->dir < 0 ? -errno : 0;
}

/* The directory that was named, and what is left behind it; or the root. */
static int
enter_first(struct walk *w, const char *path)
{
	size_t len = below != NULL ? strlen(below) : 0;

	if (len > 0 && strncmp(path, below, len) == 0 && path[len] == '/') {
		strcpy(w->rest, path + len);
		return enter_at(w, below);
	}
	strcpy(w->rest, path);
	return enter_at(w, "/");
}

/* The first part of what is left goes to `name`. */
static bool
next_part(struct walk *w, char name[NAME_MAX + 1])
{
	size_t skip = strspn(w->rest, "/");
	size_t len = strcspn(w->rest + skip, "/");

	if (len > NAME_MAX)
		return false;
	memcpy(name, w->rest + skip, len);
	name[len] = '\0';
	skip += len;
	skip += strspn(w->rest + skip, "/");
	memmove(w->rest, w->rest + skip, strlen(w->rest + skip) + 1);
	return true;
}

/* What the kernel has made of a link in /proc, such as to a pipe, is no path. */
static bool
is_magic(int dir)
{
	struct statfs fs;

	return fstatfs(dir, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int
refuse(struct walk *w, const char *name, uid_t owner)
{
	char proc[32], dir[PATH_MAX];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", w->dir);
	n = readlink(proc, dir, sizeof(dir) - 1);
	dir[n < 0 ? 0 : n] = '\0';
	return error_set(w->err, -ELOOP, "the symbolic link %s%s%s belongs to "
	    "user %u, and only those of root and of clusterd's own user are "
	    "followed", dir, n > 0 && dir[n - 1] == '/' ? "" : "/", name,
	    (unsigned)owner);
}

/* Puts the link's text in front of what is left. */
static int
follow(struct walk *w, const char *name, const struct stat *st)
{
	char target[PATH_MAX], whole[2 * PATH_MAX];
	ssize_t n;
	int len;

	if (st->st_uid != 0 && st->st_uid != geteuid())
		return refuse(w, name, st->st_uid);
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	n = readlinkat(w->dir, name, target, sizeof(target) - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	len = snprintf(whole, sizeof(whole), "%s/%s", target, w->rest);
	if (len >= (int)sizeof(w->rest))
		return -ENAMETOOLONG;
	strcpy(w->rest, whole);
	return target[0] == '/' ? enter_at(w, "/") : 0;
}

static int
walk(struct walk *w, int flags, mode_t mode)
{
	for (;;) {
		char name[NAME_MAX + 1];
		struct stat st;
		bool last;
		int code;

		if (!next_part(w, name))
			return -ENAMETOOLONG;
		last = w->rest[0] == '\0';
		if (name[0] == '\0')
			return -EISDIR;
		code = fstatat(w->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ?
		    -errno : 0;
		if (code < 0 && (code != -ENOENT || !last))
			return code;
		if (code == 0 && S_ISLNK(st.st_mode) && !(last &&
		    is_magic(w->dir))) {
			code = follow(w, name, &st);
		} else if (last) {
			bool magic = code == 0 && S_ISLNK(st.st_mode);
			int fd = openat(w->dir, name, flags | O_CLOEXEC |
			    (magic ? 0 : O_NOFOLLOW), mode);

			return fd < 0 ? -errno : fd;
		} else {
			code = enter(w, name);
		}
		if (code < 0)
			return code;
	}
}

int
open_trusted(const char *path, int flags, mode_t mode, struct error *err)
{
	struct error refused = ERROR_INIT;
	struct walk w = { .dir = -1, .err = &refused };
	int code = strlen(path) >= sizeof(w.rest) ? -ENAMETOOLONG :
	    enter_first(&w, path);

	if (code == 0)
		code = walk(&w, flags, mode);
	fd_close(&w.dir);
	if (code < 0)
		error_set(err, code, "%s", refused.text != NULL ?
		    refused.text : strerror(-code));
	error_clear(&refused);
	return code;
}

void
open_trusted_below(const char *dir)
{
	below = dir;
}
