#include <sys/socket.h>
#include <sys/stat.h>

#include <stdint.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/socket/socket.h"
#include "linux/socket/socket_kept.h"
#include "linux/socket/sockdiag.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static bool
listens(int fd)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len) == 0 &&
	    value != 0;
}

/* Whose they are is known to nobody where the kernel has no such number: Linux
   before 5.14. */
static bool
is_elsewhere(int fd, const struct address *bound)
{
	uint64_t its = 0, ours = 0;
	socklen_t len = sizeof(its);
	int mine;

	if (bound->kind == ADDRESS_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &its, &len) < 0)
		return false;
	mine = socket_new_like(fd, bound);
	if (mine < 0 || getsockopt(mine, SOL_SOCKET, SO_NETNS_COOKIE, &ours,
	    &len) < 0)
		ours = its;
	fd_close(&mine);
	return its != ours;
}

bool
socket_kept_is_ours(int fd, const struct address *bound, const char **ret_why)
{
	struct stat st;
	const char *why = NULL;

	if (bound->kind != ADDRESS_UDP && !listens(fd))
		why = "it does not listen";
	else if (fstat(fd, &st) < 0 || st.st_uid != geteuid())
		why = "it is another user's";
	else if (is_elsewhere(fd, bound))
		why = "it is of another network namespace";
	if (why != NULL)
		*ret_why = why;
	return why == NULL;
}

bool
socket_kept_file(int fd, const struct address *bound,
    struct socket_file *ret_file)
{
	struct sockdiag diag = SOCKDIAG_INIT;
	struct sockdiag_unix u;
	struct stat st;
	bool found = lstat(bound->path, &st) == 0 && S_ISSOCK(st.st_mode);

	/* Where nobody can tell, it is believed. */
	if (found && sockdiag_open(&diag) == 0 &&
	    sockdiag_unix_one(&diag, socket_inode(fd), &u) == 0)
		found = u.bound && u.file_ino == (uint32_t)st.st_ino;
	sockdiag_close(&diag);
	if (found)
		*ret_file = (struct socket_file){
			.dev = st.st_dev, .ino = st.st_ino,
		};
	return found;
}
