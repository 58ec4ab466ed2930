/*
 * What a worker has set up on its own socket becomes the lane's. One that
 * others have, who rely on it as it is, stays: it comes when they are gone.
 */
#ifndef DAEMON_ADOPT_ADOPT_WISH_H
#define DAEMON_ADOPT_ADOPT_WISH_H

#include <stdbool.h>

struct ask;
struct lane;
struct worker;

/* Of the socket that `ask` is about, for the lane that takes its place: now, or
   noted for later. */
void wish_make(const struct ask *ask, struct lane *lane);

/* Has it noted wishes; are they carried out where nobody is in their way any
   more; they are forgotten, with the process. */
bool wish_pending(const struct worker *worker);
void wish_try(struct worker *worker);
void wish_forget(struct worker *worker);

#endif
