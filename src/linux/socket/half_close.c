#include <sys/socket.h>

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

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

static int
close_half(const struct half_close_of *of)
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

struct question {
	size_t n;
	struct half_close_of of[HALF_CLOSE_MAX];
};
_Static_assert(sizeof(struct question) <= LOOKER_BYTES_MAX, "");

static int
close_all(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct question *q = arg;
	int *codes = ret;

	(void)fds;
	for (size_t i = 0; i < q->n; i++)
		codes[i] = close_half(&q->of[i]);
	return 0;
}

int
half_close(const struct looker_whom *whom, const struct half_close_of *of,
    size_t n, int *ret_codes)
{
	struct question q = { .n = n };

	memcpy(q.of, of, n * sizeof(of[0]));
	return looker_ask(whom, &(struct looker_question){
	    .fn = close_all, .arg = &q, .arg_len = sizeof(q),
	    .ret = ret_codes, .ret_len = n * sizeof(ret_codes[0]),
	    .attaches = true,
	});
}
