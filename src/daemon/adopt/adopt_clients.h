/* Who has clients of a listener: one that is at work for them waits for nobody, and
   serves it all the same. */
#ifndef DAEMON_ADOPT_ADOPT_CLIENTS_H
#define DAEMON_ADOPT_ADOPT_CLIENTS_H

#include <stdbool.h>

struct crew;
struct listener;
struct worker;

enum adopt_clients {
	ADOPT_CLIENTS_NONE,
	ADOPT_CLIENTS_SOME,
	ADOPT_CLIENTS_UNSURE,	/* the kernel tells nothing, or has too much to tell:
				   of many thousands who wait in a queue, say */
};

/*
 * Has anybody taken a connection of the TCP listener, and not closed it yet? Those of
 * other listeners of the crew's with the same port are none. Looks for 20 ms at most.
 */
enum adopt_clients adopt_clients_of(const struct crew *crew,
    const struct listener *listener);

/* Has one of the worker's processes taken one? False: it was not seen. Of every address
   those count that other listeners with the same port have. */
bool adopt_has_taken(const struct worker *worker, struct listener *listener);

#endif
