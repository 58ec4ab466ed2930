#include <sys/epoll.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "linux/epoll_enter.h"

int
epoll_enter(const struct epoll_entry *entries, size_t n, int fd)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid < 0 ? -errno : 0;
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

		if (epoll >= 0 && dup2(fd, number) == number)
			(void)epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event);
		if (saved >= 0)
			(void)dup2(saved, number);
	}
	_exit(0);
}
