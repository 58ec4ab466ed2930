/* What waits in a lane until a worker takes it. */
#ifndef LINUX_SOCKET_LANE_QUEUE_H
#define LINUX_SOCKET_LANE_QUEUE_H

#include <stdint.h>

/*
 * Connections in the accept queue of a listening TCP socket, and how many it
 * may hold. Half-open ones are not among them (sockdiag.h has those of the port;
 * of which of its lanes, nobody tells). -errno; -EINVAL: it does not listen. Unix
 * listeners: sockdiag_unix_one().
 */
int lane_queue_tcp(int fd, uint32_t *ret_n, uint32_t *ret_max);

/*
 * Resets them, as they are now, without a stop to the listening: the order of
 * the group stays, and nothing is moved to wherever the kernel likes
 * (net.ipv4.tcp_migrate_req). Waits for some milliseconds at most, and only where
 * somebody else that has the socket takes one. *ret_n: how many were reset, also
 * of those of which others were not (-errno).
 */
int lane_queue_reset_tcp(int fd, uint32_t *ret_n);

/*
 * Memory that the datagrams in a UDP socket's receive queue take, with the
 * kernel's overhead (and, until the queue is empty, some of those that were
 * read): 0 if and only if there is none. SIOCINQ knows the first one alone, and
 * says 0 for an empty datagram. -errno.
 */
int lane_queue_udp(int fd, uint32_t *ret_bytes);

#endif
