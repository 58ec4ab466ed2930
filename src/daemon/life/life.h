/*
 * What becomes of a worker: core/worker/worker_fsm decides, this room carries it out.
 * Its modules, from the bottom up:
 *
 *   life_ledger  what stands of it in the ledger
 *   oom_watch, group  its control group, and what the OOM killer does there
 *   leader  the worker's process: started, heard of, forgotten
 *   step    one step of the machine: its effects, and who is told
 *   death   a process has died: its one line, and what follows
 *   life_again  those of another supervisor are taken over
 *   life    this door: workers are made and freed, told what to do, and take
 *           at the end of a turn what was posted for them
 */
#ifndef DAEMON_LIFE_LIFE_H
#define DAEMON_LIFE_LIFE_H

#include <stdbool.h>

#include "core/worker/obituary.h"
#include "daemon/life/life_house.h"

struct app_spec;
struct crew;
struct error;
struct worker;

/*
 * Before any other descriptor is opened: sees to it that 0 to 2 are something,
 * or a socket would become one of them. -errno with words. Undone by _fini.
 */
int life_init(struct life *life, struct error *err);
void life_fini(struct life *life);

/* Who is there to be asked; before the first worker. */
void life_move_in(struct life *life, const struct life_house *house);

/* We take as many descriptors as we may have; the workers get what we had. */
void life_raise_nofile(struct life *life);

/*
 * A program could not be executed at the very start: it would only fail again,
 * N times over, so the whole program is to end. It has been told why; what dies
 * from then on is not told one by one.
 */
bool life_failed(const struct life *life);
/* Why, in words; borrowed. NULL: nobody has failed, or there was no memory. */
const char *life_failure(const struct life *life);

/*
 * A worker in state IDLE, in the crew's list; `trial` as in core/worker/worker_fsm.
 * Takes a reference to the spec. NULL: no memory.
 */
struct worker *worker_new(struct life *life, struct crew *crew,
    struct app_spec *spec, unsigned instance, bool trial);

/* Free one whose process is gone; takes it out of the crew's list. NULL is
   fine. */
void worker_free(struct worker *worker);

void worker_start(struct worker *worker);
void worker_pass(struct worker *worker);	/* its trial is over */
void worker_retire(struct worker *worker);	/* finish, then be gone */
void worker_stop(struct worker *worker);
void worker_kill(struct worker *worker);

/* The leader is dead, as `status` says, and not yet reaped. Reaps it. */
void worker_died(struct worker *worker, struct exit_status status);

/* A member of this process group (0: of one that is not known) was reaped, which may be all that was left of
   a worker whose leader has died. */
void life_group_shrank(struct life *life, int group);

/* At the end of a turn: workers take the events that were posted. */
void life_turn(struct life *life);

#endif
