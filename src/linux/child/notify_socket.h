/*
 * One sd_notify(3) socket per worker, so that nobody reports for another. It
 * has an abstract name: nothing to clean up, no directory that must be
 * writable, no full disk. Such names have no owner and no mode (unix(7)), so
 * every datagram's sender is looked at instead.
 */
#ifndef LINUX_CHILD_NOTIFY_SOCKET_H
#define LINUX_CHILD_NOTIFY_SOCKET_H

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
	uid_t uid;
	size_t len;
	char text[NOTIFY_MESSAGE_MAX + 1];
};

/*
 * Receive one; descriptors that came with it are closed (which is also the
 * answer that sd_notify_barrier(3) waits for). -EAGAIN: none there;
 * -EMSGSIZE: one was too long; -EBADMSG: one without a sender; else 0.
 */
int notify_socket_receive(int fd, struct notify_datagram *ret_datagram);

#endif
