/*
 * shutdown(2) of TCP listeners: what it leaves behind on one that is to listen
 * again, and what else it is good for.
 */
#ifndef LINUX_SOCKET_SOCKET_SHUT_H
#define LINUX_SOCKET_SOCKET_SHUT_H

/*
 * Whoever sleeps in accept(2), poll(2) or the like of a listening socket looks
 * again. The kernel tells nobody of what it moves from one listener's queue to
 * another's (inet_csk_listen_stop() in net/ipv4, since Linux 5.14; some versions
 * do). Nothing else changes.
 */
void socket_wake(int fd);

/*
 * Before a socket listens again: of one that was shut down twice the kernel
 * would shut each connection, too, as soon as it comes. What is in order, or
 * listens, stays as it is.
 */
void socket_unshut(int fd);

#endif
