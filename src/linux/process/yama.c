#include <sys/syscall.h>

#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/yama.h"

static bool
may_trace(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { { .effective = 0 } };

	return syscall(SYS_capget, &header, data) == 0 &&
	    (data[0].effective & 1u << CAP_SYS_PTRACE) != 0;
}

bool
yama_keeps_children_out(const char *scope_path)
{
	int fd = open(scope_path, O_RDONLY | O_CLOEXEC);
	char scope[2] = "";
	ssize_t n = fd >= 0 ? read(fd, scope, sizeof(scope)) : -1;

	fd_close(&fd);
	return n > 0 && scope[0] == '1' && (n == 1 || scope[1] == '\n') &&
	    !may_trace();
}
