#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/caps.h"
#include "linux/process/yama.h"

static int
open_sysctl(const char *sysctls, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", sysctls, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* Kernels without Yama have all else that is there. */
static bool
is_not_there(const char *sysctls)
{
	int fd = errno == ENOENT ? open_sysctl(sysctls, "ostype") : -1;
	bool there = fd >= 0;

	fd_close(&fd);
	return there;
}

enum yama
yama_for_children(const char *sysctls)
{
	char scope[2] = "";
	ssize_t n = -1;
	int fd;

	if (caps_has(CAPS_BIT(CAP_SYS_PTRACE)))
		return YAMA_NONE;
	fd = open_sysctl(sysctls, "yama/ptrace_scope");
	if (fd < 0)
		return is_not_there(sysctls) ? YAMA_NONE : YAMA_HIDDEN;
	n = read(fd, scope, sizeof(scope));
	fd_close(&fd);
	if (n <= 0)
		return YAMA_HIDDEN;
	return scope[0] == '1' && (n == 1 || scope[1] == '\n') ?
	    YAMA_ANCESTORS : YAMA_NONE;
}

bool
yama_lets_look(pid_t pid)
{
	char path[32];
	int fd;
	bool lets;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	lets = fd >= 0;
	fd_close(&fd);
	return lets;
}
