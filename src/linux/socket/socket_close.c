#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "base/fd.h"
#include "linux/process/helper.h"
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

/* What resets at once, {1, 0}, does not; nor what was never connected, which alone
   has hung up without a shutdown (tcp_poll()). None of that waits for the socket's
   lock. */
static bool
waits_at_its_end(int fd)
{
	struct linger l = { .l_onoff = 0 };
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };
	socklen_t len = sizeof(l);

	return getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &len) == 0 &&
	    l.l_onoff != 0 && l.l_linger > 0 &&
	    option(fd, SO_TYPE) == SOCK_STREAM &&
	    option(fd, SO_ACCEPTCONN) == 0 && poll(&p, 1, 0) >= 0 &&
	    (p.revents & (POLLHUP | POLLRDHUP)) != POLLHUP;
}

void
socket_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0 && (waits_at_its_end(*fd) || may_hold_descriptors(*fd)))
		helper_close(fd);
	fd_close(fd);
	errno = saved;
}

int
socket_refuse_descriptors(int fd)
{
	const int off = 0;

	return setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off,
	    sizeof(off)) < 0 ? -errno : 0;
}

/* Linux 5.17. A peek passes such a byte over, though descriptors may come with
   it, and poll(2) goes on telling that it is there. */
static bool
holds_urgent_byte(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	return poll(&p, 1, 0) > 0 && (p.revents & POLLPRI) != 0;
}

/* How much can be read without dropping a descriptor. */
static ssize_t
look_first(int fd, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_PEEK);

	n = n < 0 ? -errno : n;
	/* No room was given for any (unix(7)). */
	if ((n >= 0 && (msg.msg_flags & MSG_CTRUNC) != 0) ||
	    holds_urgent_byte(fd))
		return -EBADMSG;
	return n;
}

ssize_t
socket_receive(int fd, void *buf, size_t len)
{
	ssize_t n = option(fd, SO_PASSRIGHTS) == 0 ? (ssize_t)len :
	    look_first(fd, buf, len);

	/* No further than was seen. */
	if (n > 0) {
		n = recv(fd, buf, (size_t)n, MSG_DONTWAIT);
		n = n < 0 ? -errno : n;
	}
	return n;
}
