#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/mono.h"
#include "base/num.h"
#include "base/str.h"
#include "linux/control/control_socket.h"
#include "linux/file/file.h"
#include "linux/keeper/keeper_share.h"
#include "linux/ledger/descriptors.h"

/* Clients beyond those that are served wait here. */
#define BACKLOG 1024

/* Two that start in one moment take turns; one that is held up for longer than this
   with the lock has been there first. */
#define LOCK_MS 1000
#define LOCK_SUFFIX ".lock"

/* Can nobody else have it? */
static bool
is_own(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid();
}

/* Whoever has the lock says so; nobody can tell of such a lock who that is. */
static void
put_holder(int fd)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d\n", (int)keeper_pid());

	/* Where that is not to be had, as on a full disk, the file is empty. */
	if (ftruncate(fd, 0) == 0)
		(void)!pwrite(fd, text, (size_t)len, 0);
}

/* 0: whoever has it has not said so yet, or could not. -1: it is no clusterd's. */
static pid_t
holder(int fd)
{
	char text[16];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	size_t digits;
	uint64_t pid;

	text[n > 0 ? n : 0] = '\0';
	digits = strspn(text, "0123456789");
	if (text[digits] == '\0')
		return 0;
	if (text[digits] != '\n')
		return -1;
	text[digits] = '\0';
	return num_parse(text, 1, INT_MAX, &pid) ? (pid_t)pid : -1;
}

static bool
is_alive(pid_t pid)
{
	return pid > 0 && (kill(pid, 0) == 0 || errno == EPERM);
}

static bool
is_same_file(int fd, int other)
{
	struct stat st, there;

	return fd != other && fstat(fd, &st) == 0 &&
	    fstat(other, &there) == 0 && st.st_dev == there.st_dev &&
	    st.st_ino == there.st_ino;
}

/* A supervisor of ours was killed while it had the lock: what has it is in the table
   that we share, and is closed later. The number in it may be another's: in a container
   of its own, each one is 1. */
static bool
is_left(int fd)
{
	struct descriptors d;
	bool found = false;

	if (keeper_supervisor() == 0 || descriptors_list(NULL, &d) < 0)
		return false;
	for (size_t i = 0; i < d.n; i++)
		found |= is_same_file(fd, d.v[i]);
	free(d.v);
	return found;
}

/* -EBUSY with words, or -1. */
static int
refuse(pid_t pid, const char *name, struct error *err)
{
	if (pid == 0)
		return error_set(err, -EBUSY, "already running (another one "
		    "begins, and holds %s)", name);
	if (is_alive(pid))
		return error_set(err, -EBUSY, "already running, pid %d (it "
		    "begins, and holds %s)", (int)pid, name);
	return -1;
}

/*
 * A file beside it that only we can open, locked for as long as the start takes,
 * so that "nobody listens, then it is ours" is one step among all clusterds. A lock of
 * the directory anybody could have who may read it. Whoever has a loop to turn does
 * not wait for it.
 *
 * -EBUSY with words: another clusterd is about to listen there. It may have looked
 * already whether anybody does, so whoever went on without the lock would be a second
 * one, or be removed by it. -1: there is no lock to be had, or somebody has it who
 * is no clusterd that lives, and it goes without, as well as may be; as it does where
 * workers serve already, which are not to end for that.
 *
 * Of a lock, the kernel does not tell whose it is. A file that is empty is one of
 * whoever has just made it. One that was left behind has the number of a process that is
 * gone until whoever has locked it says so, and stays as it is under a lock of
 * another program: who stands still for a second between those two calls is taken
 * for that.
 */
static int
lock_place(const char *name, bool waits, struct error *err)
{
	struct mono end = mono_add_ms(mono_now(), waits ? LOCK_MS : 0);
	const struct timespec pause = { .tv_nsec = 5000000 };
	pid_t pid = -1;
	bool last;

	do {
		struct flock lock = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET,
		};
		int fd;

		/* Whoever was kept from the processor looks again after that. */
		last = !mono_before(mono_now(), end);
		fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
		    O_NONBLOCK, 0600);
		if (fd < 0)
			return -1;
		if (!is_own(fd)) {
			fd_close(&fd);
			return -1;
		}
		if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
			/* Else there are no locks. */
			pid = errno == EAGAIN || errno == EACCES ?
			    holder(fd) : -1;
			if (file_has_name(fd, name) && is_left(fd))
				return fd;
		} else if (file_has_name(fd, name)) {
			put_holder(fd);
			return fd;
		} else {
			pid = -1;
		}
		/* Somebody starts, or has just removed it. */
		fd_close(&fd);
		if (!last)
			(void)nanosleep(&pause, NULL);
	} while (!last);
	return waits && keeper_supervisor() == 0 ? refuse(pid, name, err) : -1;
}

static void
unlock_place(int *fd, const char *name)
{
	if (*fd >= 0)
		(void)unlink(name);
	fd_close(fd);
}

/* The credentials are those of whoever called listen(2) (unix(7)). */
static pid_t
listener_pid(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	return peer.pid;
}

/* A link to a socket beside it, as control_socket_also() makes them? */
static bool
is_second_name(const char *path)
{
	char target[NAME_MAX + 1];
	ssize_t n = readlink(path, target, sizeof(target));

	return n > 0 && memchr(target, '/', (size_t)n) == NULL;
}

/* 0: there is no file (any more) that somebody listens on. */
static int
clear_place(const struct sockaddr_un *sun, struct error *err)
{
	struct stat st;
	int fd, code;

	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : error_set(err, -errno,
		    "control socket %s: %s", sun->sun_path, strerror(errno));
	if (!S_ISSOCK(st.st_mode) && !is_second_name(sun->sun_path))
		return error_set(err, -EEXIST, "control socket %s: there is "
		    "a file of that name that is no socket", sun->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return error_set(err, -errno, "control socket: %s",
		    strerror(errno));
	code = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 ?
	    errno : 0;
	if (code == 0 || code == EAGAIN) {
		/* EAGAIN: its queue is full, so somebody has one. */
		pid_t pid = code == 0 ? listener_pid(fd) : 0;

		code = pid > 0 ? error_set(err, -EBUSY, "already running, "
		    "pid %d (it answers at %s)", (int)pid, sun->sun_path) :
		    error_set(err, -EBUSY, "already running (somebody listens "
		    "at %s)", sun->sun_path);
	} else if ((code == ECONNREFUSED || S_ISLNK(st.st_mode)) &&
	    unlink(sun->sun_path) == 0) {
		code = 0;
	} else if (code != ENOENT) {
		code = error_set(err, -code, "control socket %s: %s",
		    sun->sun_path, strerror(code));
	} else {
		code = 0;
	}
	fd_close(&fd);
	return code;
}

/*
 * fchmod(2) before the bind gives the file its mode from the first moment, less
 * the umask (net/unix/af_unix.c, unix_bind_bsd()); nobody can connect before
 * listen(2). So nothing is changed by a path that somebody may have exchanged,
 * but for the group, and lchown(2) follows no link.
 */
static int
bind_and_listen(const struct sockaddr_un *sun, uint32_t gid, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	mode_t mask;
	int code = 0;

	if (fd < 0)
		return -errno;
	mask = umask(0117);
	if (fchmod(fd, gid != UINT32_MAX ? 0660 : 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0)
		code = -errno;
	(void)umask(mask);
	if (code < 0) {
		fd_close(&fd);
		return code;
	}
	if (gid != UINT32_MAX &&
	    lchown(sun->sun_path, (uid_t)-1, (gid_t)gid) < 0)
		code = -errno;
	else
		code = keeper_listen(fd, BACKLOG);
	if (code < 0) {
		(void)unlink(sun->sun_path);
		fd_close(&fd);
		return code;
	}
	*ret_fd = fd;
	return 0;
}

static int
fill_sockaddr(const char *path, struct sockaddr_un *sun, struct error *err)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sun->sun_path))
		return error_set(err, -ENAMETOOLONG,
		    "control socket %s: the path is too long", path);
	strcpy(sun->sun_path, path);
	return 0;
}

/* Has it that name? */
static bool
is_bound_to(int fd, const struct sockaddr_un *sun)
{
	struct sockaddr_un bound = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(bound);

	return getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
	    bound.sun_family == AF_UNIX && len <= sizeof(bound) &&
	    strncmp(bound.sun_path, sun->sun_path,
		sizeof(sun->sun_path)) == 0;
}

/* The directory is locked, and the socket there. */
static int
add_name(struct control_socket *s, const char *also, struct error *err)
{
	struct sockaddr_un sun;
	char *name = strdup(also);
	int code = fill_sockaddr(also, &sun, err);

	if (name == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	if (code == 0)
		code = clear_place(&sun, err);
	if (code == 0 && symlink(str_base_name(s->path), also) < 0)
		code = error_set(err, -errno, "control socket %s: %s", also,
		    strerror(errno));
	if (code < 0) {
		free(name);
		return code;
	}
	s->also = name;
	return 0;
}

/* It is reached by the first name, too, and the next reload tries again: only one
   that somebody else has is an error. */
static int
add_name_if_possible(struct control_socket *s, const char *also,
    struct error *err)
{
	struct error why = ERROR_INIT;
	int code = add_name(s, also, &why);

	if (code == -EBUSY)
		error_set(err, code, "%s", error_text(&why));
	error_clear(&why);
	return code == -EBUSY ? code : 0;
}

static void
drop_name(struct control_socket *s)
{
	char target[NAME_MAX + 1];
	ssize_t n;

	if (s->also == NULL)
		return;
	n = readlink(s->also, target, sizeof(target));
	if (n > 0 && (size_t)n == strlen(str_base_name(s->path)) &&
	    memcmp(target, str_base_name(s->path), (size_t)n) == 0)
		(void)unlink(s->also);
	free(s->also);
	s->also = NULL;
}

/* The second name that it has had. */
static char *
name_before(const char *path, const char *also)
{
	char target[NAME_MAX + 1];
	ssize_t n = also != NULL ? readlink(also, target, sizeof(target)) : -1;

	if (n <= 0 || (size_t)n != strlen(str_base_name(path)) ||
	    memcmp(target, str_base_name(path), (size_t)n) != 0)
		return NULL;
	return strdup(also);
}

/* That of a supervisor before, with all who wait in its queue. False: there is
   none that serves. */
static bool
take_over(const char *path, const char *also, struct control_socket *ret_socket)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct sockaddr_un sun;
	int fd = keeper_kept_socket(&s.dev, &s.ino);

	if (fd < 0)
		return false;
	keeper_keep_socket(-1, 0, 0);
	s.fd = fd;
	s.path = strdup(path);
	if (s.path == NULL || fill_sockaddr(path, &sun, NULL) < 0 ||
	    !is_bound_to(fd, &sun) || !control_socket_is_there(&s)) {
		fd_close(&fd);
		free(s.path);
		return false;
	}
	s.also = name_before(path, also);
	keeper_keep_socket(fd, s.dev, s.ino);
	*ret_socket = s;
	return true;
}

int
control_socket_open(const char *path, const char *also, uint32_t gid,
    bool waits, struct control_socket *ret_socket, struct error *err)
{
	struct control_socket s = CONTROL_SOCKET_INIT;
	struct sockaddr_un sun;
	struct stat st;
	char *name;
	int lock, code = fill_sockaddr(path, &sun, err);

	if (code < 0)
		return code;
	if (waits && take_over(path, also, ret_socket))
		return 0;
	s.path = strdup(path);
	if (s.path == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	if (asprintf(&name, "%s" LOCK_SUFFIX, path) < 0) {
		free(s.path);
		return error_set(err, -ENOMEM, "out of memory");
	}
	lock = lock_place(name, waits, err);
	code = lock == -EBUSY ? lock : clear_place(&sun, err);
	/* Whoever has named the file otherwise has this one. */
	if (code == 0 && also != NULL)
		code = add_name_if_possible(&s, also, err);
	if (code == 0) {
		code = bind_and_listen(&sun, gid, &s.fd);
		if (code < 0)
			error_set(err, code, "control socket %s: %s", path,
			    strerror(-code));
	}
	if (code < 0)
		drop_name(&s);
	unlock_place(&lock, name);
	free(name);
	if (code < 0) {
		free(s.path);
		return code;
	}
	if (lstat(path, &st) == 0) {
		s.dev = st.st_dev;
		s.ino = st.st_ino;
		keeper_keep_socket(s.fd, s.dev, s.ino);
	}
	*ret_socket = s;
	return 0;
}

int
control_socket_also(struct control_socket *s, const char *also,
    struct error *err)
{
	struct stat st;
	char *name;
	int lock, code = 0;

	if (s->fd < 0 || (also == NULL && s->also == NULL) ||
	    (also != NULL && s->also != NULL &&
	    strcmp(also, s->also) == 0 && lstat(also, &st) == 0))
		return 0;
	if (asprintf(&name, "%s" LOCK_SUFFIX, s->path) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	lock = lock_place(name, false, NULL);
	drop_name(s);
	if (also != NULL)
		code = add_name(s, also, err);
	unlock_place(&lock, name);
	free(name);
	return code;
}

bool
control_socket_is_there(const struct control_socket *s)
{
	struct stat st;

	return s->fd >= 0 && lstat(s->path, &st) == 0 &&
	    st.st_dev == s->dev && st.st_ino == s->ino;
}

static void
remove_files(struct control_socket *s)
{
	drop_name(s);
	if (control_socket_is_there(s))
		(void)unlink(s->path);
}

void
control_socket_leave(struct control_socket *s)
{
	dev_t dev;
	ino_t ino;

	if (s->fd >= 0 && keeper_kept_socket(&dev, &ino) == s->fd)
		keeper_keep_socket(-1, 0, 0);
	remove_files(s);
}

void
control_socket_close(struct control_socket *s)
{
	control_socket_leave(s);
	fd_close(&s->fd);
	free(s->path);
	s->path = NULL;
}

/* SO_PEERGROUPS: the supplementary ones (unix(7)). */
static bool
in_group(int fd, gid_t gid)
{
	gid_t few[64], *groups = few;
	socklen_t len = sizeof(few);
	bool found = false;
	int code;

	code = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	if (code < 0 && errno == ERANGE) {
		groups = malloc(len);
		if (groups == NULL)
			return false;
		code = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len);
	}
	for (size_t i = 0; code == 0 && i < len / sizeof(*groups); i++)
		found |= groups[i] == gid;
	if (groups != few)
		free(groups);
	return found;
}

int
control_socket_accept(const struct control_socket *s, uint32_t gid,
    struct control_peer *ret_peer)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_peer = (struct control_peer){ .pid = 0, .uid = (uid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return fd;
	ret_peer->pid = peer.pid;
	ret_peer->uid = peer.uid;
	ret_peer->allowed = peer.uid == 0 || peer.uid == geteuid() ||
	    (gid != UINT32_MAX && (peer.gid == gid || in_group(fd, gid)));
	return fd;
}
