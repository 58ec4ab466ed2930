#include <sys/socket.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>

#include "linux/socket/socket_shut.h"

static int
state_of(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? 0 :
	    info.tcpi_state;
}

/* To no address: what shutdown(2) has noted is forgotten (tcp_disconnect() in
   net/ipv4). One that is bound stays so. */
static void
forget(int fd)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	(void)connect(fd, &nobody, sizeof(nobody));
}

/* For writing, of a listener, it does nothing but wake (inet_shutdown() in
   net/ipv4); where it has just ceased to listen, it is a second time. */
void
socket_wake(int fd)
{
	if (state_of(fd) != TCP_LISTEN)
		return;
	(void)shutdown(fd, SHUT_WR);
	if (state_of(fd) == TCP_CLOSE)
		forget(fd);
}

static bool
is_shut(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLRDHUP) != 0;
}

void
socket_unshut(int fd)
{
	if (state_of(fd) == TCP_CLOSE && is_shut(fd))
		forget(fd);
}
