#include <sys/socket.h>

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/alarm.h"
#include "linux/socket/lane_queue.h"

int
lane_queue_tcp(int fd, uint32_t *ret_n, uint32_t *ret_max)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	if (info.tcpi_state != TCP_LISTEN)
		return -EINVAL;
	/* Of a listening socket these two are its queue and its backlog. */
	*ret_n = info.tcpi_unacked;
	*ret_max = info.tcpi_sacked;
	return 0;
}

/* A reset instead of the end of the file: nobody has read what the client may
   have sent. */
static void
reset(int client)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(client, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	close(client);
}

/* Somebody else may be faster, and the queue empty: accept(2) does not wait for
   longer than that. O_NONBLOCK would be for all who have the socket, one of
   whom may be setting it. */
#define WAIT_MS 10

static int
accept_and_reset(int fd, uint32_t n, uint32_t *ret_n)
{
	while (n-- > 0) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (client >= 0) {
			reset(client);
			++*ret_n;
			continue;
		}
		if (errno == EAGAIN || errno == EINTR)
			break;		/* somebody else was faster */
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		    errno == ENOBUFS || errno == EINVAL)
			return -errno;
	}
	return 0;
}

int
lane_queue_reset_tcp(int fd, uint32_t *ret_n)
{
	uint32_t n, max;
	int code = lane_queue_tcp(fd, &n, &max);

	*ret_n = 0;
	if (code < 0)
		return code;
	alarm_set(WAIT_MS);
	code = accept_and_reset(fd, n, ret_n);
	alarm_set(0);
	return code;
}

int
lane_queue_udp(int fd, uint32_t *ret_bytes)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return -errno;
	*ret_bytes = info[SK_MEMINFO_RMEM_ALLOC];
	return 0;
}
