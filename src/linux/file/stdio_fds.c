#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/file/stdio_fds.h"

/* Without waiting for whoever may be at the other end, and then as if it had
   been opened without that. */
static int
open_again(int fd, int flags)
{
	char path[32];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (again < 0)
		return -errno;
	if (fcntl(again, F_SETFL, flags & O_APPEND) < 0) {
		int code = -errno;

		fd_close(&again);
		return code;
	}
	return again;
}

int
stdio_reopen(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* A device that is no terminal may take it for more than it is. */
	if (!S_ISFIFO(st.st_mode) && !(S_ISREG(st.st_mode) &&
	    (flags & O_APPEND) != 0) && !isatty(fd))
		return -ENOTSUP;
	return open_again(fd, flags & (O_ACCMODE | O_APPEND));
}

int
stdio_endless(void)
{
	int ends[2];
	int both;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	both = open_again(ends[0], O_RDWR);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	return both;
}
