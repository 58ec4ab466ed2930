/*
 * Entering a socket into another process's epoll instance as that process would
 * have done it: an entry is known by the open file and the descriptor's number
 * (epoll_ctl(2)), and the number must be the other's, or it could not change or
 * remove it.
 */
#ifndef LINUX_SOCKET_EPOLL_ENTER_H
#define LINUX_SOCKET_EPOLL_ENTER_H

#include <stddef.h>
#include <stdint.h>

struct epoll_entry {
	int epoll;		/* our duplicate of the instance */
	int number;		/* of the socket, over there */
	uint32_t events;
	uint64_t data;
};

/* Of more, -E2BIG. */
#define EPOLL_ENTRIES_MAX	64

/*
 * Enter `fd`. A child does it, because the numbers may be in use here; it is
 * waited for, a short time, and reaped like any other of linux/process/helper.
 * It may be held up for ever, by whoever uses the instance, and has nothing of ours
 * open then but this. -errno: it could not be made, or did not succeed.
 */
int epoll_enter(const struct epoll_entry *entries, size_t n, int fd);

#endif
