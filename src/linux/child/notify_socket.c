#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "core/conf/conf.h"
#include "linux/child/notify_dir.h"
#include "linux/child/notify_socket.h"
#include "linux/file/fsids.h"
#include "linux/process/raw_call.h"

#define FDS_MAX 253	/* SCM_MAX_FD, unix(7) */

/* It does not block us, and says who has sent what. -errno. */
static int
open_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0) {
		int code = -errno;

		fd_close(&fd);
		return code;
	}
	return fd;
}

int
notify_socket_name(int fd, char **ret_name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sun);
	size_t n;

	if (getsockname(fd, (struct sockaddr *)&sun, &len) < 0)
		return -errno;
	n = len - offsetof(struct sockaddr_un, sun_path);
	if (len <= offsetof(struct sockaddr_un, sun_path) ||
	    n > sizeof(sun.sun_path))
		return -ENOENT;
	if (sun.sun_path[0] == '\0')
		sun.sun_path[0] = '@';
	*ret_name = strndup(sun.sun_path, n);
	return *ret_name == NULL ? -ENOMEM : 0;
}

/* Another user than ours? */
static bool
is_foreign(const struct conf_creds *creds)
{
	return creds->set && creds->name != NULL && creds->uid != geteuid();
}

/* A worker that is root may become somebody else, and has to be heard then. */
static mode_t
mode_for(const struct conf_creds *creds)
{
	return is_foreign(creds) ? creds->uid == 0 ? 0666 : 0600 :
	    geteuid() == 0 ? 0666 : 0600;
}

/* The kernel takes the socket's mode, less the umask, for the file's
   (net/unix/af_unix.c, unix_bind_bsd()). */
static int
bind_file(int fd, const struct sockaddr_un *sun, mode_t mode)
{
	mode_t saved = umask(0);
	int code = fchmod(fd, mode) < 0 ||
	    bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ?
	    -errno : 0;

	(void)umask(saved);
	return code;
}

/* Can the worker reach it? Asked with its rights, of the whole path. */
static int
try_as(const struct conf_creds *creds, const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct fsids fsids = fsids_begin(creds);
	int code = fd < 0 || connect(fd, (const struct sockaddr *)sun,
	    sizeof(*sun)) < 0 ? -errno : 0;

	fsids_end(&fsids);
	fd_close(&fd);
	return code;
}

static int
give_to(const struct notify_dir *dir, const char *name,
    const struct conf_creds *creds, const struct sockaddr_un *sun)
{
	if (!is_foreign(creds))
		return 0;
	/* Without CAP_CHOWN, senders are still looked at. */
	if (fchownat(dir->fd, name, creds->uid, (gid_t)-1,
		AT_SYMLINK_NOFOLLOW) < 0 &&
	    fchmodat(dir->fd, name, 0666, 0) < 0)
		return -errno;
	return try_as(creds, sun);
}

int
notify_socket_open(const struct notify_dir *dir, uint64_t number,
    const struct conf_creds *creds, int *ret_fd, char **ret_path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char *path = NULL;
	int fd, code;

	if (asprintf(&path, "%s/%llu", dir->path,
	    (unsigned long long)number) < 0)
		return -ENOMEM;
	if (strlen(path) >= sizeof(sun.sun_path)) {
		free(path);
		return -ENAMETOOLONG;
	}
	strcpy(sun.sun_path, path);
	fd = code = open_socket();
	if (fd >= 0)
		code = bind_file(fd, &sun, mode_for(creds));
	if (code == 0) {
		code = give_to(dir, strrchr(path, '/') + 1, creds, &sun);
		if (code < 0)
			notify_socket_unlink(dir, path);
	}
	if (code < 0) {
		fd_close(&fd);
		free(path);
		return code;
	}
	*ret_fd = fd;
	*ret_path = path;
	return 0;
}

void
notify_socket_unlink(const struct notify_dir *dir, const char *name)
{
	if (name != NULL && *name == '/' && dir->fd >= 0)
		(void)unlinkat(dir->fd, strrchr(name, '/') + 1, 0);
}

int
notify_socket_open_abstract(int *ret_fd, char **ret_name)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	static unsigned serial;
	uint64_t random = 0;
	char *name = NULL;
	int fd, code;

	/* Only has to be new, which the serial number sees to even when there
	   is no randomness yet, early in a boot; it is no secret. */
	(void)!getrandom(&random, sizeof(random), GRND_NONBLOCK);
	if (asprintf(&name, "@clusterd/%d/%u/%016llx", (int)getpid(), serial++,
	    (unsigned long long)random) < 0)
		return -ENOMEM;
	memcpy(sun.sun_path + 1, name + 1, strlen(name) - 1);

	fd = code = open_socket();
	if (fd >= 0)
		code = bind(fd, (struct sockaddr *)&sun,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
		    strlen(name))) < 0 ? -errno : 0;
	if (code < 0) {
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
notify_socket_swallow(int fd)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred)) +
		    CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control;
	struct msghdr msg = {
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	(void)RAW(recvmsg, fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
}
