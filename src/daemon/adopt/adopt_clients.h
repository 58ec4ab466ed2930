/* Who has clients of a listener: one that is at work for them waits for nobody, and
   serves it all the same. */
#ifndef DAEMON_ADOPT_ADOPT_CLIENTS_H
#define DAEMON_ADOPT_ADOPT_CLIENTS_H

#include <stdbool.h>

struct crew;
struct listener;
struct worker;

/*
 * Has anybody taken a connection of the TCP listener, and not closed it yet? Those of
 * other listeners of the crew's with the same port are none. False: also where the kernel
 * tells nothing, or has too much to tell: of many thousands who wait in a queue, say.
 */
bool adopt_is_at_work(const struct crew *crew, const struct listener *listener);

/* Has one of the worker's processes taken one? False: it was not seen. The port alone
   counts. */
bool adopt_has_taken(const struct worker *worker, struct listener *listener);

#endif
