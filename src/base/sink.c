#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/alarm.h"
#include "base/fd.h"
#include "base/libc.h"
#include "base/open_trusted.h"
#include "base/sink.h"

/* For a write that POLLOUT had promised to be none. */
#define BLOCKED_MS	5

static bool
waits(const struct stat *st)
{
	return !S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode);
}

/*
 * An inherited descriptor shares its file description with whoever started us,
 * so O_NONBLOCK must not be set on it. A pipe or terminal is opened once more
 * through /proc, which makes a description of our own (proc(5)).
 */
void
sink_inherit(struct sink *sink, int fd)
{
	char name[sizeof("/proc/self/fd/") + 3 * sizeof(fd)];
	struct stat st;
	int own;

	sink_close(sink);
	sink->kind = SINK_SHARED;
	sink->fd = fd;
	if (fstat(fd, &st) < 0)
		return;
	sink->waits = waits(&st);
	if (S_ISSOCK(st.st_mode)) {
		sink->kind = SINK_SOCKET;
		return;
	}
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	own = open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (own >= 0) {
		sink->kind = SINK_OWN;
		sink->fd = own;
	}
}

int
sink_open(struct sink *sink, const char *path, struct error *err)
{
	struct stat st;
	int fd = open_trusted(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY |
	    O_NONBLOCK, 0640, err);

	if (fd < 0)
		return fd;
	sink_close(sink);
	sink->kind = SINK_OWN;
	sink->fd = fd;
	sink->waits = fstat(fd, &st) == 0 && waits(&st);
	return 0;
}

/* POLLOUT is no promise: on a terminal it means room for a byte, and another
   writer may be quicker. */
static ssize_t
write_bounded(int fd, const void *bytes, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0) {
		errno = EAGAIN;
		return -1;
	}
	alarm_set(BLOCKED_MS);
	n = write(fd, bytes, len < PIPE_BUF ? len : PIPE_BUF);
	alarm_set(0);
	if (n < 0 && errno == EINTR)
		errno = EAGAIN;
	return n;
}

/*
 * A description that is shared with others: RWF_NOWAIT asks for this one write
 * what O_NONBLOCK would for all (pwritev2(2)). Not every kind of file knows it;
 * and a regular one, which has no reader to wait for, gives EAGAIN whenever the
 * file system would have to allocate or to lock.
 */
static ssize_t
write_shared(const struct sink *sink, const void *bytes, size_t len)
{
	const struct iovec iov = {
		.iov_base = (void *)(uintptr_t)bytes, .iov_len = len,
	};
	ssize_t n;

	if (!sink->waits)
		return write(sink->fd, bytes, len);
	n = pwritev2(sink->fd, &iov, 1, -1, RWF_NOWAIT);
	if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS &&
	    errno != EINVAL))
		return n;
	return write_bounded(sink->fd, bytes, len);
}

ssize_t
sink_write(struct sink *sink, const void *bytes, size_t len)
{
	ssize_t n;

	switch (sink->kind) {
	case SINK_OWN:
		n = write(sink->fd, bytes, len);
		break;
	case SINK_SOCKET:
		n = send(sink->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	case SINK_SHARED:
		n = write_shared(sink, bytes, len);
		break;
	default:
		return -EBADF;
	}
	return n < 0 ? -errno : n;
}

int
sink_poll_fd(const struct sink *sink)
{
	return sink->waits ? sink->fd : -1;
}

void
sink_close(struct sink *sink)
{
	if (sink->kind == SINK_OWN)
		fd_close(&sink->fd);
	*sink = (struct sink)SINK_INIT;
}
