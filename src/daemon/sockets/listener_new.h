/* The struct of a listener, without a socket. Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LISTENER_NEW_H
#define DAEMON_SOCKETS_LISTENER_NEW_H

struct address;
struct listener;

/* In no list; of both there is a copy. NULL: no memory. */
struct listener *listener_new(const char *app, const struct address *address);

/* What is open is closed. NULL is fine. */
void listener_free(struct listener *listener);

#endif
