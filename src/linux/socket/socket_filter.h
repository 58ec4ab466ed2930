/*
 * What of all that comes a listening socket gets: what it ignores, and the
 * program of its reuseport group.
 */
#ifndef LINUX_SOCKET_SOCKET_FILTER_H
#define LINUX_SOCKET_SOCKET_FILTER_H

#include <stdbool.h>
#include <stddef.h>

struct sock_filter;

/*
 * No SYN is answered any more, or again; whoever is in a handshake or in the
 * queue stays there. Connections inherit the filter, which means nothing to
 * them. TCP. -errno; -EEXIST: it has a filter that its server has set, which
 * stays; -ENOENT: it was not ignoring them in this way.
 */
int socket_ignore_syns(int fd, bool on);

/*
 * Nothing that comes to the listening socket is heard any more, or again: no SYN
 * gets an answer, and handshakes do not end. What is in its queue stays there.
 * Takes no privilege. TCP. -errno; -ENOPROTOOPT: the kernel cannot do it.
 */
int socket_ignore_all(int fd, bool on);

/*
 * The same by a filter, which the kernel takes without a key for each address.
 * A handshake that ends in the very instant in which it is set may inherit it,
 * and hears nothing then. -errno, as of socket_ignore_syns().
 */
int socket_ignore_segments(int fd, bool on);

/* No datagram comes any more, or again; those in the buffer stay, and so does a
   filter of the server's. -errno; -EACCES: it has an extended one. */
int socket_ignore_datagrams(int fd, bool on);

/*
 * Let a socket that does not listen yet have a reuseport group, in which it is
 * alone, with a program that always finds it; or with the eBPF program that has this
 * descriptor, if that is not -1, which saves the kernel making one. Else one that begins to listen
 * without SO_REUSEPORT gets its group, without any program, at the moment when
 * a second one joins it. It cannot listen beside others then. TCP. -errno.
 */
int socket_found_group(int fd, int program);

/*
 * Around the attaching of a program to the group of a listening socket. If its
 * holder has shut it down, it would get the program for itself, and could not
 * join the others again (EADDRINUSE); without SO_REUSEPORT it refuses it
 * (-EINVAL). In between, what the kernel finds this socket for is its own, past
 * any program: all that comes for the first one in the kernel's chain of an
 * address, nothing for the others. Not for datagrams, whose sockets cannot be shut
 * down, and whose flows are known to lanes that take no new ones.
 */
void socket_begin_attach(int fd);
void socket_end_attach(int fd);

/* The program of the group is one that finds who has that place, from 0, in the order
   in which they joined it. Of a socket that is in none, and has SO_REUSEPORT: it has
   a group of its own from now on. -errno. */
int socket_attach_place(int fd, unsigned place);

/* Attach a classic BPF program to the socket's reuseport group; it takes
   another one's place at once. -errno; -ENOMEM: larger than
   socket_optmem_max(). */
int socket_attach_cbpf(int fd, const struct sock_filter *code, size_t n);

#endif
