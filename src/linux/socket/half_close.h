/*
 * Ending connections of another process as if their clients had: the server reads
 * the end of the file, and closes them.
 *
 * That takes the lock of the socket, which whoever has it keeps for as long as a
 * call of his copies from memory that does not come, and not even SIGKILL ends the
 * wait (see socket_close.h); and to copy a descriptor waits for a process that is in
 * the middle of an exec. So a child of ours does it, for which nobody waits.
 */
#ifndef LINUX_SOCKET_HALF_CLOSE_H
#define LINUX_SOCKET_HALF_CLOSE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/worker/drain.h"

/* A connection, who has it, and as what it was seen. */
struct half_close_of {
	pid_t pid;
	int fd;
	uint64_t ino;
	struct drain_conn conn;
};

/*
 * Of each of these sockets, if nothing has moved since it was seen, and the
 * descriptor is still that one. Nothing goes to the client for that; what it sends
 * until the server has closed is still read, before the end of the file, and can be
 * answered (tcp_recvmsg() in net/ipv4).
 *
 * The child is *child, which whoever reaps it need not tell of: as long as it has not
 * ended nothing is begun, -EBUSY. 0 at first. Where there can be none, or it may not
 * do what we may (yama.h), that is done here. 0: it is begun; else -errno, -EPERM:
 * it is not permitted, as inspect.h has it, which a child tells nobody.
 */
int half_close(const struct half_close_of *of, size_t n, pid_t *child);

#endif
