#include <sys/socket.h>

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/mono.h"
#include "linux/socket/sockdiag.h"

/* The kernel makes parts as large as our buffer, and not above this. */
#define PART_MAX	(32 * 1024)
#define REQUEST_MAX	128

int
sockdiag_open(struct sockdiag *d)
{
	struct sockaddr_nl self = { .nl_family = AF_NETLINK };

	if (d->fd >= 0)
		return 0;
	if (d->buf == NULL)
		d->buf = malloc(PART_MAX);
	if (d->buf == NULL)
		return -ENOMEM;
	d->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    NETLINK_SOCK_DIAG);
	if (d->fd < 0)
		return -errno;
	if (bind(d->fd, (struct sockaddr *)&self, sizeof(self)) < 0) {
		int code = -errno;

		fd_close(&d->fd);
		return code;
	}
	d->asked = false;
	return 0;
}

void
sockdiag_close(struct sockdiag *d)
{
	fd_close(&d->fd);
	free(d->buf);
	*d = (struct sockdiag)SOCKDIAG_INIT;
}

int
sockdiag_ask(struct sockdiag *d, const void *request, size_t len, bool dump)
{
	struct {
		struct nlmsghdr header;
		char body[REQUEST_MAX];
	} message = { .header = {
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
		.nlmsg_type = SOCK_DIAG_BY_FAMILY,
		.nlmsg_flags = NLM_F_REQUEST | (dump ? NLM_F_DUMP : 0),
	} };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int code;

	/* A socket whose answer was not read to the end takes no question:
	   EBUSY. A new one costs less than the rest of the answer. */
	if (d->asked)
		fd_close(&d->fd);
	code = sockdiag_open(d);
	if (code < 0)
		return code;
	memcpy(message.body, request, len);
	message.header.nlmsg_seq = ++d->seq;
	if (sendto(d->fd, &message, message.header.nlmsg_len, 0,
	    (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	d->asked = true;
	return 0;
}

/* One part of the answer. Returns as sockdiag_read(). */
static int
read_part(struct sockdiag *d, void (*fn)(void *, const struct nlmsghdr *),
    void *ctx)
{
	struct sockaddr_nl from;
	struct iovec iov = { .iov_base = d->buf, .iov_len = PART_MAX };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from),
		.msg_iov = &iov, .msg_iovlen = 1,
	};
	ssize_t n = recvmsg(d->fd, &msg, 0);
	int code = 1;

	/* EAGAIN is none of its ways: the next part is made when one is read,
	   unless memory is short. */
	if (n < 0)
		return -errno;
	if (n == 0 || (msg.msg_flags & MSG_TRUNC) != 0)
		return -EMSGSIZE;
	if (from.nl_pid != 0)
		return 1;
	for (const struct nlmsghdr *m = (const struct nlmsghdr *)d->buf;
	    NLMSG_OK(m, (size_t)n); m = NLMSG_NEXT(m, n)) {
		int32_t error = 0;

		if (m->nlmsg_seq != d->seq)
			continue;
		if ((m->nlmsg_flags & NLM_F_DUMP_INTR) != 0)
			return -EAGAIN;
		/* Both begin with an error, of a dump 0 for none. */
		if (m->nlmsg_type == NLMSG_DONE ||
		    m->nlmsg_type == NLMSG_ERROR) {
			if (m->nlmsg_len >= NLMSG_LENGTH(sizeof(error)))
				memcpy(&error, NLMSG_DATA(m), sizeof(error));
			d->asked = false;
			return error < 0 ? error : 0;
		}
		if (m->nlmsg_type != SOCK_DIAG_BY_FAMILY)
			continue;
		fn(ctx, m);
		if ((m->nlmsg_flags & NLM_F_MULTI) == 0) {
			d->asked = false;
			code = 0;
		}
	}
	return code;
}

int
sockdiag_read(struct sockdiag *d, int64_t budget_ms,
    void (*fn)(void *ctx, const struct nlmsghdr *message), void *ctx)
{
	struct mono end = mono_add_ms(mono_now(), budget_ms);
	int code;

	if (!d->asked)
		return -EINVAL;
	do
		code = read_part(d, fn, ctx);
	while (code > 0 && mono_before(mono_now(), end));
	return code;
}
