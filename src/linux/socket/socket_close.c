#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "base/fd.h"
#include "linux/process/helper.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static int
option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	if (getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0)
		return -1;
	return value;
}

/* Even where nothing can be read, such as a datagram without a byte: poll(2)
   tells that there is one. */
static bool
may_hold_descriptors(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return option(fd, SO_DOMAIN) == AF_UNIX &&
	    option(fd, SO_PASSRIGHTS) != 0 && poll(&p, 1, 0) > 0 &&
	    (p.revents & POLLIN) != 0;
}

/* One that resets at once, {1, 0}, does not. */
static bool
waits_at_its_end(int fd)
{
	struct linger l = { .l_onoff = 0 };
	socklen_t len = sizeof(l);

	return socket_is_connected(fd) && getsockopt(fd, SOL_SOCKET, SO_LINGER,
	    &l, &len) == 0 && l.l_onoff != 0 && l.l_linger > 0;
}

static void
close_it(int *fd, bool lingers)
{
	const struct linger off = { .l_onoff = 0 };
	int saved = errno;

	if (lingers)
		(void)setsockopt(*fd, SOL_SOCKET, SO_LINGER, &off,
		    sizeof(off));
	if (may_hold_descriptors(*fd))
		helper_close(fd);
	fd_close(fd);
	errno = saved;
}

void
socket_close(int *fd)
{
	if (*fd >= 0)
		close_it(fd, true);
}

void
socket_close_copy(int *fd)
{
	if (*fd >= 0)
		close_it(fd, waits_at_its_end(*fd));
}

int
socket_refuse_descriptors(int fd)
{
	const int off = 0;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off,
	    sizeof(off)) < 0 ? -errno : 0;
}

ssize_t
socket_receive(int fd, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_PEEK);

	if (n < 0)
		return -errno;
	/* No room was given for any (unix(7)). */
	if ((msg.msg_flags & MSG_CTRUNC) != 0)
		return -EBADMSG;
	/* No further than that was seen. */
	n = n == 0 ? 0 : recv(fd, buf, (size_t)n, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}
