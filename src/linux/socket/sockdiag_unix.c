#include <sys/socket.h>

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/unix_diag.h>
#include <string.h>

#include "linux/socket/sockdiag.h"

#define SHOW	(UDIAG_SHOW_VFS | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN)
#define NO_COOKIE	UINT32_MAX

struct reading {
	void (*fn)(void *ctx, const struct sockdiag_unix *socket);
	void *ctx;
};

static void
take_attribute(struct sockdiag_unix *s, const struct rtattr *attr)
{
	struct unix_diag_vfs vfs;
	struct unix_diag_rqlen rqlen;
	uint32_t peer;

	switch (attr->rta_type) {
	case UNIX_DIAG_VFS:
		if (RTA_PAYLOAD(attr) < sizeof(vfs))
			return;
		memcpy(&vfs, RTA_DATA(attr), sizeof(vfs));
		s->bound = true;
		s->file_dev = vfs.udiag_vfs_dev;
		s->file_ino = vfs.udiag_vfs_ino;
		break;
	case UNIX_DIAG_RQLEN:
		if (RTA_PAYLOAD(attr) < sizeof(rqlen))
			return;
		memcpy(&rqlen, RTA_DATA(attr), sizeof(rqlen));
		s->queue = rqlen.udiag_rqueue;
		s->queue_max = rqlen.udiag_wqueue;
		break;
	case UNIX_DIAG_PEER:
		if (RTA_PAYLOAD(attr) < sizeof(peer))
			return;
		memcpy(&peer, RTA_DATA(attr), sizeof(peer));
		s->peer = peer;
		break;
	default:
		break;
	}
}

static void
take_message(void *ctx, const struct nlmsghdr *m)
{
	const struct reading *r = ctx;
	const struct unix_diag_msg *diag = NLMSG_DATA(m);
	struct sockdiag_unix s = { .state = 0 };
	const struct rtattr *attr;
	size_t len;

	if (m->nlmsg_len < NLMSG_LENGTH(sizeof(*diag)) ||
	    (diag->udiag_type != SOCK_STREAM &&
	    diag->udiag_type != SOCK_SEQPACKET))
		return;
	s.state = diag->udiag_state;
	s.ino = diag->udiag_ino;
	attr = (const struct rtattr *)(diag + 1);
	len = m->nlmsg_len - NLMSG_LENGTH(sizeof(*diag));
	for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
		take_attribute(&s, attr);
	r->fn(r->ctx, &s);
}

static struct unix_diag_req
request_for(uint64_t ino)
{
	return (struct unix_diag_req){
		.sdiag_family = AF_UNIX,
		.udiag_states = UINT32_MAX,
		.udiag_ino = (uint32_t)ino,
		.udiag_show = SHOW,
		.udiag_cookie = { NO_COOKIE, NO_COOKIE },
	};
}

static void
take_one(void *ctx, const struct sockdiag_unix *socket)
{
	struct sockdiag_unix *s = ctx;

	*s = *socket;
}

int
sockdiag_unix_one(struct sockdiag *d, uint64_t ino,
    struct sockdiag_unix *ret_socket)
{
	struct unix_diag_req request = request_for(ino);
	struct sockdiag_unix s = { .ino = 0 };
	int code;

	if (ino == 0 || ino > UINT32_MAX)
		return -EINVAL;
	code = sockdiag_ask(d, &request, sizeof(request), false);
	if (code < 0)
		return code;
	/* The answer is there when the question was sent. */
	code = sockdiag_unix_read(d, 0, take_one, &s);
	if (code < 0)
		return code;
	if (s.ino != ino)
		return -ENODATA;
	*ret_socket = s;
	return 0;
}

int
sockdiag_unix_ask(struct sockdiag *d)
{
	struct unix_diag_req request = request_for(0);

	return sockdiag_ask(d, &request, sizeof(request), true);
}

int
sockdiag_unix_read(struct sockdiag *d, int64_t budget_ms,
    void (*fn)(void *ctx, const struct sockdiag_unix *socket), void *ctx)
{
	struct reading r = { .fn = fn, .ctx = ctx };

	return sockdiag_read(d, budget_ms, take_message, &r);
}
