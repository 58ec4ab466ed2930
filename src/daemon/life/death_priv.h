/* A worker's process has died. For daemon/life. */
#ifndef DAEMON_LIFE_DEATH_PRIV_H
#define DAEMON_LIFE_DEATH_PRIV_H

struct worker;

/* The leader is dead and worker->status says how; reaps it. */
void death_of_leader(struct worker *worker);

/* The leader was dead before: is its group gone now? */
void death_of_group(struct worker *worker);

#endif
