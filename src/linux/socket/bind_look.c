#include <sys/stat.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "linux/process/inspect.h"
#include "linux/socket/bind_look.h"
#include "linux/socket/socket.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* ---- over there ---- */

struct of_fd {
	pid_t tid;
	int fd;
	uint64_t ino;
};

/* Of the process's table; a thread may have one of its own (unshare(2)). */
static int
copy_socket(const struct of_fd *of)
{
	pid_t pid = inspect_process_of(of->tid);
	int copy = pid > 0 ? inspect_take_fd(pid, of->fd) : pid;
	struct stat st;

	if (copy >= 0 && (fstat(copy, &st) < 0 || !S_ISSOCK(st.st_mode) ||
	    st.st_ino != of->ino)) {
		fd_close(&copy);
		return -ESTALE;
	}
	return copy;
}

static int
option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? 0 : value;
}

static bool
is_fresh(int fd)
{
	struct sockaddr_storage name;
	const struct sockaddr_in *in = (const void *)&name;
	const struct sockaddr_in6 *in6 = (const void *)&name;
	socklen_t len = sizeof(name);

	memset(&name, 0, sizeof(name));
	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return false;
	switch (name.ss_family) {
	case AF_INET:
		return in->sin_port == 0;
	case AF_INET6:
		return in6->sin6_port == 0;
	default:
		return len <= sizeof(name.ss_family);
	}
}

uint64_t
bind_look_network(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 ?
	    0 : cookie;
}

static void
look_at_socket(int fd, struct bind_look *b)
{
	struct adoption_socket *s = &b->socket;

	s->family = option(fd, SOL_SOCKET, SO_DOMAIN);
	s->type = option(fd, SOL_SOCKET, SO_TYPE);
	s->protocol = option(fd, SOL_SOCKET, SO_PROTOCOL);
	s->v6only = s->family == AF_INET6 &&
	    option(fd, IPPROTO_IPV6, IPV6_V6ONLY) != 0;
	b->fresh = is_fresh(fd);
	b->network = bind_look_network(fd);
	b->shares = option(fd, SOL_SOCKET, SO_REUSEPORT) != 0;
	b->reuses = option(fd, SOL_SOCKET, SO_REUSEADDR) != 0;
	if (s->family == AF_INET || s->family == AF_INET6)
		socket_wishes(fd, &b->wishes);
	b->seen = true;
}

static void
look_at_unix(pid_t tid, struct bind_look *b)
{
	char *cwd = inspect_cwd(tid);

	b->same_root = inspect_same_root(tid);
	b->has_cwd = cwd != NULL;
	if (cwd != NULL)
		snprintf(b->cwd, sizeof(b->cwd), "%s", cwd);
	free(cwd);
}

static int
do_bind(const void *arg, void *ret, struct looker_fds *fds)
{
	const struct bind_look_of *of = arg;
	struct bind_look *b = ret;
	struct of_fd its = { .tid = of->tid, .fd = of->fd };
	int copy;

	b->n = inspect_memory(of->tid, of->address, &b->bytes, of->len);
	if (b->n != (ssize_t)of->len)
		return 0;
	look_fd_here(of->tid, of->fd, &b->fd);
	if (b->fd.kind != INSPECT_SOCKET)
		return 0;
	its.ino = b->fd.ino;
	copy = copy_socket(&its);
	if (copy >= 0) {
		fds->v[fds->n++] = copy;
		look_at_socket(copy, b);
	}
	b->same_network = inspect_same_network(of->tid);
	if (!inspect_protocol_name(of->tid, of->fd, b->protocol,
	    sizeof(b->protocol)))
		b->protocol[0] = '\0';
	if (b->bytes.ss_family == AF_UNIX)
		look_at_unix(of->tid, b);
	return 0;
}
_Static_assert(sizeof(struct bind_look) <= LOOKER_BYTES_MAX, "");

static int
do_bound(const void *arg, void *ret, struct looker_fds *fds)
{
	struct bound_look *b = ret;
	struct address at = { .kind = ADDRESS_UNIX };
	int copy = copy_socket(arg);

	if (copy < 0)
		return copy;
	fds->v[fds->n++] = copy;
	b->listens = socket_is_listening(copy);
	if (!socket_interface(copy, b->interface))
		b->interface[0] = '\0';
	if (option(copy, SOL_SOCKET, SO_DOMAIN) != AF_UNIX)
		b->has_address = socket_address(copy, &at) == 0 &&
		    at.kind == ADDRESS_TCP;
	if (b->has_address)
		b->address = at;
	return 0;
}
_Static_assert(sizeof(struct bound_look) <= LOOKER_BYTES_MAX, "");

/* ---- who asks ---- */

int
bind_look(const struct looker_whom *whom, const struct bind_look_of *call,
    struct bind_look *ret_bind)
{
	struct looker_fds fds = { .n = 0 };
	int code = looker_ask(whom, &(struct looker_question){
	    .fn = do_bind, .arg = call, .arg_len = sizeof(*call),
	    .ret = ret_bind, .ret_len = sizeof(*ret_bind), .fds = &fds,
	    .attaches = true,
	});

	/* Then all is known but the duplicate. */
	if (code == -ETOOMANYREFS)
		code = 0;
	if (code == 0)
		ret_bind->copy = fds.n > 0 ? fds.v[0] : -1;
	return code;
}

int
bound_look(const struct looker_whom *whom, pid_t tid, int fd, uint64_t ino,
    struct bound_look *ret_bound)
{
	const struct of_fd of = { .tid = tid, .fd = fd, .ino = ino };
	struct looker_fds fds = { .n = 0 };
	int code = looker_ask(whom, &(struct looker_question){
	    .fn = do_bound, .arg = &of, .arg_len = sizeof(of),
	    .ret = ret_bound, .ret_len = sizeof(*ret_bound), .fds = &fds,
	    .attaches = true,
	});

	if (code == 0 && fds.n != 1)
		code = -EMFILE;
	if (code == 0)
		ret_bound->copy = fds.v[0];
	return code;
}
