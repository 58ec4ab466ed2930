#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/socket/epoll_enter.h"

/* epoll_ctl(2) waits for who uses the instance, which is the worker. */
#define AWAIT_MS 20

/* Until it has ended; one that is held up is killed. */
static int
await(pid_t pid)
{
	struct pollfd end = {
		.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN,
	};
	siginfo_t info = { .si_status = 1 };

	if (poll(&end, 1, AWAIT_MS) != 1 ||
	    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		(void)kill(pid, SIGKILL);
	fd_close(&end.fd);
	return info.si_pid == pid && info.si_status == 0 ? 0 : -ECANCELED;
}

int
epoll_enter(const struct epoll_entry *entries, size_t n, int fd)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : await(pid);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(1);
	for (size_t i = 0; i < n; i++) {
		const struct epoll_entry *e = &entries[i];
		struct epoll_event event = {
			.events = e->events, .data.u64 = e->data,
		};
		int number = e->number;
		int epoll = fcntl(e->epoll, F_DUPFD_CLOEXEC, number + 1);

		/* The number may be that of `fd`, or of an instance that a
		   later entry needs: what stood there comes back after. */
		int saved = fcntl(number, F_DUPFD_CLOEXEC, number + 1);

		if (epoll < 0 || dup2(fd, number) != number ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event) < 0)
			_exit(1);
		if (saved >= 0)
			(void)dup2(saved, number);
	}
	_exit(0);
}
