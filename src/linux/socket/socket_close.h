/*
 * Sockets that others use, or send to: nobody holds us up by what he sends, or by
 * the lock of the socket. Whoever has it may keep that for as long as he likes, by a
 * call that copies from memory which is not there; and getsockname(2),
 * getpeername(2), listen(2), shutdown(2), and setsockopt(2) of nearly everything,
 * also where it would change nothing, wait for it, where SIGKILL ends nothing. Most
 * of getsockopt(2), poll(2) and close(2) of one of several do not.
 */
#ifndef LINUX_SOCKET_SOCKET_CLOSE_H
#define LINUX_SOCKET_SOCKET_CLOSE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Close *fd, -1 is fine, without waiting for anybody: whoever had it too may
 * have set SO_LINGER, which stays as it is, and what waits in a Unix socket, or in the connections
 * that wait at one, may be descriptors whose end others hold up. *fd is -1
 * then; errno is kept.
 */
void socket_close(int *fd);

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
