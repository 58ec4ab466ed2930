/* Does a worker serve a lane that it has? */
#ifndef DAEMON_STEER_STEER_CLAIM_H
#define DAEMON_STEER_STEER_CLAIM_H

#include <stdbool.h>

struct lane;
struct worker;

/*
 * The lane is the worker's own. Where servers of its kind bind the listener by
 * themselves, one that is ready and has not done so leaves its clients waiting:
 * an admin port that the first instance alone opens. One that is not ready is
 * taken to do what it did the last time, if there was one.
 */
bool steer_claims(const struct worker *worker, const struct lane *lane);

#endif
