#include <sys/socket.h>
#include <sys/time.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/fd.h"
#include "linux/socket/socket_inherit.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72	/* Linux 5.17 */
#endif
#define LOCKED_SNDBUF 1
#define LOCKED_RCVBUF 2

/* Plain int options; one that a socket does not have is passed over. */
static const struct {
	int level;
	int option;
} copied[] = {
	{ SOL_SOCKET, SO_KEEPALIVE },
	{ SOL_SOCKET, SO_PRIORITY },
	{ SOL_SOCKET, SO_OOBINLINE },
	{ SOL_SOCKET, SO_RCVLOWAT },
	{ IPPROTO_IP, IP_TOS },
	{ IPPROTO_IP, IP_TTL },
	{ IPPROTO_IPV6, IPV6_TCLASS },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	{ IPPROTO_TCP, TCP_NODELAY },
	{ IPPROTO_TCP, TCP_CORK },
	{ IPPROTO_TCP, TCP_KEEPIDLE },
	{ IPPROTO_TCP, TCP_KEEPINTVL },
	{ IPPROTO_TCP, TCP_KEEPCNT },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT },
	{ IPPROTO_TCP, TCP_FASTOPEN },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	{ IPPROTO_TCP, TCP_SYNCNT },
	/* Of datagrams: what a server asks to be told with each. */
	{ SOL_SOCKET, SO_BROADCAST },
	{ SOL_SOCKET, SO_TIMESTAMP },
	{ SOL_SOCKET, SO_TIMESTAMPNS },
	{ IPPROTO_IP, IP_PKTINFO },
	{ IPPROTO_IP, IP_RECVTOS },
	{ IPPROTO_IP, IP_RECVTTL },
	{ IPPROTO_IP, IP_RECVERR },
	{ IPPROTO_IP, IP_MTU_DISCOVER },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT },
	{ IPPROTO_IPV6, IPV6_RECVERR },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER },
	/* Of Unix sockets. */
	{ SOL_SOCKET, SO_PASSCRED },
};

static bool
get(int fd, int level, int option, int *ret_value)
{
	socklen_t len = sizeof(*ret_value);

	*ret_value = 0;
	return getsockopt(fd, level, option, ret_value, &len) == 0;
}

static void
copy_int(int from, int to, int level, int option)
{
	int wanted, present;

	if (get(from, level, option, &wanted) &&
	    get(to, level, option, &present) && wanted != present)
		(void)setsockopt(to, level, option, &wanted, sizeof(wanted));
}

/* Setting a size ends the kernel's own tuning of it, so only what the server
   has set itself, which a kernel before 5.17 does not tell from a default. */
static void
copy_buffer(int from, int to, int option, int force, int lock_bit)
{
	int wanted, present, locks;

	if ((get(from, SOL_SOCKET, SO_BUF_LOCK, &locks) &&
	    (locks & lock_bit) == 0) ||
	    !get(from, SOL_SOCKET, option, &wanted) ||
	    !get(to, SOL_SOCKET, option, &present) || wanted == present)
		return;
	/* The kernel doubles what it is given (socket(7)). */
	wanted /= 2;
	if (setsockopt(to, SOL_SOCKET, force, &wanted, sizeof(wanted)) < 0)
		(void)setsockopt(to, SOL_SOCKET, option, &wanted,
		    sizeof(wanted));
}

static void
copy_linger(int from, int to)
{
	struct linger wanted, present;
	socklen_t len = sizeof(wanted);

	memset(&wanted, 0, sizeof(wanted));
	memset(&present, 0, sizeof(present));
	if (getsockopt(from, SOL_SOCKET, SO_LINGER, &wanted, &len) == 0 &&
	    getsockopt(to, SOL_SOCKET, SO_LINGER, &present, &len) == 0 &&
	    memcmp(&wanted, &present, sizeof(wanted)) != 0)
		(void)setsockopt(to, SOL_SOCKET, SO_LINGER, &wanted,
		    sizeof(wanted));
}

void
socket_inherit_options(int from, int to)
{
	for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
		copy_int(from, to, copied[i].level, copied[i].option);
	copy_linger(from, to);
	copy_buffer(from, to, SO_RCVBUF, SO_RCVBUFFORCE, LOCKED_RCVBUF);
	copy_buffer(from, to, SO_SNDBUF, SO_SNDBUFFORCE, LOCKED_SNDBUF);
}

static void
forget_options(int fd)
{
	int domain, type, fresh;

	if (!get(fd, SOL_SOCKET, SO_DOMAIN, &domain) ||
	    !get(fd, SOL_SOCKET, SO_TYPE, &type))
		return;
	fresh = socket(domain, type | SOCK_CLOEXEC, 0);
	if (fresh < 0)
		return;
	socket_inherit_options(fresh, fd);
	fd_close(&fresh);
}

static void
forget_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int wanted = flags & ~(O_NONBLOCK | O_ASYNC);

	if (flags >= 0 && wanted != flags)
		(void)fcntl(fd, F_SETFL, wanted);
}

void
socket_forget_holder(int fd)
{
	const struct timeval none = { .tv_sec = 0 };

	forget_flags(fd);
	(void)fcntl(fd, F_SETOWN, 0);
	(void)fcntl(fd, F_SETSIG, 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	forget_options(fd);
}

bool
socket_is_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (flags & O_NONBLOCK) != 0;
}

void
socket_set_nonblocking(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;

	if (flags >= 0 && wanted != flags)
		(void)fcntl(fd, F_SETFL, wanted);
}
