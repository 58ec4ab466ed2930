#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
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

/* The last byte; 0: there was none. */
static char
read_bytes(int fd)
{
	char byte, last = 0;
	ssize_t n;

	while ((n = read(fd, &byte, 1)) > 0 || (n < 0 && errno == EINTR))
		if (n > 0)
			last = byte;
	return last;
}

static int
die_of(int signo)
{
	(void)signal(signo, SIG_DFL);
	(void)raise(signo);
	return 128 + signo;
}

int
background_await(pid_t pid, int fd, bool *ret_logged)
{
	int status = 0;
	char last;

	pass_signals_on(pid);
	last = read_bytes(fd);
	*ret_logged = false;
	if (last == BACKGROUND_READY)
		return 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	*ret_logged = last == BACKGROUND_LOGS;
	return WIFSIGNALED(status) ? die_of(WTERMSIG(status)) :
	    WEXITSTATUS(status);
}

void
background_drop_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		(void)dup2(null, fd);
	if (null > STDERR_FILENO)
		fd_close(&null);
}
