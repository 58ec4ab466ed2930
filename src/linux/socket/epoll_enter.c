#include <sys/epoll.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/process/helper.h"
#include "linux/socket/epoll_enter.h"

/* epoll_ctl(2) waits for who uses the instance, which is the worker. */
#define AWAIT_MS 20

/* Until it has ended; one that is held up is killed. */
static int
await(int pidfd)
{
	struct pollfd end = { .fd = pidfd, .events = POLLIN };
	siginfo_t info = { .si_status = 1 };

	if (poll(&end, 1, AWAIT_MS) != 1 || waitid(P_PIDFD, (id_t)pidfd,
	    &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		helper_kill(pidfd);
	fd_close(&end.fd);
	return info.si_pid != 0 && info.si_status == 0 ? 0 : -ECANCELED;
}

struct entering {
	const struct epoll_entry *entries;
	size_t n;
	int fd;
};

static void
enter(void *ctx)
{
	const struct entering *x = ctx;

	for (size_t i = 0; i < x->n; i++) {
		const struct epoll_entry *e = &x->entries[i];
		struct epoll_event event = {
			.events = e->events, .data.u64 = e->data,
		};
		int number = e->number;
		int epoll = fcntl(e->epoll, F_DUPFD_CLOEXEC, number + 1);

		/* The number may be that of `fd`, or of an instance that a
		   later entry needs: what stood there comes back after. */
		int saved = fcntl(number, F_DUPFD_CLOEXEC, number + 1);

		if (epoll < 0 || dup2(x->fd, number) != number ||
		    epoll_ctl(epoll, EPOLL_CTL_ADD, number, &event) < 0)
			_exit(1);
		if (saved >= 0)
			(void)dup2(saved, number);
	}
}

static int
compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* One that sleeps there for ever keeps nothing open but these. */
int
epoll_enter(const struct epoll_entry *entries, size_t n, int fd)
{
	struct entering x = { .entries = entries, .n = n, .fd = fd };
	int keep[EPOLL_ENTRIES_MAX + 1];
	size_t n_keep = 0;
	int pidfd;

	if (n > EPOLL_ENTRIES_MAX)
		return -E2BIG;
	keep[n_keep++] = fd;
	for (size_t i = 0; i < n; i++)
		keep[n_keep++] = entries[i].epoll;
	qsort(keep, n_keep, sizeof(keep[0]), compare);
	pidfd = helper_start(enter, &x, keep, n_keep);
	return pidfd < 0 ? pidfd : await(pidfd);
}
