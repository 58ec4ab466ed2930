#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_limits.h"
#include "linux/socket/socket_filter.h"
#include "linux/socket/socket_shut.h"
#include "linux/socket/unix_socket.h"

#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78	/* Linux 4.15 */
#endif

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static int
fail(struct error *err, int code, const struct address *a, const char *what)
{
	return error_set(err, code, "cannot listen on %s: %s%s%s",
	    address_text(a).s, what, *what != '\0' ? ": " : "",
	    strerror(-code));
}

static int
set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ?
	    -errno : 0;
}

static socklen_t
inet_sockaddr(const struct address *a, int family, union sockaddr_any *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (family == AF_INET) {
		sa->in.sin_family = AF_INET;
		sa->in.sin_port = htons(a->port);
		if (a->host == ADDRESS_HOST_IPV4)
			memcpy(&sa->in.sin_addr, a->ip, 4);
		return sizeof(sa->in);
	}
	sa->in6.sin6_family = AF_INET6;
	sa->in6.sin6_port = htons(a->port);
	if (a->host == ADDRESS_HOST_IPV6)
		memcpy(&sa->in6.sin6_addr, a->ip, 16);
	sa->in6.sin6_scope_id = a->scope;
	return sizeof(sa->in6);
}

/* An IPv4 address in IPv6 form only takes IPv4 clients: a socket that is for
   IPv6 alone could not be bound to it. */
static bool
wants_v6only(const struct address *a)
{
	struct in6_addr ip;

	memcpy(&ip, a->ip, sizeof(ip));
	return a->host == ADDRESS_HOST_IPV6 && !IN6_IS_ADDR_V4MAPPED(&ip);
}

/* Before the address is: on which it may depend. */
static int
set_before_bind(int fd, const struct address *a, int family,
    const char **ret_what)
{
	const struct address_options *o = &a->options;
	int level = family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	int code = 0;

	if (o->interface[0] != '\0' && setsockopt(fd, SOL_SOCKET,
	    SO_BINDTODEVICE, o->interface,
	    (socklen_t)strlen(o->interface)) < 0)
		code = -errno;
	if (code < 0) {
		*ret_what = "its interface";
		return code;
	}
	if (o->freebind)
		code = set_option(fd, level, family == AF_INET6 ?
		    IPV6_FREEBIND : IP_FREEBIND, 1);
	if (code == 0 && o->transparent) {
		*ret_what = "transparent (which takes CAP_NET_ADMIN or "
		    "CAP_NET_RAW)";
		code = set_option(fd, level, family == AF_INET6 ?
		    IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
	}
	return code;
}

int
socket_set_options(int fd, const struct address_options *o, bool all,
    const char **ret_what)
{
	int code = 0;

	if (all || o->mark != 0) {
		*ret_what = "mark (which takes CAP_NET_ADMIN or CAP_NET_RAW)";
		code = set_option(fd, SOL_SOCKET, SO_MARK, (int)o->mark);
		/* None is what an ordinary user's socket has. */
		if (o->mark == 0)
			code = 0;
	}
	if (code == 0 && (all || o->defer_accept != 0)) {
		*ret_what = "defer_accept";
		code = set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT,
		    (int)o->defer_accept);
	}
	if (code == 0 && (all || o->fastopen != 0)) {
		*ret_what = "fastopen";
		code = set_option(fd, IPPROTO_TCP, TCP_FASTOPEN,
		    (int)o->fastopen);
	}
	/* Datagram sockets have neither. */
	return code == -ENOPROTOOPT || code == -EOPNOTSUPP ? 0 : code;
}

/* One family: socket, options, bind; a listen follows for TCP. */
static int
inet_bind(const struct address *a, int family,
    const struct socket_options *o, int *ret_fd, const char **ret_what)
{
	const char *what = "";
	int type = a->kind == ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	union sockaddr_any sa;
	socklen_t len;
	int code = 0;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		code = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		    wants_v6only(a));
	if (code == 0 && type == SOCK_STREAM && !o->hold)
		code = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (code == 0 && o->over)
		code = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (code == 0 && o->beside)
		code = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (code == 0 && o->group && !o->beside && type == SOCK_DGRAM)
		(void)socket_found_group(fd, -1);
	if (code == 0)
		code = set_before_bind(fd, a, family, &what);
	if (code == 0)
		code = socket_set_options(fd, &a->options, false, &what);
	if (code == 0) {
		what = "";
		len = inet_sockaddr(a, family, &sa);
		if (bind(fd, &sa.sa, len) < 0)
			code = -errno;
	}
	if (code < 0) {
		*ret_what = what;
		fd_close(&fd);
		return code;
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

/*
 * A socket that was bound to port 0 loses the port that it got when somebody
 * shuts it down (inet_csk_listen_stop() in net/ipv4); one that was bound to the
 * number keeps it. The first one holds it until the second one has it.
 */
static int
bind_number(const struct address *a, int *fd, const char **ret_what)
{
	const struct socket_options beside = { .beside = true };
	struct address number = { .kind = ADDRESS_TCP };
	int again = -1;
	int code = socket_address(*fd, &number);

	if (code < 0 || a->port != 0 || a->kind != ADDRESS_TCP)
		return code;
	number.options = a->options;
	code = set_option(*fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (code == 0)
		code = inet_bind(&number, number.host == ADDRESS_HOST_IPV4 ?
		    AF_INET : AF_INET6, &beside, &again, ret_what);
	if (code == 0)
		code = set_option(again, SOL_SOCKET, SO_REUSEPORT, 0);
	if (code == 0) {
		fd_close(fd);
		*fd = fd_take(&again);
	}
	fd_close(&again);
	return code;
}

/*
 * Where nobody listens, SO_REUSEADDR on both sides lets a stranger bind the
 * address too, and listen before us. Without it the address is ours alone; but
 * it cannot be had while connections of an earlier listener last.
 */
static int
inet_bind_or_hold(const struct address *a, int family,
    const struct socket_options *o, int *ret_fd, const char **ret_what)
{
	struct socket_options plain = *o;
	int code = -EADDRINUSE;

	plain.hold = false;
	if (o->hold && !o->beside && a->kind == ADDRESS_TCP)
		code = inet_bind(a, family, o, ret_fd, ret_what);
	return code == -EADDRINUSE ?
	    inet_bind(a, family, &plain, ret_fd, ret_what) : code;
}

static int
inet_listen(const struct address *a, const struct socket_options *o,
    int *ret_fd, struct error *err)
{
	int family = a->host == ADDRESS_HOST_IPV4 ? AF_INET : AF_INET6;
	const char *what = "";
	int fd = -1;
	int code = inet_bind_or_hold(a, family, o, &fd, &what);

	/* No IPv6 in the kernel, or switched off by sysctl: IPv4 alone. */
	if (a->host == ADDRESS_HOST_ANY &&
	    (code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL))
		code = inet_bind_or_hold(a, AF_INET, o, &fd, &what);
	if (code == 0)
		code = bind_number(a, &fd, &what);
	if (code == 0 && a->kind == ADDRESS_TCP && !o->bind_only &&
	    listen(fd, (int)o->backlog) < 0)
		code = -errno;
	/* Only for the kernel's look at conflicts, in bind and in listen. */
	if (code == 0 && o->beside && !o->stays_beside)
		code = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 0);
	if (code == 0 && o->over)
		socket_let_over(fd, false);
	if (code < 0) {
		fd_close(&fd);
		return fail(err, code, a, what);
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

static int
unix_listen(const struct address *a, const struct socket_options *o,
    int *ret_fd, struct socket_file *ret_file, struct error *err)
{
	const char *what = "";
	int code = unix_socket_listen(a->path, o, ret_fd, ret_file, &what);

	return code < 0 ? fail(err, code, a, what) : 0;
}

int
socket_listen(const struct address *a, const struct socket_options *o,
    int *ret_fd, struct address *ret_bound, struct socket_file *ret_file,
    struct error *err)
{
	int fd = -1;
	int code;

	*ret_file = (struct socket_file){ .ino = 0 };
	if (a->kind == ADDRESS_UNIX) {
		code = unix_listen(a, o, &fd, ret_file, err);
		if (code == 0)
			code = address_copy(a, ret_bound);
	} else {
		code = inet_listen(a, o, &fd, err);
		if (code == 0)
			code = socket_address(fd, ret_bound);
		if (code == 0)
			ret_bound->options = a->options;
	}
	if (code < 0) {
		if (fd >= 0)
			fail(err, code, a, "");
		fd_close(&fd);
		return code;
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

int
socket_adjust(int fd, const struct address *bound,
    const struct socket_file *file, const struct socket_options *o,
    struct error *err)
{
	const char *what = "";
	int code = 0;

	/* listen() again only changes the backlog (listen(2)). */
	if (bound->kind != ADDRESS_UDP && listen(fd, (int)o->backlog) < 0)
		code = -errno;
	if (code == 0 && bound->kind == ADDRESS_UNIX && file->ino != 0)
		code = unix_socket_dress(bound->path, o, file, &what);
	return code < 0 ? fail(err, code, bound, what) : 0;
}

void
socket_unlink(const struct address *bound, const struct socket_file *file)
{
	if (bound->kind == ADDRESS_UNIX && file->ino != 0)
		unix_socket_unlink(bound->path, file);
}

static int
unix_address(const struct sockaddr_un *sun, socklen_t len, struct address *a)
{
	size_t room = len - offsetof(struct sockaddr_un, sun_path);

	/* Unnamed and abstract sockets have no path. */
	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    sun->sun_path[0] == '\0')
		return -EAFNOSUPPORT;
	a->kind = ADDRESS_UNIX;
	a->path = strndup(sun->sun_path, room);
	return a->path != NULL ? 0 : -ENOMEM;
}

int
socket_address(int fd, struct address *ret_address)
{
	struct address a = { .kind = ADDRESS_TCP };
	union sockaddr_any sa;
	socklen_t len = sizeof(sa);
	int type = 0, v6only = 0;
	socklen_t optlen = sizeof(type);

	if (getsockname(fd, &sa.sa, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &optlen) < 0)
		return -errno;
	if (type == SOCK_DGRAM && sa.sa.sa_family != AF_UNIX)
		a.kind = ADDRESS_UDP;
	else if (type != SOCK_STREAM)
		return -EPROTOTYPE;

	switch (sa.sa.sa_family) {
	case AF_UNIX:
		if (unix_address(&sa.un, len, &a) < 0)
			return -EAFNOSUPPORT;
		break;
	case AF_INET:
		a.host = ADDRESS_HOST_IPV4;
		memcpy(a.ip, &sa.in.sin_addr, 4);
		a.port = ntohs(sa.in.sin_port);
		break;
	case AF_INET6:
		optlen = sizeof(v6only);
		(void)getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only,
		    &optlen);
		memcpy(a.ip, &sa.in6.sin6_addr, 16);
		a.port = ntohs(sa.in6.sin6_port);
		/* Of no meaning but for link-local ones (RFC 4007). */
		if (IN6_IS_ADDR_LINKLOCAL(&sa.in6.sin6_addr))
			a.scope = sa.in6.sin6_scope_id;
		a.host = !v6only && IN6_IS_ADDR_UNSPECIFIED(
		    &sa.in6.sin6_addr) ? ADDRESS_HOST_ANY :
		    ADDRESS_HOST_IPV6;
		break;
	default:
		return -EAFNOSUPPORT;
	}
	*ret_address = a;
	return 0;
}

bool
socket_interface(int fd, char name[16])
{
	socklen_t len = 16;

	memset(name, 0, 16);
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, &len) < 0)
		return false;
	name[15] = '\0';
	return name[0] != '\0';
}

static bool
is_set(int fd, int level, int option)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, level, option, &on, &len) == 0 && on != 0;
}

void
socket_wishes(int fd, struct address_options *ret)
{
	(void)socket_interface(fd, ret->interface);
	ret->freebind = is_set(fd, IPPROTO_IP, IP_FREEBIND) ||
	    is_set(fd, IPPROTO_IPV6, IPV6_FREEBIND);
	ret->transparent = is_set(fd, IPPROTO_IP, IP_TRANSPARENT) ||
	    is_set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
}

int
socket_start_listening(int fd, unsigned backlog)
{
	/* One that was only held goes without (inet_bind_or_hold()), and could
	   not begin again beside its connections. */
	(void)set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	socket_unshut(fd);
	return listen(fd, (int)backlog) < 0 ? -errno : 0;
}

void
socket_let_beside(int fd, bool on)
{
	(void)set_option(fd, SOL_SOCKET, SO_REUSEPORT, on);
}

void
socket_let_over(int fd, bool on)
{
	(void)set_option(fd, SOL_SOCKET, SO_REUSEADDR, on);
}

#ifndef SO_BINDTOIFINDEX
#define SO_BINDTOIFINDEX 62	/* Linux 5.0 */
#endif

/* The kernel finds a new place for it, and that is outside of any group
   (udp_lib_rehash()). */
void
socket_leave_group(int fd)
{
	int index = 0;
	socklen_t len = sizeof(index);

	if (getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &len) == 0)
		(void)set_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, index);
	socket_let_beside(fd, false);
}

int
socket_set_interface(int fd, const char *name)
{
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
	    (socklen_t)strlen(name)) < 0 ? -errno : 0;
}

static int
make_alike(int fd, const struct address *a, int family)
{
	const char *what;
	int before = set_before_bind(fd, a, family, &what);
	int options = socket_set_options(fd, &a->options, false, &what);

	return before < 0 ? before : options;
}

int
socket_new_like(int fd, const struct address *a)
{
	int domain = 0, type = 0, like;
	socklen_t len = sizeof(domain);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	like = socket(domain, type | SOCK_CLOEXEC, 0);
	if (like < 0)
		return -errno;
	/* What takes a privilege by now, or an interface that has gone, is no
	   reason to leave all else as it is. */
	if (a->kind != ADDRESS_UNIX && make_alike(like, a, domain) < 0) {
		struct address less = *a;

		less.options.mark = 0;
		less.options.interface[0] = '\0';
		(void)make_alike(like, &less, domain);
	}
	return like;
}

void
socket_refuse(int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
}

/* Mostly it is what it is to be, and one question tells both. */
bool
socket_set_backlog(int fd, unsigned backlog)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ||
	    info.tcpi_state != TCP_LISTEN)
		return false;
	/* Of a listening socket that is its backlog. */
	if (info.tcpi_sacked != backlog)
		(void)listen(fd, (int)backlog);
	return true;
}

/* A queue of more than that is full (sk_acceptq_is_full()). */
void
socket_hold_handshakes(int fd)
{
	if (!socket_aborts_on_overflow())
		(void)socket_set_backlog(fd, 0);
}

/*
 * For the kernel's look-up of listeners it is bound to an interface that there is
 * not: a SYN finds nobody and is answered with a reset. Requests and accepted
 * sockets go by the interface that their SYN came on (inet_rsk(req)->ir_iif).
 */
int
socket_refuse_new(int fd)
{
	return set_option(fd, SOL_SOCKET, SO_BINDTOIFINDEX, INT32_MAX);
}

bool
socket_is_connected(int fd)
{
	union sockaddr_any peer;
	socklen_t len = sizeof(peer);

	return getpeername(fd, &peer.sa, &len) == 0;
}

uint64_t
socket_inode(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_ino;
}

bool
socket_is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 &&
	    on != 0;
}

bool
socket_has_note(int fd)
{
	int clamp = 0;
	socklen_t len = sizeof(clamp);

	return getsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp,
	    &len) == 0 && clamp != 0;
}

bool
socket_note_listening(int fd)
{
	/* A worker may have set one of its own, which does as well. */
	if (!socket_has_note(fd))
		(void)set_option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP,
		    SOCKET_WINDOW_MAX);
	return socket_has_note(fd);
}

