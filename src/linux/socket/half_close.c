#include <sys/socket.h>

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>

#include "linux/process/inspect.h"
#include "linux/socket/half_close.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_close.h"

/* As in <netinet/tcp.h>, which has an older struct. */
#define TCP_ESTABLISHED	1

/* Its tail, which older headers lack, is not asked for. */
static int
check_unmoved(int fd, const struct drain_conn *conn)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	if (len < offsetof(struct tcp_info, tcpi_data_segs_out) +
	    sizeof(info.tcpi_data_segs_out))
		return -EOPNOTSUPP;
	return info.tcpi_state == TCP_ESTABLISHED &&
	    info.tcpi_data_segs_in == conn->n_received &&
	    info.tcpi_data_segs_out == conn->n_sent ? 0 : -EAGAIN;
}

int
half_close(pid_t pid, int fd, uint64_t ino, const struct drain_conn *conn)
{
	int copy = inspect_take_fd(pid, fd);
	int code;

	if (copy < 0)
		return copy;
	code = socket_inode(copy) == ino ? check_unmoved(copy, conn) : -EAGAIN;
	if (code == 0 && shutdown(copy, SHUT_RD) < 0)
		code = -errno;
	/* As long as we have it, the server's close(2) would end nothing. */
	socket_close(&copy);
	return code;
}
