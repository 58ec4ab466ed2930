/*
 * One sd_notify(3) socket per worker, so that nobody reports for another: a
 * file, which every client of that protocol can name; only where there can be
 * none an abstract name, which some take for a path. Who may write to the file
 * is the worker's user alone, where that is known; but root's workers may become
 * anybody, and an abstract name has no mode (unix(7)), so that every datagram's
 * sender is looked at as well.
 */
#ifndef LINUX_CHILD_NOTIFY_SOCKET_H
#define LINUX_CHILD_NOTIFY_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/worker/notify_message.h"

struct conf_creds;
struct notify_dir;

/*
 * Open and bind a file in `dir`, with this number for its name, for a worker
 * with these credentials; *ret_path and *ret_fd are the caller's. -EACCES: the
 * worker could not reach it there; -errno.
 */
int notify_socket_open(const struct notify_dir *dir, uint64_t number,
    const struct conf_creds *creds, int *ret_fd, char **ret_path);

/* The same with an abstract name ('@' for the leading NUL, as NOTIFY_SOCKET has
   it). -errno. */
int notify_socket_open_abstract(int *ret_fd, char **ret_name);

/* The name of an open one, as it was opened. -errno. */
int notify_socket_name(int fd, char **ret_name);

/* Remove the file, if it is one; NULL is fine. */
void notify_socket_unlink(const struct notify_dir *dir, const char *name);

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

/* The same for one with descriptors. For a helper, whose end closes them, which is
   also the answer that sd_notify_barrier(3) waits for. */
void notify_socket_swallow(int fd);

#endif
