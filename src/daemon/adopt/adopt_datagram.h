/*
 * Datagram servers that have a socket for each client: they connect the one that
 * they have bound and bind another, or bind another one and connect that.
 */
#ifndef DAEMON_ADOPT_ADOPT_DATAGRAM_H
#define DAEMON_ADOPT_ADOPT_DATAGRAM_H

struct ask;
struct error;
struct lane;

/*
 * The worker binds the address of its lane. It has connected it: the lane gets
 * another socket, and the worker keeps that one. 1: it still has it, to receive
 * from everybody, or a child that will connect it has, and it gets in *ret_fd
 * one for itself, the caller's to close. 0: it gets the lane. -EINTR: again later;
 * another -errno with words.
 */
int adopt_datagram(const struct ask *ask, struct lane *lane, int *ret_fd,
    struct error *err);

#endif
