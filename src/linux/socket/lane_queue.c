#include <sys/socket.h>

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

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
