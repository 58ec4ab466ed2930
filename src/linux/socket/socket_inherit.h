/*
 * What a socket was set up with, carried over to another one: from what a server
 * has prepared to the lane that it gets instead, and from a new socket to a lane
 * that somebody has used.
 */
#ifndef LINUX_SOCKET_SOCKET_INHERIT_H
#define LINUX_SOCKET_SOCKET_INHERIT_H

#include <stdbool.h>
#include <stdint.h>

struct socket_values;

/* More options than there are. */
#define SOCKET_INHERIT_MAX 128

/* Called for each option that cannot be carried over: its number, below
   SOCKET_INHERIT_MAX, its name, and -errno. */
typedef void socket_lost_fn(void *ctx, unsigned option, const char *name,
    int code);

/*
 * Make the options of `to` those of `from`, where they differ: all that accepted
 * connections inherit, that a datagram is received with, or that accept(2) goes
 * by. Not the address with what belongs to it (SO_BINDTODEVICE, IPV6_V6ONLY,
 * SO_REUSEPORT), nor what the kernel does not tell: groups that were joined,
 * keys (TCP_MD5SIG), programs of the reuseport group. `lost` may be NULL.
 */
void socket_inherit_options(int from, int to, socket_lost_fn *lost, void *ctx);

/*
 * What a new socket has of these, asked once for many; for free(); NULL: no
 * memory. The other makes the options of `to` the same.
 */
struct socket_values *socket_values_of(int fd);
void socket_inherit_values(const struct socket_values *values, int to,
    socket_lost_fn *lost, void *ctx);

/*
 * Multicast groups that the socket has joined: all are left. As far as the
 * kernel lists them (/proc/net/igmp, igmp6).
 */
void socket_leave_groups(int fd);

/* O_NONBLOCK, which is of the open file and so shared by whoever has it. */
bool socket_is_nonblocking(int fd);
void socket_set_nonblocking(int fd, bool on);

/* Nobody gets a signal about it any more (O_ASYNC, F_SETOWN). */
void socket_silence(int fd);

#endif
