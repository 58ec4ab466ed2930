/* Who has the address that a listener is to have. Of daemon/sockets. */
#ifndef DAEMON_SOCKETS_LISTENER_HOLDER_H
#define DAEMON_SOCKETS_LISTENER_HOLDER_H

#include <stdbool.h>

struct address;
struct error;

/*
 * Add to the words, which say that it is taken, by whom: as far as can be seen,
 * in a second; `quick`: in some milliseconds, and without a look at anybody's
 * memory, which may have to be waited for.
 */
void listener_holder_tell(const struct address *address, bool quick,
    struct error *err);

#endif
