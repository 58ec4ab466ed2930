/* Who has a lane, and waits on it. */
#ifndef DAEMON_ADOPT_ADOPT_HELD_H
#define DAEMON_ADOPT_ADOPT_HELD_H

#include <stdbool.h>
#include <stdint.h>

struct listener;
struct orphans;
struct worker;

/* How many descriptors, from FD_PROTOCOL_FIRST on, are none of the worker's own
   doing: those that it was started with, unless it has closed those and got one
   again for a socket of its own. */
int adopt_n_given(const struct worker *worker);

/* Has some process of the worker's the socket, by a number of its own doing?
   True also where that cannot be seen, as before it has executed. */
bool adopt_holds_inode(const struct worker *worker, uint64_t ino);

/* Has one that has left its parent, whoever's it was, the socket? As above. */
bool adopt_is_escaped(struct orphans *orphans, const struct worker *worker,
    uint64_t ino);

/* The same of the worker's lane; false: it has none. */
bool adopt_holds(const struct worker *worker, struct listener *listener);

/* Is it seen to wait on its lane, or can that not be seen? False: no lane. */
bool adopt_waits(const struct worker *worker, struct listener *listener);

/* Is it seen to wait for clients of another of its listeners? */
bool adopt_waits_but_for(const struct worker *worker, struct listener *listener);

#endif
