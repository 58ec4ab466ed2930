#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/num.h"
#include "linux/file.h"
#include "linux/socket.h"

union sockaddr_any {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

static int
fail(struct error *err, int code, const struct address *a, const char *what)
{
	char *name = address_format(a);

	code = error_set(err, code, "cannot listen on %s: %s%s%s",
	    name != NULL ? name : "?", what, *what != '\0' ? ": " : "",
	    strerror(-code));
	free(name);
	return code;
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
	return sizeof(sa->in6);
}

/* One family: socket, options, bind; a listen follows for TCP. */
static int
inet_bind(const struct address *a, int family, int *ret_fd)
{
	int type = a->kind == ADDRESS_UDP ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(family, type | SOCK_CLOEXEC, 0);
	union sockaddr_any sa;
	socklen_t len;
	int code = 0;

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		code = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY,
		    a->host == ADDRESS_HOST_IPV6);
	if (code == 0 && type == SOCK_STREAM)
		code = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	len = inet_sockaddr(a, family, &sa);
	if (code == 0 && bind(fd, &sa.sa, len) < 0)
		code = -errno;
	if (code < 0) {
		fd_close(&fd);
		return code;
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

static int
inet_listen(const struct address *a, const struct socket_options *o,
    int *ret_fd, struct error *err)
{
	int family = a->host == ADDRESS_HOST_IPV4 ? AF_INET : AF_INET6;
	int fd = -1;
	int code = inet_bind(a, family, &fd);

	/* No IPv6 in the kernel, or switched off by sysctl: IPv4 alone. */
	if (a->host == ADDRESS_HOST_ANY &&
	    (code == -EAFNOSUPPORT || code == -EADDRNOTAVAIL))
		code = inet_bind(a, AF_INET, &fd);
	if (code == 0 && a->kind == ADDRESS_TCP &&
	    listen(fd, (int)o->backlog) < 0)
		code = -errno;
	if (code < 0) {
		fd_close(&fd);
		return fail(err, code, a, "");
	}
	*ret_fd = fd_take(&fd);
	return 0;
}

static socklen_t
unix_sockaddr(const char *path, struct sockaddr_un *sun)
{
	size_t len = strlen(path);

	memset(sun, 0, sizeof(*sun));
	sun->sun_family = AF_UNIX;
	/* The configuration allows less. */
	assert(len < sizeof(sun->sun_path));
	memcpy(sun->sun_path, path, len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
}

/* May the path be taken? A socket nobody listens on is a dead one's. */
static int
unix_check_path(const char *path, const char **ret_what)
{
	struct sockaddr_un sun;
	struct stat st;
	socklen_t len;
	int fd, code;

	*ret_what = "";
	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode)) {
		*ret_what = "there is a file that is no socket";
		return -EEXIST;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	len = unix_sockaddr(path, &sun);
	code = connect(fd, (struct sockaddr *)&sun, len) < 0 ? -errno : 0;
	fd_close(&fd);
	if (code == -ECONNREFUSED || code == -ENOENT)
		return 0;
	if (code == 0 || code == -EAGAIN)
		return -EADDRINUSE;
	/* EPROTOTYPE: a datagram socket, which cannot be told dead. */
	return code;
}

/*
 * Mode and owner of the socket's file. Never by its name alone: who can write
 * to the directory could have put a link to something else there. O_PATH holds
 * the file that was looked at (open(2)); chmod(2) takes no such descriptor, but
 * its name in /proc.
 */
static int
unix_dress(const char *path, const struct socket_options *o,
    const struct socket_file *ours, const char **ret_what)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char self[32];
	struct stat st;
	int code = 0;

	if (fd < 0 || fstat(fd, &st) < 0) {
		code = -errno;
	} else if (!S_ISSOCK(st.st_mode) || (ours != NULL &&
	    (st.st_dev != ours->dev || st.st_ino != ours->ino))) {
		*ret_what = "the file is not the socket that clusterd made";
		code = -ESTALE;
	} else if ((o->uid != (uint32_t)-1 || o->gid != (uint32_t)-1) &&
	    fchownat(fd, "", o->uid, o->gid, AT_EMPTY_PATH) < 0) {
		*ret_what = "socket_user or socket_group";
		code = -errno;
	} else {
		snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
		if ((st.st_mode & 07777) != o->mode &&
		    chmod(self, (mode_t)o->mode) < 0) {
			*ret_what = "socket_mode";
			code = -errno;
		}
	}
	fd_close(&fd);
	return code;
}

static int
unix_bind(const char *path, const struct socket_options *o, int fd,
    struct socket_file *ret_file, const char **ret_what)
{
	char temporary[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct sockaddr_un sun;
	struct stat st;
	socklen_t len;
	mode_t saved;
	int code;

	if (snprintf(temporary, sizeof(temporary), "%s.%x", path,
	    (unsigned)getpid()) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	/* A leftover of a dead process that had our pid. */
	(void)unlink(temporary);
	len = unix_sockaddr(temporary, &sun);
	/* Nobody may connect before mode and owner are right. */
	saved = umask(0777);
	code = bind(fd, (struct sockaddr *)&sun, len) < 0 ? -errno : 0;
	umask(saved);
	if (code < 0)
		return code;
	code = unix_dress(temporary, o, NULL, ret_what);
	if (code == 0 && (listen(fd, (int)o->backlog) < 0 ||
	    lstat(temporary, &st) < 0 || rename(temporary, path) < 0))
		code = -errno;
	if (code < 0) {
		(void)unlink(temporary);
		return code;
	}
	*ret_file = (struct socket_file){
		.dev = st.st_dev, .ino = st.st_ino,
	};
	return 0;
}

static int
unix_listen(const struct address *a, const struct socket_options *o,
    int *ret_fd, struct socket_file *ret_file, struct error *err)
{
	const char *what = "";
	int fd = -1;
	int code = unix_check_path(a->path, &what);

	if (code == 0) {
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		code = fd < 0 ? -errno :
		    unix_bind(a->path, o, fd, ret_file, &what);
	}
	if (code < 0) {
		fd_close(&fd);
		return fail(err, code, a, what);
	}
	*ret_fd = fd_take(&fd);
	return 0;
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
		code = unix_dress(bound->path, o, file, &what);
	return code < 0 ? fail(err, code, bound, what) : 0;
}

void
socket_unlink(const struct address *bound, const struct socket_file *file)
{
	struct stat st;

	if (bound->kind == ADDRESS_UNIX && file->ino != 0 &&
	    lstat(bound->path, &st) == 0 &&
	    st.st_dev == file->dev && st.st_ino == file->ino)
		(void)unlink(bound->path);
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

unsigned
socket_somaxconn(void)
{
	char *text;
	size_t len;
	uint64_t value = 0;

	if (file_read("/proc/sys/net/core/somaxconn", 64, &text, &len,
	    NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = '\0';
	(void)num_parse(text, 1, UINT32_MAX, &value);
	free(text);
	return (unsigned)value;
}
