/* Which TCP port a process listens on, as /proc knows it. */
#ifndef LINUX_PROCESS_LISTENING_H
#define LINUX_PROCESS_LISTENING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct address;

/* Where the socket of that inode listens, in our network; false: it does not,
   by TCP. */
bool listening_find(uint64_t ino, struct address *ret_address);

/* A port on which the process or a descendant listens; false: there is none, or
   it cannot be looked at. To be called within inspect_begin(). */
bool listening_port(pid_t leader, uint16_t *ret_port);

#endif
