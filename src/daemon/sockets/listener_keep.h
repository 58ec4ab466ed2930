/*
 * At a stop: the listeners' sockets, with all who wait in them, are put into the store
 * of the supervisor above, if it has one, for the next start. Of daemon/sockets.
 */
#ifndef DAEMON_SOCKETS_LISTENER_KEEP_H
#define DAEMON_SOCKETS_LISTENER_KEEP_H

#include <stdbool.h>

struct listener;

/* Is it to be kept, with all who come until the next start? */
bool listener_is_to_be_kept(const struct listener *listener);

/*
 * Put it into the store, unless it is not to be kept. False: it was not, and is closed
 * with us. True: ours are to be closed, and its file is to stay.
 */
bool listener_keep(struct listener *listener);

#endif
