#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "linux/socket/lane_queue.h"
#include "linux/socket/sockdiag.h"
#include "lib/alloc_fail.h"

/* A condition that the kernel brings about by itself holds within this. */
#define LIMIT_MS	10000

/* ---- the kernel's part, where it has to misbehave ---- */

ssize_t __real_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *msg, int flags);
ssize_t __real_sendto(int fd, const void *buf, size_t len, int flags,
    const struct sockaddr *to, socklen_t to_len);
ssize_t __wrap_sendto(int fd, const void *buf, size_t len, int flags,
    const struct sockaddr *to, socklen_t to_len);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol);

static int socket_error, send_error, receive_error;

/* What is received instead of the kernel's words, once each. */
static struct forged {
	char bytes[256];
	size_t len;
	uint32_t from;
	int flags;
} forged[4];
static unsigned n_forged, next_forged;
static uint32_t last_seq;

ssize_t
__wrap_recvmsg(int fd, struct msghdr *msg, int flags)
{
	if (receive_error != 0) {
		errno = receive_error;
		return -1;
	}
	if (next_forged < n_forged) {
		const struct forged *f = &forged[next_forged++];
		struct sockaddr_nl *from = msg->msg_name;

		*from = (struct sockaddr_nl){
			.nl_family = AF_NETLINK, .nl_pid = f->from,
		};
		memcpy(msg->msg_iov->iov_base, f->bytes, f->len);
		msg->msg_flags = f->flags;
		return (ssize_t)f->len;
	}
	return __real_recvmsg(fd, msg, flags);
}

ssize_t
__wrap_sendto(int fd, const void *buf, size_t len, int flags,
    const struct sockaddr *to, socklen_t to_len)
{
	const struct nlmsghdr *header = buf;

	if (send_error != 0) {
		errno = send_error;
		return -1;
	}
	last_seq = header->nlmsg_seq;
	return __real_sendto(fd, buf, len, flags, to, to_len);
}

int
__wrap_socket(int domain, int type, int protocol)
{
	if (socket_error != 0 && domain == AF_NETLINK) {
		errno = socket_error;
		return -1;
	}
	return __real_socket(domain, type, protocol);
}

/* ---- sockets ---- */

static uint64_t
ino_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static int
tcp_listen(int family, uint16_t *ret_port)
{
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6, .sin6_addr = in6addr_any,
	};
	struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = family == AF_INET ? sizeof(four) : sizeof(six);
	struct sockaddr *sa = family == AF_INET ? (struct sockaddr *)&four :
	    (struct sockaddr *)&six;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int off = 0;

	if (fd < 0 && family == AF_INET6)
		skip();
	assert_true(fd >= 0);
	if (family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		    &off, sizeof(off)), 0);
	if (bind(fd, sa, len) < 0 && family == AF_INET6) {
		close(fd);
		skip();
	}
	assert_int_equal(listen(fd, 512), 0);
	assert_int_equal(getsockname(fd, sa, &len), 0);
	*ret_port = ntohs(family == AF_INET ? four.sin_port : six.sin6_port);
	return fd;
}

static int
tcp_connect(uint16_t port, int receive_buffer)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (receive_buffer > 0)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF,
		    &receive_buffer, sizeof(receive_buffer)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int
accept_one(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
receive(int fd, ssize_t expected)
{
	char buf[256];

	assert_int_equal(recv(fd, buf, sizeof(buf), 0), expected);
}

/* ---- answers ---- */

enum { FOUND_MAX = 512 };

struct found {
	struct sockdiag_tcp v[FOUND_MAX];
	size_t n;
};

static void
find(void *ctx, const struct sockdiag_tcp *conn)
{
	struct found *f = ctx;

	assert_true(f->n < FOUND_MAX);
	f->v[f->n++] = *conn;
}

static void
ask_all(struct sockdiag *d, int family, uint16_t port, struct found *f)
{
	f->n = 0;
	assert_int_equal(sockdiag_tcp_ask(d, family, port), 0);
	assert_int_equal(sockdiag_tcp_read(d, LIMIT_MS, find, f), 0);
	/* What has been closed meanwhile stays as it was. */
	for (size_t i = 0; i < f->n; i++) {
		const struct sockdiag_id id = f->v[i].id;

		assert_false(f->v[i].info);
		if (f->v[i].state != TCP_SYN_RECV)
			(void)sockdiag_tcp_info(d, &id, &f->v[i]);
	}
}

static const struct sockdiag_tcp *
find_ino(const struct found *f, uint64_t ino)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].ino == ino)
			return &f->v[i];
	return NULL;
}

/* Ask until what comes of a socket is as wanted. */
static struct sockdiag_tcp
await(uint16_t port, uint64_t ino, bool (*wanted)(const struct sockdiag_tcp *))
{
	static struct found f;
	struct sockdiag d = SOCKDIAG_INIT;
	struct mono end = mono_add_ms(mono_now(), LIMIT_MS);

	for (;;) {
		const struct sockdiag_tcp *conn;

		ask_all(&d, AF_INET, port, &f);
		conn = find_ino(&f, ino);
		if (conn != NULL && wanted(conn)) {
			sockdiag_close(&d);
			return *conn;
		}
		assert_true(mono_before(mono_now(), end));
		poll(NULL, 0, 1);
	}
}

static bool has_diag;

static int
look_for_diag(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct found *f = calloc(1, sizeof(*f));
	int code = sockdiag_tcp_ask(&d, AF_INET, 1);

	(void)state;
	if (code == 0)
		code = sockdiag_tcp_read(&d, LIMIT_MS, find, f);
	has_diag = code == 0;
	if (!has_diag)
		print_message("sock_diag does not work here: %s\n",
		    strerror(-code));
	free(f);
	sockdiag_close(&d);
	return 0;
}

#define NEEDS_DIAG()	do { if (!has_diag) skip(); } while (0)

static struct found found;

static void
connections_of_a_port(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	uint16_t port, other_port;
	int listener = tcp_listen(AF_INET, &port);
	int other = tcp_listen(AF_INET, &other_port);
	int clients[3], other_client = tcp_connect(other_port, 0), accepted;
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	const struct sockdiag_tcp *conn;
	unsigned queued = 0;

	(void)state;
	NEEDS_DIAG();
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, 0);
	for (int i = 0; i < 3; i++)
		clients[i] = tcp_connect(port, 0);
	accepted = accept_one(listener);
	assert_int_equal(getpeername(accepted, (struct sockaddr *)&peer, &len),
	    0);
	/* Neither the listener nor the clients' ends. */
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(found.v[i].family, AF_INET);
		assert_int_equal(found.v[i].state, TCP_ESTABLISHED);
		assert_int_equal(found.v[i].local_port, port);
		assert_true(found.v[i].info);
		queued += found.v[i].ino == 0;
	}
	assert_int_equal(queued, 2);
	conn = find_ino(&found, ino_of(accepted));
	assert_non_null(conn);
	assert_int_equal(conn->peer_port, ntohs(peer.sin_port));
	assert_memory_equal(conn->peer, "\x7f\0\0\1", 4);
	assert_memory_equal(conn->local, "\x7f\0\0\1", 4);
	/* None of the other family. */
	ask_all(&d, AF_INET6, port, &found);
	assert_int_equal(found.n, 0);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
	close(accepted);
	close(other_client);
	close(other);
	close(listener);
	sockdiag_close(&d);
}

static void
ipv4_on_a_dual_stack_listener(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	uint16_t port;
	int listener, client, accepted;

	(void)state;
	NEEDS_DIAG();
	listener = tcp_listen(AF_INET6, &port);
	client = tcp_connect(port, 0);
	accepted = accept_one(listener);
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, 0);
	ask_all(&d, AF_INET6, port, &found);
	assert_int_equal(found.n, 1);
	assert_int_equal(found.v[0].family, AF_INET6);
	assert_int_equal(found.v[0].ino, ino_of(accepted));
	assert_memory_equal(found.v[0].peer,
	    "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	close(client);
	close(accepted);
	close(listener);
	sockdiag_close(&d);
}

static bool
is_silent(const struct sockdiag_tcp *conn)
{
	return conn->bytes_received == 0 && conn->bytes_sent == 0 &&
	    conn->sent_ms == conn->received_ms;
}

static bool
has_unread(const struct sockdiag_tcp *conn)
{
	return conn->unread == 3;
}

/* Time passes from one look to the next, and is counted. */
static bool
client_spoke(const struct sockdiag_tcp *conn)
{
	return conn->unread == 0 && conn->bytes_received == 3 &&
	    conn->received_ms < conn->sent_ms && conn->received_ms >= 20;
}

static bool
server_spoke(const struct sockdiag_tcp *conn)
{
	return conn->unacked == 0 && conn->bytes_sent == 2 &&
	    conn->sent_ms < conn->received_ms && conn->sent_ms >= 20;
}

static void
who_spoke_last(void **state)
{
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port);
	int client = tcp_connect(port, 0), server = accept_one(listener);
	uint64_t ino = ino_of(server);
	struct sockdiag_tcp conn;

	(void)state;
	NEEDS_DIAG();
	conn = await(port, ino, is_silent);
	/* Not in the tick of the handshake, which these count from. */
	while (conn.sent_ms < 20)
		conn = await(port, ino, is_silent);
	assert_int_equal(send(client, "GET", 3, 0), 3);
	(void)await(port, ino, has_unread);
	receive(server, 3);
	(void)await(port, ino, client_spoke);
	assert_int_equal(send(server, "ok", 2, 0), 2);
	(void)await(port, ino, server_spoke);
	receive(client, 2);
	close(client);
	close(server);
	close(listener);
}

static bool
has_unacked(const struct sockdiag_tcp *conn)
{
	return conn->unacked > 100000;
}

static void
a_client_that_does_not_read(void **state)
{
	static char much[256 * 1024];
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port);
	int client = tcp_connect(port, 4096), server = accept_one(listener);

	(void)state;
	NEEDS_DIAG();
	while (send(server, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	(void)await(port, ino_of(server), has_unacked);
	close(client);
	close(server);
	close(listener);
}

static bool
client_has_closed(const struct sockdiag_tcp *conn)
{
	return conn->state == TCP_CLOSE_WAIT;
}

static bool
server_has_closed(const struct sockdiag_tcp *conn)
{
	return conn->state == TCP_FIN_WAIT2 || conn->state == TCP_FIN_WAIT1;
}

/* For the kernel a FIN is a byte that is unread, or unacknowledged. */
static void
fin_is_no_byte(void **state)
{
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port);
	int client[3], server[3];
	struct sockdiag_tcp conn;

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < 3; i++) {
		client[i] = tcp_connect(port, 0);
		server[i] = accept_one(listener);
	}
	close(client[0]);
	conn = await(port, ino_of(server[0]), client_has_closed);
	assert_int_equal(conn.unread, 0);
	receive(server[0], 0);
	conn = await(port, ino_of(server[0]), client_has_closed);
	assert_int_equal(conn.unread, 0);

	assert_int_equal(send(client[1], "abc", 3, 0), 3);
	assert_int_equal(shutdown(client[1], SHUT_WR), 0);
	conn = await(port, ino_of(server[1]), client_has_closed);
	assert_int_equal(conn.unread, 3);

	assert_int_equal(shutdown(server[2], SHUT_WR), 0);
	conn = await(port, ino_of(server[2]), server_has_closed);
	assert_int_equal(conn.unacked, 0);
	for (int i = 0; i < 3; i++) {
		close(server[i]);
		if (i > 0)
			close(client[i]);
	}
	close(listener);
}

/* A handshake that TCP_DEFER_ACCEPT does not let end. */
static void
half_open(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	struct mono begin, end;
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port), client, seconds = 30;
	uint32_t n, max;

	(void)state;
	NEEDS_DIAG();
	assert_int_equal(setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT,
	    &seconds, sizeof(seconds)), 0);
	begin = mono_now();
	end = mono_add_ms(begin, LIMIT_MS);
	client = tcp_connect(port, 0);
	do {
		ask_all(&d, AF_INET, port, &found);
		assert_int_equal(found.n, 1);
		assert_int_equal(found.v[0].state, TCP_SYN_RECV);
		assert_int_equal(found.v[0].ino, 0);
		assert_false(found.v[0].info);
		/* Never more than the truth. */
		assert_true(found.v[0].age_ms <=
		    mono_ms_between(begin, mono_now()) + 20);
		assert_true(mono_before(mono_now(), end));
		poll(NULL, 0, 1);
	} while (found.v[0].age_ms < 100);
	/* It is in no queue yet. */
	assert_int_equal(lane_queue_tcp(listener, &n, &max), 0);
	assert_int_equal(n, 0);
	close(client);
	close(listener);
	sockdiag_close(&d);
}

static void
an_answer_in_parts(void **state)
{
	enum { CONNS = 300 };
	struct sockdiag d = SOCKDIAG_INIT;
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port), clients[CONNS];
	unsigned parts = 1;

	(void)state;
	NEEDS_DIAG();
	for (int i = 0; i < CONNS; i++)
		clients[i] = tcp_connect(port, 0);
	found.n = 0;
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
	while (sockdiag_tcp_read(&d, 0, find, &found) == 1)
		parts++;
	assert_int_equal(found.n, CONNS);
	assert_in_range(parts, 3, 50);
	/* There is nothing behind the end. */
	assert_int_equal(sockdiag_tcp_read(&d, 0, find, &found), -EINVAL);
	/* One that is dropped in the middle does not mix with the next. */
	found.n = 0;
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
	assert_int_equal(sockdiag_tcp_read(&d, 0, find, &found), 1);
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, CONNS);
	for (int i = 0; i < CONNS; i++)
		close(clients[i]);
	close(listener);
	sockdiag_close(&d);
}

static void
one_that_is_closed(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port);
	int client = tcp_connect(port, 0), accepted = accept_one(listener);
	const struct linger none = { .l_onoff = 1 };
	struct sockdiag_tcp conn;
	struct sockdiag_id id;
	int code;

	(void)state;
	NEEDS_DIAG();
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, 1);
	id = found.v[0].id;
	assert_int_equal(sockdiag_tcp_info(&d, &id, &conn), 0);
	assert_true(conn.info);
	assert_int_equal(conn.ino, ino_of(accepted));
	assert_memory_equal(&conn.id, &id, sizeof(id));
	assert_int_equal(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &none,
	    sizeof(none)), 0);
	close(accepted);
	code = sockdiag_tcp_info(&d, &id, &conn);
	assert_true(code == -ENOENT || code == -ESTALE);
	/* And the next question is answered. */
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, 0);
	close(client);
	close(listener);
	sockdiag_close(&d);
}

/* ---- errors ---- */

static struct nlmsghdr *
forge(uint16_t type, uint16_t flags, size_t body)
{
	struct forged *f = &forged[n_forged++];
	struct nlmsghdr *m = (struct nlmsghdr *)f->bytes;

	memset(f, 0, sizeof(*f));
	m->nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
	m->nlmsg_type = type;
	m->nlmsg_flags = flags;
	m->nlmsg_seq = last_seq;
	f->len = NLMSG_SPACE(body);
	return m;
}

static void
forge_none(void)
{
	n_forged = next_forged = 0;
}

static int
ask_and_read(struct sockdiag *d)
{
	uint16_t port;
	int fd = tcp_listen(AF_INET, &port), code;

	found.n = 0;
	code = sockdiag_tcp_ask(d, AF_INET, port);
	close(fd);
	return code < 0 ? code : sockdiag_tcp_read(d, LIMIT_MS, find, &found);
}

static void
refusals(void **state)
{
	static const int errors[] = { EPERM, EACCES, EPROTONOSUPPORT, EMFILE };
	struct sockdiag d = SOCKDIAG_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
		socket_error = errors[i];
		assert_int_equal(sockdiag_open(&d), -errors[i]);
		assert_int_equal(ask_and_read(&d), -errors[i]);
		assert_int_equal(d.fd, -1);
	}
	socket_error = 0;
	alloc_fail(1, ALLOC_ALL);
	sockdiag_close(&d);
	assert_int_equal(sockdiag_open(&d), -ENOMEM);
	alloc_works();
	NEEDS_DIAG();
	send_error = EPERM;
	assert_int_equal(ask_and_read(&d), -EPERM);
	send_error = ENOBUFS;
	assert_int_equal(ask_and_read(&d), -ENOBUFS);
	send_error = 0;
	receive_error = ENOBUFS;
	assert_int_equal(ask_and_read(&d), -ENOBUFS);
	receive_error = 0;
	/* None of that lasts. */
	assert_int_equal(ask_and_read(&d), 0);
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, 0), -EINVAL);
	/* A family without a module: the kernel's own -ENOENT. */
	assert_int_equal(sockdiag_tcp_ask(&d, AF_APPLETALK, 80), 0);
	assert_int_equal(sockdiag_tcp_read(&d, LIMIT_MS, find, &found),
	    -ENOENT);
	sockdiag_close(&d);
	sockdiag_close(&d);
}

static void
odd_answers(void **state)
{
	struct sockdiag d = SOCKDIAG_INIT;
	const int32_t no_entry = -ENOENT;
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port), client;

	(void)state;
	NEEDS_DIAG();
	client = tcp_connect(port, 0);
	found.n = 0;

	/* Somebody else, an earlier question, a message cut short, a type that
	   is none of ours: nothing of it counts, and the kernel's words do. */
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
	forge(NLMSG_ERROR, 0, 4);
	forged[0].from = 4711;
	forge(NLMSG_DONE, 0, 4)->nlmsg_seq--;
	forge(SOCK_DIAG_BY_FAMILY, NLM_F_MULTI, 8);
	forge(NLMSG_NOOP, NLM_F_MULTI, 100);
	assert_int_equal(sockdiag_tcp_read(&d, LIMIT_MS, find, &found), 0);
	assert_int_equal(found.n, 1);
	assert_int_equal(next_forged, 4);
	forge_none();

	/* A length that goes beyond the end. */
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
	forge(SOCK_DIAG_BY_FAMILY, NLM_F_MULTI, 100)->nlmsg_len = 60000;
	found.n = 0;
	assert_int_equal(sockdiag_tcp_read(&d, LIMIT_MS, find, &found), 0);
	assert_int_equal(found.n, 1);
	forge_none();

	/* The table changed while it was read. */
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
	forge(SOCK_DIAG_BY_FAMILY, NLM_F_MULTI | NLM_F_DUMP_INTR, 100);
	assert_int_equal(sockdiag_tcp_read(&d, LIMIT_MS, find, &found),
	    -EAGAIN);
	forge_none();

	/* An error at once, and one in the message that ends a dump. */
	for (int i = 0; i < 2; i++) {
		struct nlmsghdr *m;

		assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
		m = forge(i == 0 ? NLMSG_ERROR : NLMSG_DONE, 0, 4);
		memcpy(NLMSG_DATA(m), &no_entry, sizeof(no_entry));
		assert_int_equal(sockdiag_tcp_read(&d, LIMIT_MS, find,
		    &found), -ENOENT);
		forge_none();
	}

	/* A part larger than our buffer. */
	assert_int_equal(sockdiag_tcp_ask(&d, AF_INET, port), 0);
	forge(NLMSG_NOOP, NLM_F_MULTI, 8);
	forged[0].flags = MSG_TRUNC;
	assert_int_equal(sockdiag_tcp_read(&d, LIMIT_MS, find, &found),
	    -EMSGSIZE);
	forge_none();
	ask_all(&d, AF_INET, port, &found);
	assert_int_equal(found.n, 1);
	close(client);
	close(listener);
	sockdiag_close(&d);
}

/* ---- Unix ---- */

static int
unix_listen(const char *dir, const char *name, struct sockaddr_un *ret_sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	*ret_sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(ret_sun->sun_path, sizeof(ret_sun->sun_path), "%s/%s", dir,
	    name);
	assert_int_equal(bind(fd, (struct sockaddr *)ret_sun,
	    sizeof(*ret_sun)), 0);
	assert_int_equal(listen(fd, 7), 0);
	return fd;
}

static int
unix_connect(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)sun,
	    sizeof(*sun)), 0);
	return fd;
}

struct found_unix {
	uint32_t dev, ino;	/* the file's */
	uint64_t wanted;
	struct sockdiag_unix socket;
	unsigned n;
};

static void
find_unix(void *ctx, const struct sockdiag_unix *s)
{
	struct found_unix *f = ctx;

	if (!s->bound || s->file_dev != f->dev || s->file_ino != f->ino ||
	    s->state == TCP_LISTEN)
		return;
	f->n++;
	if (s->ino == f->wanted)
		f->socket = *s;
}

static void
connections_of_a_unix_listener(void **state)
{
	char dir[] = "/tmp/test_sockdiag.XXXXXX", moved[64];
	struct sockdiag d = SOCKDIAG_INIT;
	struct sockaddr_un sun, sun_next;
	struct sockdiag_unix s, next;
	struct found_unix f = { .n = 0 };
	int listener, renamed, client[3], server, pair[2];

	(void)state;
	NEEDS_DIAG();
	assert_non_null(mkdtemp(dir));
	listener = unix_listen(dir, "a", &sun);
	if (sockdiag_unix_one(&d, ino_of(listener), &s) < 0) {
		print_message("no unix_diag\n");
		skip();
	}
	assert_int_equal(s.state, TCP_LISTEN);
	assert_int_equal(s.queue, 0);
	assert_int_equal(s.queue_max, 7);
	assert_true(s.bound);
	for (int i = 0; i < 3; i++)
		client[i] = unix_connect(&sun);
	server = accept_one(listener);
	assert_int_equal(sockdiag_unix_one(&d, ino_of(listener), &s), 0);
	assert_int_equal(s.queue, 2);

	/* A new generation takes the path: another file. */
	renamed = unix_listen(dir, "b", &sun_next);
	snprintf(moved, sizeof(moved), "%s/a", dir);
	assert_int_equal(rename(sun_next.sun_path, moved), 0);
	assert_int_equal(sockdiag_unix_one(&d, ino_of(renamed), &next), 0);
	assert_true(next.bound);
	assert_true(next.file_ino != s.file_ino);
	assert_int_equal(next.queue, 0);

	assert_int_equal(send(client[0], "hello", 5, 0), 5);
	assert_int_equal(send(server, "worlds", 6, 0), 6);
	f.dev = s.file_dev;
	f.ino = s.file_ino;
	f.wanted = ino_of(server);
	assert_int_equal(sockdiag_unix_ask(&d), 0);
	assert_int_equal(sockdiag_unix_read(&d, LIMIT_MS, find_unix, &f), 0);
	/* The kernel leaves out those that wait in the queue. */
	assert_int_equal(f.n, 1);
	assert_int_equal(f.socket.queue, 5);
	assert_true(f.socket.queue_max > 0);
	assert_int_equal(f.socket.peer, ino_of(client[0]));

	/* What has no path, and what is no longer there. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	assert_int_equal(sockdiag_unix_one(&d, ino_of(pair[0]), &s), 0);
	assert_false(s.bound);
	assert_int_equal(s.peer, ino_of(pair[1]));
	f.wanted = ino_of(pair[0]);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(sockdiag_unix_one(&d, f.wanted, &s), -ENOENT);
	assert_int_equal(sockdiag_unix_one(&d, 0, &s), -EINVAL);
	assert_int_equal(sockdiag_unix_one(&d, UINT64_MAX, &s), -EINVAL);

	for (int i = 0; i < 3; i++)
		close(client[i]);
	close(server);
	close(listener);
	close(renamed);
	unlink(moved);
	rmdir(dir);
	sockdiag_close(&d);
}

/* ---- queues ---- */

static void
queue_of_a_tcp_lane(void **state)
{
	uint16_t port;
	int listener = tcp_listen(AF_INET, &port), clients[5], server;
	int pair[2];
	uint32_t n = 77, max = 77;

	(void)state;
	assert_int_equal(lane_queue_tcp(listener, &n, &max), 0);
	assert_int_equal(n, 0);
	assert_int_equal(max, 512);
	for (int i = 0; i < 5; i++)
		clients[i] = tcp_connect(port, 0);
	assert_int_equal(lane_queue_tcp(listener, &n, &max), 0);
	assert_int_equal(n, 5);
	/* A client that has gone still stands there. */
	close(clients[4]);
	assert_int_equal(lane_queue_tcp(listener, &n, &max), 0);
	assert_int_equal(n, 5);
	server = accept_one(listener);
	assert_int_equal(lane_queue_tcp(listener, &n, &max), 0);
	assert_int_equal(n, 4);
	assert_int_equal(lane_queue_tcp(server, &n, &max), -EINVAL);
	assert_int_equal(lane_queue_tcp(-1, &n, &max), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    pair), 0);
	assert_true(lane_queue_tcp(pair[0], &n, &max) < 0);
	assert_int_equal(n, 4);
	close(pair[0]);
	close(pair[1]);
	for (int i = 0; i < 4; i++)
		close(clients[i]);
	close(server);
	close(listener);
}

static void
queue_of_a_udp_lane(void **state)
{
	struct sockaddr_in self = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(self);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint32_t bytes = 77;
	char buf[200] = "";

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&self, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&self, &len), 0);
	assert_int_equal(lane_queue_udp(fd, &bytes), 0);
	assert_int_equal(bytes, 0);
	/* Several, of several sizes, an empty one last. */
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(sendto(fd, buf, (4 - i) * 50, 0,
		    (struct sockaddr *)&self, len), (4 - i) * 50);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(lane_queue_udp(fd, &bytes), 0);
		assert_true(bytes > 0);
		receive(fd, (ssize_t)((4 - i) * 50));
	}
	assert_int_equal(lane_queue_udp(fd, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(lane_queue_udp(-1, &bytes), -EBADF);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connections_of_a_port),
		cmocka_unit_test(ipv4_on_a_dual_stack_listener),
		cmocka_unit_test(who_spoke_last),
		cmocka_unit_test(a_client_that_does_not_read),
		cmocka_unit_test(fin_is_no_byte),
		cmocka_unit_test(half_open),
		cmocka_unit_test(an_answer_in_parts),
		cmocka_unit_test(one_that_is_closed),
		cmocka_unit_test(refusals),
		cmocka_unit_test(odd_answers),
		cmocka_unit_test(connections_of_a_unix_listener),
		cmocka_unit_test(queue_of_a_tcp_lane),
		cmocka_unit_test(queue_of_a_udp_lane),
	};

	return cmocka_run_group_tests(tests, look_for_diag, NULL);
}
