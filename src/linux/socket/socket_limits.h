/* What the kernel's settings let a socket have. */
#ifndef LINUX_SOCKET_SOCKET_LIMITS_H
#define LINUX_SOCKET_SOCKET_LIMITS_H

#include <stddef.h>

/* The kernel's upper bound of a backlog (net.core.somaxconn); 0: unknown. */
unsigned socket_somaxconn(void);

/* How many bytes of programs a socket may have (net.core.optmem_max); 0:
   unknown. */
size_t socket_optmem_max(void);

#endif
