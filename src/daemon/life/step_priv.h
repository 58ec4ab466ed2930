/* One step of a worker's machine, and its effects. For daemon/life. */
#ifndef DAEMON_LIFE_STEP_PRIV_H
#define DAEMON_LIFE_STEP_PRIV_H

#include <stdbool.h>

#include "core/worker/restart.h"
#include "core/worker/worker_fsm.h"

struct worker;

/* A stop tells one worker after the other. Whoever dies before its turn has come,
   or would be started then, is told first: it is not started again. */
bool step_is_yet_to_retire(const struct worker *worker);

/* Decide, and nothing else; `failure` is of an exit. */
struct worker_step step_take(struct worker *worker, enum worker_event event,
    bool failure);

/* What was decided: to the log, … */
void step_log(const struct worker *worker, const struct worker_step *step);

/* … to whoever is above, … */
void step_tell(struct worker *worker, const struct worker_step *step);
void step_tell_end(struct worker *worker, const struct worker_step *step,
    enum restart_cause cause, const char *words);

/* … and done. */
void step_carry_out(struct worker *worker, const struct worker_step *step);

/* All of it, for any event but EXITED. */
void step_event(struct worker *worker, enum worker_event event);

#endif
