#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/child/notify_socket.h"

#define FDS_MAX 253	/* SCM_MAX_FD, unix(7) */

int
notify_socket_open(int *ret_fd, char **ret_name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	static unsigned serial;
	uint64_t random = 0;
	char *name = NULL;
	int on = 1;
	int fd, code;

	/* Only has to be new, which the serial number sees to even when there
	   is no randomness yet, early in a boot; it is no secret. */
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	if (asprintf(&name, "@clusterd/%d/%u/%016llx", (int)getpid(), serial++,
	    (unsigned long long)random) < 0)
		return -ENOMEM;
	memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	    bind(fd, (struct sockaddr *)&sun,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    strlen(name))) < 0) {
		code = -errno;
		fd_close(&fd);
		free(name);
		return code;
	}
	*ret_fd = fd;
	*ret_name = name;
	return 0;
}

static void
close_fds(const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

	for (size_t i = 0; i < n; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		fd_close(&fd);
	}
}

int
notify_socket_receive(int fd, struct notify_datagram *d)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) +
		    CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = d->text, .iov_len = sizeof(d->text) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	bool known = false;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c != NULL;
	    c = CMSG_NXTHDR(&msg, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS) {
			close_fds(c);
		} else if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			d->pid = cred.pid;
			d->uid = cred.uid;
			known = true;
		}
	}
	if ((msg.msg_flags & MSG_TRUNC) != 0 ||
	    (size_t)n > NOTIFY_MESSAGE_MAX)
		return -EMSGSIZE;
	if (!known)
		return -EBADMSG;
	d->len = (size_t)n;
	d->text[n] = '\0';
	return 0;
}
