/* What accepted connections inherit from a listening socket, carried over from
   the socket that a server has prepared to the lane that it gets instead. */
#ifndef LINUX_SOCKET_SOCKET_INHERIT_H
#define LINUX_SOCKET_SOCKET_INHERIT_H

#include <stdbool.h>

/*
 * Copy options from `from` to `to`, where they differ: TCP_NODELAY, SO_LINGER,
 * buffer sizes that were set, and so on. What `to` does not take is left out.
 */
void socket_inherit_options(int from, int to);

/*
 * The socket goes to another process, which is to find it as if nobody had had
 * it: the same options as in a new one (but for sizes of buffers, which cannot be
 * taken back), blocking, without the time limits of calls and the signals that
 * were asked for.
 */
void socket_forget_holder(int fd);

/* O_NONBLOCK, which is of the open file and so shared by whoever has it. */
bool socket_is_nonblocking(int fd);
void socket_set_nonblocking(int fd, bool on);

#endif
