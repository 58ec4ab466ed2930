/*
 * The door of a listener: who is inside is served, and nobody new comes in. Of
 * daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LANES_DOOR_H
#define DAEMON_SOCKETS_LANES_DOOR_H

#include <stdbool.h>

struct listener;

/* TCP: new clients are refused, and those who are there are served. For good,
   and -errno: not, or not all. */
int lanes_door_refuse_new(struct listener *listener);

/*
 * TCP, UDP: SYNs and datagrams are ignored from now on, but for those of known
 * flows, where there is a program that knows them. Where filters are not
 * permitted, a lane is added for SYNs that hears nothing. -errno: they are not
 * ignored.
 */
int lanes_door_close(struct listener *listener);

/*
 * TCP, UDP: who comes from now on waits in a lane that nobody has, for the next start;
 * those who are in the others, or in a handshake, are served. -errno: they come to
 * the others as before.
 */
int lanes_door_wait(struct listener *listener);

/* No more. Who comes before steering knows of somebody who serves waits in the
   first lane, or, unless `in_first`, in one that the next worker takes. */
void lanes_door_open(struct listener *listener, bool in_first);

#endif
