#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/bpf/steering_ebpf.h"

/* A socket to try it on, bound and not listening. Where there is no loopback
   address it is never listened on without an address: -errno. */
static int
probe_socket(int family, int *ret_fd)
{
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} a;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int code = 0, on = 1;

	if (fd < 0)
		return -errno;
	memset(&a, 0, sizeof(a));
	a.sa.sa_family = (sa_family_t)family;
	if (family == AF_INET)
		a.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		a.in6.sin6_addr = in6addr_loopback;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    bind(fd, &a.sa, family == AF_INET ? sizeof(a.in) :
	    sizeof(a.in6)) < 0)
		code = -errno;
	if (code == 0)
		*ret_fd = fd_take(&fd);
	fd_close(&fd);
	return code;
}

static int
try_lane(struct steering_ebpf *s, enum steering_ebpf_mode mode, int fd,
    struct error *err)
{
	int code = steering_ebpf_mark_lane(s, 0, fd);

	if (code == 0 && listen(fd, 1) < 0)
		code = -errno;
	if (code < 0)
		return error_set(err, code, "marking a socket: %s",
		    strerror(-code));
	code = steering_ebpf_set_lane(s, 0, fd, err);
	if (code == 0)
		code = steering_ebpf_attach(s, fd, err);
	/* The kernel calls the counting program on listen(2), so that this is
	   seen without any connection. */
	if (code == 0 && mode == STEERING_EBPF_LEAST &&
	    !steering_ebpf_lane_counted(s, 0))
		code = error_set(err, -ENOENT, "counting connections: our "
		    "cgroup is not within the cgroup v2 that is mounted "
		    "here");
	return code;
}

int
steering_ebpf_probe(enum steering_ebpf_mode mode, struct steering_hub *hub,
    struct error *err)
{
	struct steering_ebpf *s = NULL;
	int fd = -1;
	int code = steering_ebpf_new(mode, 1, hub, &s, err);

	if (code == 0) {
		code = probe_socket(AF_INET, &fd);
		if (code < 0)
			code = probe_socket(AF_INET6, &fd);
		if (code < 0)
			error_set(err, code, "cannot try it out on the "
			    "loopback interface: %s", strerror(-code));
	}
	if (code == 0)
		code = try_lane(s, mode, fd, err);
	fd_close(&fd);
	steering_ebpf_free(s);
	return code;
}
