#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

#include "linux/socket/sockdiag.h"

/* As <netinet/tcp.h> has them, which does not go with <linux/tcp.h>. */
enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_CLOSING = 11,
};

#define STATES	(1u << TCP_ESTABLISHED | 1u << TCP_SYN_RECV | \
		 1u << TCP_FIN_WAIT1 | 1u << TCP_FIN_WAIT2 | \
		 1u << TCP_CLOSE_WAIT | 1u << TCP_LAST_ACK | 1u << TCP_CLOSING)

/* The kernel's first wait for the end of a handshake; it doubles. */
#define HANDSHAKE_MS	1000u

int
sockdiag_tcp_ask(struct sockdiag *d, int family, uint16_t port)
{
	/* A dump compares this port by itself, without INET_DIAG_REQ_BYTECODE,
	   before it locks or copies anything. */
	const struct inet_diag_req_v2 request = {
		.sdiag_family = (uint8_t)family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = STATES,
		.id = {
			.idiag_sport = htons(port),
			.idiag_cookie = { INET_DIAG_NOCOOKIE,
			    INET_DIAG_NOCOOKIE },
		},
	};

	/* Port 0 would be every port. */
	if (port == 0)
		return -EINVAL;
	return sockdiag_ask(d, &request, sizeof(request), true);
}

_Static_assert(sizeof(struct inet_diag_sockid) ==
    sizeof(((struct sockdiag_id *)0)->bytes), "");

/*
 * How long ago a handshake began, at least: the timer that runs is the n-th,
 * and was set to 2^n seconds. Attempts are not counted where a client is let
 * wait on purpose (TCP_DEFER_ACCEPT), so that n follows from the time too.
 */
static uint32_t
handshake_age(unsigned attempts, uint32_t expires_ms)
{
	unsigned n = attempts < 16 ? attempts : 16;

	while (n < 16 && HANDSHAKE_MS << n < expires_ms)
		n++;
	if (HANDSHAKE_MS << n < expires_ms)
		return 0;
	return (HANDSHAKE_MS << (n + 1)) - HANDSHAKE_MS - expires_ms;
}

/* A FIN that was not read, or not acknowledged, counts as a byte. */
static void
leave_out_fin(struct sockdiag_tcp *conn)
{
	switch (conn->state) {
	case TCP_CLOSE_WAIT:
		conn->unread -= conn->unread > 0;
		break;
	case TCP_FIN_WAIT1:
		conn->unacked -= conn->unacked > 0;
		break;
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		conn->unread -= conn->unread > 0;
		conn->unacked -= conn->unacked > 0;
		break;
	default:
		break;
	}
}

static void
take_info(struct sockdiag_tcp *conn, const void *data, size_t len)
{
	struct tcp_info info;

	/* Kernels before 4.19 do not tell bytes_sent. */
	if (len < offsetof(struct tcp_info, tcpi_bytes_sent) +
	    sizeof(info.tcpi_bytes_sent))
		return;
	memset(&info, 0, sizeof(info));
	memcpy(&info, data, len < sizeof(info) ? len : sizeof(info));
	conn->info = true;
	conn->sent_ms = info.tcpi_last_data_sent;
	conn->received_ms = info.tcpi_last_data_recv;
	conn->acked_ms = info.tcpi_last_ack_recv;
	conn->rtt_us = info.tcpi_rtt;
	conn->segs_sent = info.tcpi_data_segs_out;
	conn->segs_received = info.tcpi_data_segs_in;
	conn->bytes_sent = info.tcpi_bytes_sent;
	conn->bytes_received = info.tcpi_bytes_received;
}

struct reading {
	void (*fn)(void *ctx, const struct sockdiag_tcp *conn);
	void *ctx;
};

static void
take_message(void *ctx, const struct nlmsghdr *m)
{
	const struct reading *r = ctx;
	const struct inet_diag_msg *diag = NLMSG_DATA(m);
	struct sockdiag_tcp conn = { .family = AF_UNSPEC };
	const struct rtattr *attr;
	size_t len;

	if (m->nlmsg_len < NLMSG_LENGTH(sizeof(*diag)))
		return;
	conn.family = conn.id.family = diag->idiag_family;
	memcpy(conn.id.bytes, &diag->id, sizeof(conn.id.bytes));
	conn.state = diag->idiag_state;
	memcpy(conn.local, diag->id.idiag_src, sizeof(conn.local));
	memcpy(conn.peer, diag->id.idiag_dst, sizeof(conn.peer));
	conn.local_port = ntohs(diag->id.idiag_sport);
	conn.peer_port = ntohs(diag->id.idiag_dport);
	if (conn.state == TCP_SYN_RECV) {
		conn.age_ms = handshake_age(diag->idiag_retrans,
		    diag->idiag_expires);
		r->fn(r->ctx, &conn);
		return;
	}
	conn.ino = diag->idiag_inode;
	conn.unread = diag->idiag_rqueue;
	conn.unacked = diag->idiag_wqueue;
	leave_out_fin(&conn);
	attr = (const struct rtattr *)(diag + 1);
	len = m->nlmsg_len - NLMSG_LENGTH(sizeof(*diag));
	for (; RTA_OK(attr, len); attr = RTA_NEXT(attr, len))
		if (attr->rta_type == INET_DIAG_INFO)
			take_info(&conn, RTA_DATA(attr), RTA_PAYLOAD(attr));
	r->fn(r->ctx, &conn);
}

int
sockdiag_tcp_read(struct sockdiag *d, int64_t budget_ms,
    void (*fn)(void *ctx, const struct sockdiag_tcp *conn), void *ctx)
{
	struct reading r = { .fn = fn, .ctx = ctx };

	return sockdiag_read(d, budget_ms, take_message, &r);
}

static void
take_one(void *ctx, const struct sockdiag_tcp *conn)
{
	struct sockdiag_tcp *ret = ctx;

	*ret = *conn;
}

static int
ask_for_one(struct sockdiag *d, const struct inet_diag_req_v2 *request,
    struct sockdiag_tcp *ret_conn)
{
	struct sockdiag_tcp conn = { .family = AF_UNSPEC };
	int code = sockdiag_ask(d, request, sizeof(*request), false);

	/* The answer is there when the question was sent. */
	if (code == 0)
		code = sockdiag_tcp_read(d, 0, take_one, &conn);
	if (code < 0)
		return code;
	if (conn.family == AF_UNSPEC)
		return -ENODATA;
	*ret_conn = conn;
	return 0;
}

int
sockdiag_tcp_one(struct sockdiag *d, const struct sockdiag_ends *ends,
    struct sockdiag_tcp *ret_conn)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = (uint8_t)ends->family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = STATES,
		.id = {
			.idiag_sport = htons(ends->local_port),
			.idiag_dport = htons(ends->peer_port),
			.idiag_cookie = { INET_DIAG_NOCOOKIE,
			    INET_DIAG_NOCOOKIE },
		},
	};

	memcpy(request.id.idiag_src, ends->local, sizeof(ends->local));
	memcpy(request.id.idiag_dst, ends->peer, sizeof(ends->peer));
	return ask_for_one(d, &request, ret_conn);
}

int
sockdiag_tcp_info(struct sockdiag *d, const struct sockdiag_id *id,
    struct sockdiag_tcp *ret_conn)
{
	struct inet_diag_req_v2 request = {
		.sdiag_family = (uint8_t)id->family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_ext = 1 << (INET_DIAG_INFO - 1),
		.idiag_states = STATES,
	};

	memcpy(&request.id, id->bytes, sizeof(request.id));
	return ask_for_one(d, &request, ret_conn);
}
