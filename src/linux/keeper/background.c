#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/keeper/background.h"

pid_t
background_fork(int *ret_fd)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		(void)setsid();
	else if (pid < 0)
		pid = -errno;
	*ret_fd = fd_take(&fds[pid == 0 ? 1 : 0]);
	fd_close(&fds[pid == 0 ? 0 : 1]);
	if (pid < 0)
		fd_close(ret_fd);
	return pid;
}

static volatile sig_atomic_t daemon_pid;

/* Closing the terminal is no "read the file again". */
static void
pass_on(int signo)
{
	(void)kill((pid_t)daemon_pid, signo == SIGHUP ? SIGTERM : signo);
}

static void
pass_signals_on(pid_t pid)
{
	static const int passed[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction action = { .sa_handler = pass_on };

	daemon_pid = pid;
	for (size_t i = 0; i < sizeof(passed) / sizeof(*passed); i++)
		(void)sigaction(passed[i], &action, NULL);
}

void
background_tell(int fd, char what, const char *text)
{
	char bytes[BACKGROUND_TEXT_MAX];
	int n = snprintf(bytes, sizeof(bytes), "%c%s", what, text);

	/* At once, or not at all. */
	if (n > 0)
		(void)!write(fd, bytes, (size_t)n < sizeof(bytes) ?
		    (size_t)n + 1 : sizeof(bytes));
}

static void
take(const char *bytes, struct background_told *told)
{
	if (bytes[0] == BACKGROUND_READY)
		told->ready = true;
	else if (bytes[0] == BACKGROUND_LOGS)
		snprintf(told->log, sizeof(told->log), "%s", bytes + 1);
	else if (bytes[0] == BACKGROUND_FAILED)
		snprintf(told->failed, sizeof(told->failed), "%s", bytes + 1);
}

static void
read_told(int fd, struct background_told *told)
{
	char bytes[BACKGROUND_TEXT_MAX];
	size_t len = 0;
	ssize_t n;

	/* A few words, once: byte by byte will do. */
	while ((n = read(fd, bytes + len, 1)) > 0 || (n < 0 && errno == EINTR)) {
		if (n < 0)
			continue;
		if (bytes[len] == '\0') {
			take(bytes, told);
			len = 0;
		} else if (len < sizeof(bytes) - 1) {
			len++;
		}
	}
}

static int
die_of(int signo)
{
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
	return 128 + signo;
}

int
background_await(pid_t pid, int fd, struct background_told *ret)
{
	int status = 0;

	*ret = (struct background_told){ .ready = false };
	pass_signals_on(pid);
	read_told(fd, ret);
	if (ret->ready)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFSIGNALED(status) ? die_of(WTERMSIG(status)) :
	    WEXITSTATUS(status);
}

void
background_drop_streams(int log)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null >= 0)
		(void)dup2(null, STDIN_FILENO);
	if (log >= 0) {
		(void)dup2(log, STDOUT_FILENO);
		(void)dup2(log, STDERR_FILENO);
	}
	if (null > STDERR_FILENO)
		fd_close(&null);
}
