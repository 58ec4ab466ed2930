#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/executing.h"

static bool
has_no_program(pid_t pid)
{
	unsigned long size, code;
	char path[32], text[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return sscanf(text, "%lu %*u %*u %lu", &size, &code) == 2 && size > 0 &&
	    code == 0;
}

bool
executing_is(pid_t pid)
{
	/* Where it says so of ourselves, it has no such numbers, as in a sandbox with
	   a /proc of its own. */
	static enum { NOT_ASKED, TELLS, TELLS_NOT } statm;

	if (statm == NOT_ASKED)
		statm = has_no_program(getpid()) ? TELLS_NOT : TELLS;
	return statm == TELLS && has_no_program(pid);
}
