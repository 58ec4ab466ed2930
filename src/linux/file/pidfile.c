#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/file/pidfile.h"

/*
 * Somebody who lives holds a lock on the file that is there now: one for writing,
 * which only who may write it can have (fcntl(2)). A flock(2) anybody can who
 * may read it.
 */
static int
check_present(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	char pid[16] = "";
	ssize_t n;
	int code = 0;

	if (fd < 0)
		return 0;
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
		n = read(fd, pid, sizeof(pid) - 1);
		pid[n > 0 ? strspn(pid, "0123456789") : 0] = '\0';
		code = error_set(err, -EBUSY,
		    "already running, pid %s (%s is locked)", pid, path);
	}
	fd_close(&fd);
	return code;
}

/* Before anybody else can open it; then it is to be read. */
static int
lock_own(int fd)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_SETLK, &lock) < 0 || fchmod(fd, 0644) < 0 ?
	    -errno : 0;
}

static int
write_pid(int fd, pid_t pid)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)pid);
	ssize_t n = write(fd, text, (size_t)len);

	if (n == len)
		return 0;
	return n < 0 ? -errno : -ENOSPC;
}

static int
cannot_write(const char *path, int code, struct error *err)
{
	return error_set(err, code, "cannot write pidfile %s: %s", path,
	    strerror(-code));
}

/*
 * Another one may have come since it was looked: link(2) takes no file's place, and what
 * was left behind is looked at once more. Where there are no links, as well as may be.
 */
static int
put_in_place(const char *temporary, const char *path, struct error *err)
{
	int code;

	if (link(temporary, path) == 0) {
		(void)unlink(temporary);
		return 0;
	}
	code = errno == EEXIST ? check_present(path, err) : 0;
	if (code == 0 && rename(temporary, path) < 0)
		code = cannot_write(path, -errno, err);
	return code;
}

int
pidfile_create(const char *path, pid_t pid, struct pidfile *ret_pidfile,
    struct error *err)
{
	struct pidfile p = PIDFILE_INIT;
	char *temporary = NULL;
	int code = check_present(path, err);

	if (code < 0)
		return code;
	if (asprintf(&temporary, "%s.%d", path, (int)pid) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	p.path = strdup(path);
	(void)unlink(temporary);
	p.fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW, 0600);
	if (p.path == NULL)
		code = -ENOMEM;
	else if (p.fd < 0)
		code = -errno;
	else
		code = write_pid(p.fd, pid);
	if (code == 0)
		code = lock_own(p.fd);
	code = code < 0 ? cannot_write(path, code, err) :
	    put_in_place(temporary, path, err);
	if (code < 0) {
		if (p.fd >= 0)
			(void)unlink(temporary);
		fd_close(&p.fd);
		free(p.path);
	} else {
		*ret_pidfile = p;
	}
	free(temporary);
	return code;
}

int
pidfile_go_on(const char *path, int fd, struct pidfile *ret_pidfile,
    struct error *err)
{
	char *copy = strdup(path);

	if (copy == NULL) {
		fd_close(&fd);
		return error_set(err, -ENOMEM, "out of memory");
	}
	*ret_pidfile = (struct pidfile){ .fd = fd, .path = copy };
	return 0;
}

bool
pidfile_is_there(const struct pidfile *p)
{
	struct stat ours, there;

	return p->fd >= 0 && fstat(p->fd, &ours) == 0 &&
	    lstat(p->path, &there) == 0 && ours.st_dev == there.st_dev &&
	    ours.st_ino == there.st_ino;
}

void
pidfile_remove(struct pidfile *p)
{
	if (pidfile_is_there(p))
		(void)unlink(p->path);
	fd_close(&p->fd);
	free(p->path);
	p->path = NULL;
}
