#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "base/num.h"
#include "linux/file/file.h"
#include "linux/file/pidfile.h"

/* Two that start in one moment take turns at what was left behind. */
#define TURN_MS 1000

/* The number in it; "": it has none. */
static void
read_pid(int fd, char *pid, size_t size)
{
	ssize_t n = pread(fd, pid, size - 1, 0);

	pid[n > 0 ? n : 0] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
}

static bool
is_locked(const char *path, char *pid, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	bool locked;

	if (fd < 0)
		return false;
	locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
	if (locked)
		read_pid(fd, pid, size);
	fd_close(&fd);
	return locked;
}

static bool
is_alive(const char *pid)
{
	uint64_t number;

	return num_parse(pid, 1, INT_MAX, &number) &&
	    (kill((pid_t)number, 0) == 0 || errno == EPERM);
}

/*
 * Somebody who lives holds a lock on the file that is there now: one for writing,
 * which only who may write it can have (fcntl(2)). A flock(2) anybody can who
 * may read it. One that is locked, and has the number of a process that is gone, is
 * about to be replaced, see replace(): whose it is then is told, if it is soon.
 */
static int
check_present(const char *path, struct error *err)
{
	struct mono end = mono_add_ms(mono_now(), TURN_MS);
	const struct timespec pause = { .tv_nsec = 5000000 };
	char pid[16];

	while (is_locked(path, pid, sizeof(pid))) {
		if (is_alive(pid) || !mono_before(mono_now(), end))
			return error_set(err, -EBUSY, "already running, pid "
			    "%s (%s is locked)", *pid != '\0' ? pid :
			    "unknown", path);
		(void)nanosleep(&pause, NULL);
	}
	return 0;
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

/* Whoever was killed in put_in_place() has left the file with two names. */
static void
drop_second_name(int fd, const char *path)
{
	char pid[16], *name;

	read_pid(fd, pid, sizeof(pid));
	if (*pid == '\0' || asprintf(&name, "%s.%s", path, pid) < 0)
		return;
	if (file_has_name(fd, name))
		(void)unlink(name);
	free(name);
}

/*
 * What was left behind makes room while we hold a lock on it, as long as it has that
 * name: "nobody runs, then it is ours" is one step among all clusterds. Who may read
 * it may have a lock for reading on it for ever, which prevents ours, but no start:
 * where there is no lock to be had (or it is a link, or may not be written) there are
 * two steps, as well as may be.
 *
 * -EAGAIN, without words: there is another one, or none, by now.
 */
static int
replace(const char *temporary, const char *path, struct error *err)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
	    O_NOFOLLOW);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int code = 0;

	if (fd < 0 && errno == ENOENT)
		return -EAGAIN;
	if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0) {
		code = check_present(path, err);
		/* Whoever replaces it has not come to it. */
		if (code == 0 && fd >= 0)
			(void)fcntl(fd, F_OFD_SETLK, &lock);
	}
	if (code == 0 && fd >= 0 && !file_has_name(fd, path))
		code = -EAGAIN;
	if (code == 0 && fd >= 0)
		drop_second_name(fd, path);
	if (code == 0 && rename(temporary, path) < 0)
		code = cannot_write(path, -errno, err);
	fd_close(&fd);
	return code;
}

/* Another one may have come since it was looked: link(2) takes no file's place. Where
   there are no links, as well as may be. */
static int
put_in_place(const char *temporary, const char *path, struct error *err)
{
	struct mono end = mono_add_ms(mono_now(), TURN_MS);
	int code;

	do {
		if (link(temporary, path) == 0) {
			(void)unlink(temporary);
			return 0;
		}
		if (errno != EEXIST)
			return rename(temporary, path) == 0 ? 0 :
			    cannot_write(path, -errno, err);
		code = replace(temporary, path, err);
	} while (code == -EAGAIN && mono_before(mono_now(), end));
	return code == -EAGAIN ? cannot_write(path, code, err) : code;
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
	return p->fd >= 0 && file_has_name(p->fd, p->path);
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
