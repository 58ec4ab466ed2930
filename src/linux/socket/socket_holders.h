/*
 * Who has an address that cannot be had: asked of the kernel (sock_diag(7)), and
 * then of the links in /proc/PID/fd, which does not wait for any process.
 */
#ifndef LINUX_SOCKET_SOCKET_HOLDERS_H
#define LINUX_SOCKET_SOCKET_HOLDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct address;

#define SOCKET_HOLDERS_MAX 8

struct socket_holders {
	pid_t pids[SOCKET_HOLDERS_MAX];	/* that have such a socket open,
					   ascending */
	size_t n;
	size_t more;	/* beyond those */
	bool known;	/* the kernel has such a socket … */
	uint32_t uid;	/* … of this user; (uint32_t)-1: it does not say */
};

/* What is found out within about `budget_ms` of CPU time. */
void socket_holders_find(const struct address *address, int64_t budget_ms,
    struct socket_holders *ret_holders);

#endif
