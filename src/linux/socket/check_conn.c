#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "core/names/address.h"
#include "linux/socket/check_conn.h"
#include "linux/socket/sockdiag.h"

/* What is read at once, and how much of what is behind the headers, before the
   server is cut off. */
#define READ_MAX	4096
#define REST_MAX	(64 * 1024)

union check_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

/* ---- where ---- */

static socklen_t
ipv4(const struct address *to, union check_address *a)
{
	a->in.sin_family = AF_INET;
	a->in.sin_port = htons(to->port);
	if (to->host == ADDRESS_HOST_IPV4)
		memcpy(&a->in.sin_addr, to->ip, 4);
	if (a->in.sin_addr.s_addr == htonl(INADDR_ANY))
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return sizeof(a->in);
}

static socklen_t
ipv6(const struct address *to, union check_address *a)
{
	a->in6.sin6_family = AF_INET6;
	a->in6.sin6_port = htons(to->port);
	if (to->host == ADDRESS_HOST_IPV6)
		memcpy(&a->in6.sin6_addr, to->ip, 16);
	if (IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
		a->in6.sin6_addr = in6addr_loopback;
	a->in6.sin6_scope_id = to->scope;
	return sizeof(a->in6);
}

static socklen_t
unix_path(const struct address *to, union check_address *a)
{
	a->un.sun_family = AF_UNIX;
	strncpy(a->un.sun_path, to->path, sizeof(a->un.sun_path) - 1);
	return sizeof(a->un);
}

/* A listener for every address takes IPv4 as well, be it for both or for that
   alone. */
static socklen_t
resolve(const struct address *to, union check_address *a)
{
	struct address plain = address_unmapped(to);

	memset(a, 0, sizeof(*a));
	if (to->kind == ADDRESS_UNIX)
		return unix_path(to, a);
	return plain.host == ADDRESS_HOST_IPV6 ? ipv6(&plain, a) :
	    ipv4(&plain, a);
}

static void
note_source(struct check_conn *c, const union check_address *a)
{
	c->source = (struct check_source){
		.ipv6 = a->sa.sa_family == AF_INET6,
	};
	if (c->source.ipv6) {
		memcpy(c->source.ip, &a->in6.sin6_addr, 16);
		c->source.port = ntohs(a->in6.sin6_port);
	} else {
		memcpy(c->source.ip, &a->in.sin_addr, 4);
		c->source.port = ntohs(a->in.sin_port);
	}
}

static int
bind_source(struct check_conn *c, union check_address *a, socklen_t len)
{
	/* sin6_port is in the same place. */
	a->in.sin_port = 0;
	if (bind(c->fd, &a->sa, len) < 0 ||
	    getsockname(c->fd, &a->sa, &len) < 0)
		return -errno;
	note_source(c, a);
	return 0;
}

int
check_conn_bind(struct check_conn *c, const struct address *to,
    struct error *err)
{
	const char *interface = to->options.interface;
	union check_address a;
	socklen_t len = resolve(to, &a);
	int code = 0;

	*c = (struct check_conn)CHECK_CONN_INIT;
	if (to->kind == ADDRESS_UDP)
		return error_set(err, -EPROTOTYPE, "%s is for datagrams, of "
		    "which none is sent", address_text(to).s);
	if (interface[0] != '\0' && strcmp(interface, "lo") != 0)
		return error_set(err, -EHOSTUNREACH, "what listens on "
		    "interface %s alone cannot be reached from this machine",
		    interface);
	c->fd = socket(a.sa.sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		code = -errno;
	else if (to->kind == ADDRESS_TCP)
		code = bind_source(c, &a, len);
	if (code < 0) {
		fd_close(&c->fd);
		return error_set(err, code, "no socket for a check of %s: %s",
		    address_text(to).s, strerror(-code));
	}
	c->stage = CHECK_BOUND;
	return 0;
}

/* ---- to and fro ---- */

static void
fail(struct check_conn *c, int code)
{
	c->code = code;
	c->stage = CHECK_FAILED;
}

static void
ask(struct check_conn *c)
{
	ssize_t n = send(c->fd, c->request + c->sent, c->len - c->sent,
	    MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		fail(c, -errno);
	if (n < 0)
		return;
	c->sent += (size_t)n;
	if (c->sent == c->len)
		c->stage = CHECK_READING;
}

static void
connected(struct check_conn *c)
{
	if (c->request == NULL) {
		c->stage = CHECK_CONNECTED;
		return;
	}
	c->stage = CHECK_ASKING;
	ask(c);
}

/* Where a Unix listener's queue is full, connect(2) has begun nothing. Over the
   loopback the other end has mostly answered before connect(2) returns EINPROGRESS:
   what is sent then goes, or is told to come again (EAGAIN, from tcp_sendmsg() in
   net/ipv4/tcp.c). */
void
check_conn_begin(struct check_conn *c, const struct address *to,
    const char *request)
{
	union check_address a;
	socklen_t len = resolve(to, &a);

	c->request = request;
	c->len = request != NULL ? strlen(request) : 0;
	c->stage = CHECK_CONNECTING;
	if (connect(c->fd, &a.sa, len) == 0)
		connected(c);
	else if (errno != EINPROGRESS)
		fail(c, -errno);
	else if (request != NULL)
		ask(c);
}

static void
see_connected(struct check_conn *c)
{
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		code = errno;
	if (code != 0)
		fail(c, -code);
	else
		connected(c);
}

/* Of one that has nothing to ask: whatever the server says, it has taken it. */
static void
see_taken(struct check_conn *c)
{
	char c1;
	ssize_t n = recv(c->fd, &c1, 1, MSG_PEEK);

	if (n >= 0)
		c->stage = CHECK_ANSWERED;
	else if (errno != EAGAIN && errno != EINTR)
		fail(c, -errno);
}

static void
read_head(struct check_conn *c)
{
	char bytes[READ_MAX];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		fail(c, n < 0 ? -errno : -ENODATA);
		return;
	}
	switch (http_reply_feed(&c->reply, bytes, (size_t)n)) {
	case HTTP_REPLY_MORE:
		break;
	case HTTP_REPLY_DONE:
		c->stage = CHECK_ANSWERED;
		break;
	case HTTP_REPLY_GARBAGE:
	case HTTP_REPLY_TOO_LONG:
		fail(c, -EPROTO);
		break;
	}
}

void
check_conn_step(struct check_conn *c)
{
	switch (c->stage) {
	case CHECK_CONNECTING:
		see_connected(c);
		break;
	case CHECK_CONNECTED:
		see_taken(c);
		break;
	case CHECK_ASKING:
		ask(c);
		break;
	case CHECK_READING:
		read_head(c);
		break;
	case CHECK_UNBOUND:
	case CHECK_BOUND:
	case CHECK_ANSWERED:
	case CHECK_FAILED:
		break;
	}
}

uint32_t
check_conn_events(const struct check_conn *c)
{
	return c->stage == CHECK_CONNECTING || c->stage == CHECK_ASKING ?
	    EPOLLOUT : EPOLLIN;
}

int
check_conn_ends(const struct check_conn *c, struct sockdiag_ends *ret_ends)
{
	union check_address a;
	socklen_t len = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (getpeername(c->fd, &a.sa, &len) < 0)
		return -errno;
	*ret_ends = (struct sockdiag_ends){
		.family = a.sa.sa_family, .local_port = ntohs(a.in.sin_port),
		.peer_port = c->source.port,
	};
	memcpy(ret_ends->peer, c->source.ip, sizeof(ret_ends->peer));
	if (c->source.ipv6)
		memcpy(ret_ends->local, &a.in6.sin6_addr, 16);
	else
		memcpy(ret_ends->local, &a.in.sin_addr, 4);
	return 0;
}

bool
check_conn_finish(struct check_conn *c)
{
	char bytes[READ_MAX];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n > 0)
		c->rest += (size_t)n;
	c->eof = n == 0;
	return c->rest < REST_MAX &&
	    (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
}

/* Whoever ends a connection first remembers it for a minute, and the port with
   it: unless it is reset. */
void
check_conn_close(struct check_conn *c)
{
	const struct linger none = { .l_onoff = 1, .l_linger = 0 };

	if (c->fd >= 0 && !c->eof)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none,
		    sizeof(none));
	fd_close(&c->fd);
	c->stage = CHECK_UNBOUND;
}
