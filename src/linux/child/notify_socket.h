/*
 * One sd_notify(3) socket per worker, so that nobody reports for another. It
 * has an abstract name: nothing to clean up, no directory that must be
 * writable, no full disk. Such names have no owner and no mode (unix(7)), so
 * every datagram's sender is looked at instead.
 */
#ifndef LINUX_CHILD_NOTIFY_SOCKET_H
#define LINUX_CHILD_NOTIFY_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "core/worker/notify_message.h"

/*
 * Open and bind; *ret_name ('@' for the leading NUL, as NOTIFY_SOCKET has it)
 * and *ret_fd are the caller's. -errno.
 */
int notify_socket_open(int *ret_fd, char **ret_name);

struct notify_datagram {
	pid_t pid;	/* the sender; 0: in a pid namespace we cannot see */
	bool descriptors;	/* come with it */
	size_t len;
	char text[NOTIFY_MESSAGE_MAX + 1];
};

/*
 * Look at the next one, which stays. -EAGAIN: none is there; -EMSGSIZE: it is
 * too long; -EBADMSG: it has no sender; else 0. What is said of descriptors is
 * true of those, too.
 */
int notify_socket_peek(int fd, struct notify_datagram *ret_datagram);

/* Take out the next one, which must have come without descriptors: to close a
   stranger's could take as long as he likes. */
void notify_socket_drop(int fd);

/* The same for one with descriptors; `fd` is an int *. For a helper, whose end
   closes them, which is also the answer that sd_notify_barrier(3) waits for. */
void notify_socket_swallow(void *fd);

#endif
