/*
 * Ending a connection of another process as if its client had: the server reads
 * the end of the file, and closes it.
 */
#ifndef LINUX_SOCKET_HALF_CLOSE_H
#define LINUX_SOCKET_HALF_CLOSE_H

#include <stdint.h>
#include <sys/types.h>

#include "core/worker/drain.h"

/*
 * The socket with inode `ino` that the process has as `fd`, if nothing has moved
 * since `conn` was seen. Nothing goes to the client for that; what it sends until
 * the server has closed is still read, before the end of the file, and can be
 * answered (tcp_recvmsg() in net/ipv4). -EAGAIN: something has moved, or the
 * descriptor is another one by now; -EPERM: it may not be taken, as inspect.h has
 * it; other -errno. The process stands still meanwhile, and all others that have the
 * socket: whoever closed it while we have it would hear of it again.
 */
int half_close(pid_t pid, int fd, uint64_t ino, const struct drain_conn *conn);

#endif
