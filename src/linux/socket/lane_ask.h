/*
 * Which socket is at a position of a reuseport group? The kernel does not tell,
 * but it can be seen, and nobody is disturbed: a SYN of our own, which the
 * group's program sends to that position (core/sockets/cbpf_question.h), is
 * dropped there for its time to live, before anything comes of it, and the
 * kernel counts for each socket what it has dropped. TCP; over the loopback
 * interface. Needs no privilege.
 */
#ifndef LINUX_SOCKET_LANE_ASK_H
#define LINUX_SOCKET_LANE_ASK_H

#include <stdint.h>

/*
 * From now on the socket drops such SYNs, and nobody's else. *ret_old: what to
 * give back when all was asked. -errno.
 */
int lane_ask_begin(int fd, int *ret_old);
void lane_ask_end(int fd, int old);

/* Ask; the group is that of `fd`. -errno; -EISCONN: it was answered by somebody
   who does not drop it. */
int lane_ask_send(int fd, unsigned position);

/* How many packets the socket has dropped, modulo 2^32. -errno. */
int lane_ask_dropped(int fd, uint32_t *ret_n);

#endif
