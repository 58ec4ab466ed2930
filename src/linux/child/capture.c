#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "linux/child/capture.h"

/* False: the time is over. */
static bool
wait_for(int fd, struct mono deadline)
{
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t ms = mono_ms_between(mono_now(), deadline);

		if (ms <= 0)
			return false;
		if (poll(&pfd, 1, ms < INT32_MAX ? (int)ms : INT32_MAX) > 0)
			return true;
	}
}

static int
read_to_end(int fd, size_t max, struct mono deadline, struct strbuf *sb)
{
	char bytes[16384];

	for (;;) {
		ssize_t n;

		if (!wait_for(fd, deadline))
			return -ETIMEDOUT;
		n = read(fd, bytes, sizeof(bytes));
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0 && (size_t)n > max - sb->len)
			return -EFBIG;
		if (n > 0)
			strbuf_add(sb, bytes, (size_t)n);
		if (sb->failed)
			return -ENOMEM;
	}
}

static int
start(char *const argv[], int out, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t defaults;
	int code;

	if (posix_spawn_file_actions_init(&actions) != 0)
		return -ENOMEM;
	if (posix_spawnattr_init(&attr) != 0) {
		posix_spawn_file_actions_destroy(&actions);
		return -ENOMEM;
	}
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	code = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO,
	    "/dev/null", O_RDONLY, 0);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions,
		    STDERR_FILENO, STDOUT_FILENO);
	if (code == 0)
		code = posix_spawn_file_actions_adddup2(&actions, out,
		    CAPTURE_FD);
	if (code == 0)
		code = posix_spawnattr_setsigdefault(&attr, &defaults);
	if (code == 0)
		code = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
		    POSIX_SPAWN_SETSIGDEF);
	if (code == 0)
		code = posix_spawnp(ret_pid, argv[0], &actions, &attr, argv,
		    environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&actions);
	return -code;
}

/* The end of the child, which is killed if it takes too long. 0: with status 0. */
static int
finish(pid_t pid, struct mono deadline, bool kill_it)
{
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), status = 0;

	if (kill_it || (pidfd >= 0 && !wait_for(pidfd, deadline))) {
		(void)kill(-pid, SIGKILL);
		kill_it = true;
	}
	fd_close(&pidfd);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (kill_it)
		return -ETIMEDOUT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static const char *
words_of(int code)
{
	return code == -ETIMEDOUT ? "it does not come to an end" :
	    code == -EFBIG ? "it says too much" :
	    code == -EIO ? "it has failed" : strerror(-code);
}

int
capture(char *const argv[], size_t max, struct mono deadline,
    char **ret_text, size_t *ret_len, struct error *err)
{
	const struct sigaction by_default = { .sa_handler = SIG_DFL };
	struct sigaction before;
	struct strbuf sb = STRBUF_INIT;
	int pipe_fds[2] = { -1, -1 }, out = -1, code, end;
	pid_t pid = 0;

	/* We may have been started by somebody who ignores it: there would be nobody
	   to wait for. */
	(void)sigaction(SIGCHLD, &by_default, &before);
	code = pipe2(pipe_fds, O_CLOEXEC) < 0 ? -errno : 0;
	/* Another than the child's, which would be closed. */
	if (code == 0) {
		out = fcntl(pipe_fds[1], F_DUPFD_CLOEXEC, CAPTURE_FD + 1);
		code = out < 0 ? -errno : start(argv, out, &pid);
	}
	fd_close(&pipe_fds[1]);
	fd_close(&out);
	if (code == 0) {
		code = read_to_end(pipe_fds[0], max, deadline, &sb);
		end = finish(pid, deadline, code < 0);
		if (code == 0)
			code = end;
	}
	fd_close(&pipe_fds[0]);
	(void)sigaction(SIGCHLD, &before, NULL);
	if (code == 0) {
		*ret_len = sb.len;
		*ret_text = strbuf_take(&sb);
		code = *ret_text != NULL ? 0 : -ENOMEM;
	}
	strbuf_free(&sb);
	return code < 0 ? error_set(err, code, "%s: %s", argv[0],
	    words_of(code)) : 0;
}
