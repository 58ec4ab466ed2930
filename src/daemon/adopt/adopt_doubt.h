/*
 * Does nobody serve a listener? Who has bound it or waits on it is seen from /proc at any
 * moment; who has it by the number that it was given may be at work, between two waits,
 * or not have come to all of his first ones. One who is at work for a client has that
 * client, for however long: the kernel tells of his connection, and as long as there is
 * one it is looked again, every 10 s in the end: it may be what a dead worker's child has
 * left. For the others, that nobody serves it is certain after several looks only, over
 * seconds, at each of which somebody of the crew waits for clients of another listener.
 *
 * What is wrong about it: a thread that comes to its first wait seconds after others have
 * come to theirs is taken for nobody. There is nothing that tells it from one that has no
 * business there, but that the worker is not ready (ready = notify). To wait for longer
 * would cost those their time who come to an address that nobody serves: they wait in a
 * lane, and are refused when it is closed. To be closed in error is worse, since it lasts
 * for as long as the generation; but to leave it open for good is what a server that binds
 * one address of several has to be spared.
 */
#ifndef DAEMON_ADOPT_ADOPT_DOUBT_H
#define DAEMON_ADOPT_ADOPT_DOUBT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mono.h"

struct crew;
struct listener;
struct orphans;

/* Does somebody wait for its clients, or has it bound, of whatever generation? Looks at
   every worker. */
bool adopt_is_served(struct orphans *orphans, const struct crew *crew,
    struct listener *listener);

/* Is there a process of the crew's that has left its parent, and so is not looked
   through, or any such one that has a lane of the listener? */
bool adopt_is_escaped_by_any(struct orphans *orphans, const struct crew *crew,
    struct listener *listener);

/* May a worker serve it by a number that it was given? */
bool adopt_may_be_served(const struct crew *crew, const struct listener *listener);

/*
 * One look more, if it is time for it: is it certain now? If not, *ret_ms says in how many
 * milliseconds to ask again; -1: somebody waits for its clients, or it has been looked
 * often enough at workers that were at work each time, until adopt_doubt_anew(). Looks at
 * one worker at least, and at no other after `end`, nor for clients.
 */
bool adopt_doubt_ends(struct orphans *orphans, const struct crew *crew,
    struct listener *listener, struct mono end, int64_t *ret_ms);

/* Is it to be asked again? */
bool adopt_doubt_goes_on(const struct listener *listener);

/* A worker got ready, or went: what was seen says nothing of those who are there now. */
void adopt_doubt_anew(struct listener *listener);

#endif
