/* What the kernel's settings let a socket have. */
#ifndef LINUX_SOCKET_SOCKET_LIMITS_H
#define LINUX_SOCKET_SOCKET_LIMITS_H

#include <stdbool.h>
#include <stddef.h>

/* The kernel's upper bound of a backlog (net.core.somaxconn); 0: unknown. */
unsigned socket_somaxconn(void);

/* How many bytes of programs a socket may have (net.core.optmem_max); 0:
   unknown. */
size_t socket_optmem_max(void);

/* Who ends a handshake at a full queue is reset, and not ignored
   (net.ipv4.tcp_abort_on_overflow)? */
bool socket_aborts_on_overflow(void);

#endif
