/* The lanes of a listener, by slot. Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LANES_LIST_H
#define DAEMON_SOCKETS_LANES_LIST_H

struct lane;
struct listener;

/* One more, without a socket yet. NULL: no memory. */
struct lane *lanes_list_add(struct listener *listener);

/* The last one, which has none either, is there no more. */
void lanes_list_remove_last(struct listener *listener);

void lanes_list_free(struct listener *listener);

#endif
