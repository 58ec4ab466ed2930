/* What is seen of a worker's lanes from outside: who waits in them. Of
   daemon/steer. */
#ifndef DAEMON_STEER_STEER_SIGHT_H
#define DAEMON_STEER_STEER_SIGHT_H

struct trial_sight;
struct worker;

/* Of the TCP lanes that are the worker's alone: in one that others accept from
   too, nobody can tell whose clients wait. */
void steer_sight(const struct worker *worker, struct trial_sight *ret_sight);

#endif
