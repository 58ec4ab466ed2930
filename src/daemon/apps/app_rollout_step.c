#include <stdlib.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_rollout_end_priv.h"
#include "daemon/apps/app_rollout_step_priv.h"
#include "daemon/apps/app_trials.h"
#include "daemon/apps/seats.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

static struct rollout_worker
facts_of(const struct app *app, const struct worker *w)
{
	const struct app_spec *stable = app->crew.stable;

	return (struct rollout_worker){
		.state = w->fsm.state,
		.trial = trials_verdict(app, w),
		.generation = w->spec->generation,
		.newer = !w->spec->failed &&
		    w->spec->generation > stable->generation,
		.streak = w->fsm.history.streak,
		.relapsed = w->relapsed,
		.outdated = w->outdated || worker_is_deaf(w),
		.of_target = w->spec == app->crew.target,
		.of_stable = w->spec == app->crew.stable,
	};
}

static struct rollout_seat
look_at_seat(const struct app *app, unsigned i)
{
	const struct seat *seat = &app->seats[i];
	struct rollout_worker present, next;

	if (seat->present != NULL)
		present = facts_of(app, seat->present);
	if (seat->next != NULL)
		next = facts_of(app, seat->next);
	/* Once is enough: it may have done that itself. */
	if (seat->next != NULL && seat->anew)
		next.outdated = false;
	return rollout_look(&app->rollout, i,
	    seat->present != NULL ? &present : NULL,
	    seat->next != NULL ? &next : NULL);
}

static void
count_worker(const struct worker *w, struct rollout_view *view)
{
	if (w == NULL)
		return;
	view->n_alive += rollout_takes_place(w->fsm.state);
	view->n_leaving += !w->seated && w->finished &&
	    rollout_leaves(w->fsm.state);
}

static void
discount_worker(const struct worker *w, struct rollout_view *view)
{
	struct rollout_view one = { .n_alive = 0 };

	count_worker(w, &one);
	view->n_alive -= one.n_alive;
	view->n_leaving -= one.n_leaving;
}

static bool
start(struct app *app, unsigned i, bool stop)
{
	/* After an abort seats_fill() starts it again. */
	if (stop)
		seats_vacate(app, i);
	/* Failing that, the seat stays behind, and any event tries again. */
	(void)seats_start_next(app, i, app->crew.target);
	return app->seats[i].next != NULL;
}

/* What is wanted still is begun anew. */
static void
drop(struct app *app, unsigned i)
{
	if (i < app->crew.wanted) {
		worker_log(LOG_LEVEL_INFO, app->seats[i].next, "is replaced: "
		    "its listener was shut down before it was ready");
		app->seats[i].anew = true;
	}
	seats_drop_next(app, i);
}

/* What comes of a decision. */
enum more {
	MORE_NONE,	/* nothing more to do now */
	MORE_SEAT,	/* nothing but its seat has changed */
	MORE_ALL,
};

static enum more
carry_out(struct app *app, const struct rollout_view *view,
    const struct rollout_decision *d)
{
	unsigned i = (unsigned)d->seat;

	switch (d->what) {
	case ROLLOUT_WAIT:
		return MORE_NONE;
	case ROLLOUT_START:
		return start(app, i, d->stop) ? MORE_SEAT : MORE_NONE;
	case ROLLOUT_VACATE:
		seats_make_room(app, i, app->crew.target);
		return MORE_ALL;
	case ROLLOUT_DROP:
		drop(app, i);
		return MORE_SEAT;
	case ROLLOUT_PROMOTE:
		return seats_promote(app, i) ? MORE_ALL : MORE_SEAT;
	case ROLLOUT_TRIM:
		seats_drop_last(app);
		return MORE_ALL;
	case ROLLOUT_ABORT:
		rollout_give_up(app, i, view);
		return app->crew.target != NULL ? MORE_ALL : MORE_NONE;
	case ROLLOUT_DONE:
		rollout_finish(app);
		return MORE_NONE;
	}
	return MORE_NONE;
}

static void
note_leaving(const struct app *app, struct rollout_seat *seats)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (seats_leaves_one(w) && w->instance < app->n_seats)
			seats[w->instance].leaving = true;
}

static void
look_at_all(const struct app *app, struct rollout_seat *seats,
    struct rollout_view *view)
{
	const unsigned surge = app->crew.target->conf->max_surge;

	for (unsigned i = 0; i < app->n_seats; i++)
		seats[i] = look_at_seat(app, i);
	if (surge == 0)
		note_leaving(app, seats);
	*view = (struct rollout_view){
		.seats = seats, .n_seats = app->n_seats,
		.n_wanted = app->crew.wanted, .surge = surge,
		.trial = trials_canary_ms(app) > 0,
		.alone = app->rollout.kind == ROLLOUT_RESTART,
		.slow = trials_any_slow(app),
		.unproven = app->crew.target != app->crew.stable,
		.deaths = app->rollout.deaths, .died = app->rollout.died,
		.idle = app->rollout.idle,
	};
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		count_worker(w, view);
}

/* A step, and what it makes of the view of its seat: of hundreds not all are looked
   at again. The workers are there until the turn's end. */
static enum more
take_step(struct app *app, struct rollout_seat *seats,
    struct rollout_view *view)
{
	struct rollout_decision d = rollout_decide(view);
	const struct seat *seat = &app->seats[d.seat], was = *seat;
	enum more more;

	discount_worker(was.present, view);
	discount_worker(was.next, view);
	more = carry_out(app, view, &d);
	if (more != MORE_SEAT)
		return more;
	count_worker(was.present, view);
	count_worker(was.next, view);
	if (seat->next != was.next)
		count_worker(seat->next, view);
	seats[d.seat] = look_at_seat(app, (unsigned)d.seat);
	view->idle = app->rollout.idle;
	return more;
}

/* As many as there is time for. */
static enum more
take_steps(struct app *app, struct rollout_seat *seats)
{
	struct rollout_view view;
	enum more more;

	look_at_all(app, seats, &view);
	/* Without room beside the old ones each step depends on who has left. */
	do
		more = take_step(app, seats, &view);
	while (more == MORE_SEAT && view.surge > 0 &&
	    apps_have_time(app->apps));
	return more;
}

/* False when there is nothing more to do now. */
bool
rollout_step(struct app *app)
{
	struct rollout_seat *seats;
	enum more more;

	if (!seats_ensure(app, app->crew.wanted))
		return false;
	seats = calloc(app->n_seats, sizeof(*seats));
	if (seats == NULL)
		return false;
	more = take_steps(app, seats);
	free(seats);
	return more != MORE_NONE;
}

void
app_rollout_note_step(struct worker *w, const struct worker_step *step)
{
	struct app *app = app_of(w->crew);

	if (app->crew.target == NULL || w->seated || step->from == step->to)
		return;
	if (step->to == WORKER_DRAINING)
		w->retired = mono_now();
	else if (step->from == WORKER_DRAINING && !w->finished)
		rollout_note_retired(&app->rollout, false);
}

void
app_rollout_note_finished(struct worker *w)
{
	struct app *app = app_of(w->crew);

	if (app->crew.target == NULL || w->seated)
		return;
	rollout_note_retired(&app->rollout,
	    mono_ms_between(w->retired, mono_now()) < ROLLOUT_SOON_MS);
	/* It may have waited for its place. */
	app_touch(app);
}

/* Those that died after they had changed over; a worker that has done its share
   and makes place for a fresh one is no fault. */
void
app_rollout_note_end(struct worker *w, const struct worker_step *step,
    enum restart_cause cause)
{
	struct app *app = app_of(w->crew);

	if (!w->seated || app->seats[w->instance].present != w ||
	    w->spec != app->crew.target || step->to == WORKER_ENDED ||
	    step->why == WORKER_WHY_NO_FORK || (cause == RESTART_CAUSE_EXIT &&
		w->fsm.history.streak == 0))
		return;
	rollout_note_death(&app->rollout, w->instance);
}
