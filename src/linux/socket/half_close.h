/*
 * Ending a connection of another process as if its client had: the server reads
 * the end of the file, and closes it.
 */
#ifndef LINUX_SOCKET_HALF_CLOSE_H
#define LINUX_SOCKET_HALF_CLOSE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/worker/drain.h"
#include "linux/process/looker.h"

#define HALF_CLOSE_MAX	32

/* A connection, who has it, and as what it was seen. */
struct half_close_of {
	pid_t pid;
	int fd;
	uint64_t ino;
	struct drain_conn conn;
};

/*
 * Of each of the sockets, of which there are HALF_CLOSE_MAX at most, if nothing
 * has moved since it was seen. Nothing goes to the client for that; what it sends
 * until the server has closed is still read, before the end of the file, and can
 * be answered (tcp_recvmsg() in net/ipv4). -EAGAIN: something has moved, or the
 * descriptor is another one by now; -EPERM: it may not be taken, as inspect.h has
 * it; other -errno: that is ret_codes[]. -errno: as of looker_ask(), by which it
 * is done.
 */
int half_close(const struct looker_whom *whom, const struct half_close_of *of,
    size_t n, int *ret_codes);

#endif
