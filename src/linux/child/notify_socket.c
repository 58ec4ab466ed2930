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

/* Of which the kernel says that there was no room for them: even a peek would
   install them here if there were. */
static void
note_control(struct msghdr *msg, struct notify_datagram *d, bool *ret_known)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
	    c = CMSG_NXTHDR(msg, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET ||
		    c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		d->pid = cred.pid;
		*ret_known = true;
	}
	d->descriptors = (msg->msg_flags & MSG_CTRUNC) != 0;
}

int
notify_socket_peek(int fd, struct notify_datagram *d)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { .iov_base = d->text, .iov_len = sizeof(d->text) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	bool known = false;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_PEEK);

	if (n < 0)
		return -EAGAIN;
	d->pid = 0;
	note_control(&msg, d, &known);
	if ((msg.msg_flags & MSG_TRUNC) != 0 ||
	    (size_t)n > NOTIFY_MESSAGE_MAX)
		return -EMSGSIZE;
	if (!known)
		return -EBADMSG;
	d->len = (size_t)n;
	d->text[n] = '\0';
	return 0;
}

void
notify_socket_drop(int fd)
{
	(void)recv(fd, NULL, 0, MSG_DONTWAIT);
}

void
notify_socket_swallow(void *ctx)
{
	const int *fd = ctx;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) +
		    CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	(void)recvmsg(*fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}
