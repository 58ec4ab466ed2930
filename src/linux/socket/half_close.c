#include <sys/socket.h>

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>

#include "base/fd.h"
#include "linux/process/helper.h"
#include "linux/process/inspect.h"
#include "linux/process/yama.h"
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

static int
close_one(const struct half_close_of *of)
{
	int copy = inspect_take_fd(of->pid, of->fd);
	int code;

	if (copy < 0)
		return copy;
	code = socket_inode(copy) == of->ino ?
	    check_unmoved(copy, &of->conn) : -EAGAIN;
	if (code == 0 && shutdown(copy, SHUT_RD) < 0)
		code = -errno;
	/* As long as we have it, the server's close(2) would end nothing. */
	socket_close(&copy);
	return code;
}

struct all {
	const struct half_close_of *of;
	size_t n;
	int code;
};

static void
close_all(void *ctx)
{
	struct all *all = ctx;

	for (size_t i = 0; i < all->n && all->code != -EPERM; i++)
		all->code = close_one(&all->of[i]);
	if (all->code != -EPERM)
		all->code = 0;
}

int
half_close(const struct half_close_of *of, size_t n, pid_t *child)
{
	struct all all = { .of = of, .n = n };
	int pidfd;

	if (*child != 0 && !helper_has_ended(*child))
		return -EBUSY;
	*child = 0;
	if (!yama_keeps_children_out(YAMA_SCOPE)) {
		pidfd = helper_start(close_all, &all, NULL, 0, child);
		fd_close(&pidfd);
	}
	if (*child == 0)
		close_all(&all);
	return all.code;
}
