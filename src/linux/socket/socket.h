/*
 * Listening sockets. This is where a socket is bound.
 */
#ifndef LINUX_SOCKET_SOCKET_H
#define LINUX_SOCKET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/names/address.h"
#include "linux/socket/socket_options.h"

struct error;

/*
 * Bind and listen. On success the caller owns *ret_fd (close-on-exec) and
 * *ret_bound, the address with a port 0 resolved and "every address" as it
 * came out. -errno with words that name address and reason; -EADDRINUSE also
 * for a Unix path on which somebody listens.
 *
 * TCP: SO_REUSEADDR, so that connections in TIME_WAIT do not hinder a restart.
 * UDP: without it, because with it a stranger could take the port (ip(7)).
 * Unix: the file has mode 0 until the socket listens and mode and owner are
 * right, and gets a second name (unix_socket.h).
 */
int socket_listen(const struct address *address,
    const struct socket_options *options, int *ret_fd,
    struct address *ret_bound, struct socket_file *ret_file,
    struct error *err);

/*
 * The options of an address that an open socket takes as well: mark,
 * defer_accept, fastopen. Unless `all`, those that are none are left as they
 * are. -errno with the option in *ret_what.
 */
int socket_set_options(int fd, const struct address_options *options, bool all,
    const char **ret_what);

/* The interface that the socket is bound to. False: none. */
bool socket_interface(int fd, char name[16]);

/* What a server has set up that its address goes by: interface, freebind,
   transparent. The rest of it is left as it is. */
void socket_wishes(int fd, struct address_options *ret_options);

/* Change what can be changed of an open listener: backlog; mode and owner of a
   Unix listener's file, if it is still ours. -errno with words. */
int socket_adjust(int fd, const struct address *bound,
    const struct socket_file *file, const struct socket_options *options,
    struct error *err);

/* Remove a Unix listener's file if it is still the one we made. */
void socket_unlink(const struct address *bound, const struct socket_file *file);

/*
 * The address that a socket is bound to. -EAFNOSUPPORT or -EPROTOTYPE for
 * sockets that no configuration can ask for; other -errno. The caller frees
 * *ret_address.
 */
int socket_address(int fd, struct address *ret_address);

/* What `bind_only` left out. -errno. */
int socket_start_listening(int fd, unsigned backlog);

/*
 * Whether a socket of the same user may be bound beside this one although
 * their addresses overlap (SO_REUSEPORT). For the moment of the other's bind
 * only, so that nobody joins by accident; the kernel remembers it for the port,
 * though, and a process of our user that sets SO_REUSEPORT itself may join.
 */
void socket_let_beside(int fd, bool on);

/* UDP: the same with whoever has SO_REUSEADDR too, in no group with it. */
void socket_let_over(int fd, bool on);

/* UDP: it leaves its reuseport group, where the last one takes its place, and
   is found by its own address and peer alone. */
void socket_leave_group(int fd);

/* Empty: any. -errno; -EPERM: only who has CAP_NET_RAW may change it. */
int socket_set_interface(int fd, const char *name);

/* A new socket of the kind of `fd`, unbound, with the options of that address:
   the caller's. -errno. */
int socket_new_like(int fd, const struct address *address);

/* No more clients, whoever else holds the socket: what waits in its queue is
   reset, and new ones are refused. TCP. */
void socket_refuse(int fd);

/*
 * Handshakes do not end in the listening socket any more, if somebody waits in its
 * queue: what would end them is ignored, and said again by the client. For the
 * moments before socket_refuse(): the kernel resets, and cannot move, a connection
 * that is made in the very instant in which its listener ceases to listen
 * (inet_csk_reqsk_queue_add()). TCP. Ends with socket_set_backlog(), or the next
 * socket_start_listening().
 */
void socket_hold_handshakes(int fd);

/* Of one that listens: nothing else changes, in whatever use it is. Returns whether it
   does. */
bool socket_set_backlog(int fd, unsigned backlog);

/*
 * New clients are refused from now on, whoever else holds the socket, while what
 * waits in its queue, and handshakes that have begun, go on. TCP, IPv4 or IPv6.
 * Not to be undone without CAP_NET_RAW. -EPERM: it is bound to an interface, and
 * we have not; -errno.
 */
int socket_refuse_new(int fd);

/* Has it a peer? */
bool socket_is_connected(int fd);

/* The number by which /proc knows the socket; 0: none. */
uint64_t socket_inode(int fd);

/* Does it still listen? Whoever holds it may have shut it down. TCP. */
bool socket_is_listening(int fd);

/* The largest window that TCP knows: 2^16 - 1, scaled by 14 (RFC 7323). */
#define SOCKET_WINDOW_MAX (UINT16_MAX << 14)

/*
 * Leave a note on a listening socket, and see whether it is still there: who
 * shuts the socket down and listens again leaves no other trace. The kernel
 * forgets the bound of a window that was set then (tcp_disconnect() in
 * net/ipv4); the one that is set here bounds nothing. TCP. False: there is no
 * note on it.
 */
bool socket_note_listening(int fd);
bool socket_has_note(int fd);

#endif
