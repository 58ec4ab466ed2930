/* Sockets that others use, or send to: nobody holds us up by what he sends. */
#ifndef LINUX_SOCKET_SOCKET_CLOSE_H
#define LINUX_SOCKET_SOCKET_CLOSE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Close *fd, -1 is fine, without waiting for anybody: whoever had it too may
 * have set SO_LINGER, and what waits in a Unix socket, or in the connections
 * that wait at one, may be descriptors whose end others hold up. *fd is -1
 * then; errno is kept.
 */
void socket_close(int *fd);

/* The same for a duplicate of a socket that others go on to use: its SO_LINGER
   is theirs, but where close(2) may wait for a peer. */
void socket_close_copy(int *fd);

/* Descriptors that are sent over this Unix socket, and over those that are
   accepted from it, fail with the sender (SO_PASSRIGHTS, Linux 6.16). -errno:
   a kernel that cannot do that. */
int socket_refuse_descriptors(int fd);

/* As recv(2), without waiting, of a Unix stream; -errno. -EBADMSG, where they are
   not refused: there are descriptors among it, or right behind, or an urgent byte
   (MSG_OOB), which may hide some, and all of it is still there: to drop them,
   which receiving would do here, may take as long as the sender likes. */
ssize_t socket_receive(int fd, void *buf, size_t len);

#endif
