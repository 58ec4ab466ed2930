#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "linux/process/birth.h"
#include "linux/process/raw_call.h"

static bool
shares_memory(void)
{
	return RAW_CALLS && !BIRTH_WATCHED && getenv("CLUSTERD_FORK") == NULL;
}

pid_t
birth_without_copies(int (*fn)(void *ctx), void *ctx, void *top)
{
	pid_t pid;

	if (!shares_memory())
		return -ENOTSUP;
	pid = clone(fn, top, CLONE_VM | CLONE_FILES | SIGCHLD, ctx);
	return pid < 0 ? -errno : pid;
}

pid_t
birth(int (*fn)(void *ctx), void *ctx, void *top)
{
	pid_t pid;

	if (top != NULL && shares_memory()) {
		pid = clone(fn, top, CLONE_VM | SIGCHLD, ctx);
		if (pid > 0)
			return pid;
		/* Who refuses this kind may allow the other: a sandbox. */
		if (errno != EINVAL && errno != EPERM && errno != ENOSYS)
			return -errno;
	}
	pid = fork();
	if (pid == 0)
		_exit(fn(ctx));
	return pid < 0 ? -errno : pid;
}
