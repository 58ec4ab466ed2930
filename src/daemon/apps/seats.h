/* The seats of an app, and who has them. */
#ifndef DAEMON_APPS_SEATS_H
#define DAEMON_APPS_SEATS_H

#include <stdbool.h>

#include "base/mono.h"
#include "core/health/recycle.h"
#include "core/worker/restart.h"

struct app;
struct app_spec;
struct worker;
struct worker_step;

/* At least n places; new ones are empty. False: no memory. */
bool seats_ensure(struct app *app, unsigned n);

/* Has a worker that was the seat's still a process? And is it that one? */
bool seats_leaves(const struct app *app, unsigned seat);
bool seats_leaves_one(const struct worker *worker);

/* A new app: workers that a supervisor before has left of it take their seats;
   those that have none by now retire. */
void seats_take_over(struct app *app);

/* Outside a rollout: every wanted seat has a worker, the others have none; or will
   have, with the next turns, where there is no time for all of them. With
   max_surge = 0 one whose place is not free yet is not started, nor one of an app
   that waits for another, but new clients wait for it. */
void seats_fill(struct app *app);

/* However long it takes: before a rollout, for which an empty seat is another
   thing. */
void seats_fill_now(struct app *app);

/* Those that may be started now; the others, with the next turns. */
void seats_start_idle(struct app *app);

/* Who has the last one retires. */
void seats_drop_last(struct app *app);

/* Start a new worker of `spec` beside the one that the seat has, on trial, or
   the one that waits to be started. False: no memory. */
bool seats_start_next(struct app *app, unsigned seat, struct app_spec *spec);

/* The new worker of the seat is ready and gets who comes; it will not have taken the
   seat before `passes`. If the present one is dead, and not to be started again soon,
   nor before then, one more worker, of no seat, is there for those who wait in its
   lanes, if it can have them all: true. */
bool seats_serve_waiting(struct app *app, unsigned seat, struct mono passes);

/* Its present worker, if there is one, retires; the new one takes the seat. True: one
   more worker, of no seat, is there for those who wait for the old one, which is
   dead. */
bool seats_promote(struct app *app, unsigned seat);

/* A new worker of `spec` has its place and its lanes, unless the seat has one that is
   to come already: rollout_decide() tells when it is started. Without memory there is
   none. */
void seats_put_next(struct app *app, unsigned seat, struct app_spec *spec);

/* Its present worker retires; a new one of `spec` is there, not started, and new
   clients wait for it. */
void seats_make_room(struct app *app, unsigned seat, struct app_spec *spec);

/* Who gets the new connections of the seat: the new one, or the present. */
void seats_turn_to(struct app *app, unsigned seat, bool next);

/* Nobody's go to another one, of any seat. */
void seats_turn_back(struct app *app);

/* What an instance at its end had of its own is closed: nobody will serve it. */
void seats_close_ended(struct app *app);

/* Those on trial retire; or that of one seat. */
void seats_retire_next(struct app *app);
void seats_drop_next(struct app *app, unsigned seat);

/* That of the seat is stopped: it would not finish what it has. */
void seats_stop_next(struct app *app, unsigned seat);

/* Stop the present worker, of which no process runs: a new one has who waits in
   its queue. */
void seats_vacate(struct app *app, unsigned seat);

/* A worker's process has ended, or none could be started. */
void seats_note_end(struct worker *worker, const struct worker_step *step,
    enum restart_cause cause, const char *words);

/* The worker that had the seat was replaced for that reason. */
void seats_note_recycled(struct app *app, unsigned seat,
    enum recycle_cause cause, const char *words);

/* No seat has anybody any more; what becomes of the workers is the caller's. */
void seats_leave(struct app *app);

void seats_free(struct app *app);

#endif
