#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/conf/conf_instance.h"
#include "core/ledger/ledger_records.h"
#include "core/sockets/lane_watch.h"
#include "daemon/apps/app.h"
#include "daemon/apps/seats.h"
#include "daemon/life/life.h"
#include "daemon/life/life_again.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer.h"
#include "daemon/workers/worker.h"

bool
seats_ensure(struct app *app, unsigned n)
{
	struct seat *seats;

	if (n <= app->n_seats)
		return true;
	seats = reallocarray(app->seats, n, sizeof(*seats));
	if (seats == NULL)
		return false;
	for (unsigned i = app->n_seats; i < n; i++)
		seats[i] = (struct seat){ .present = NULL };
	app->seats = seats;
	app->n_seats = n;
	return true;
}

bool
seats_leaves_one(const struct worker *w)
{
	return !w->seated && worker_state_alive(w->fsm.state);
}

bool
seats_leaves(const struct app *app, unsigned i)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->instance == i && seats_leaves_one(w))
			return true;
	return false;
}

/* Put a new worker of `spec` into a place. False: no memory. */
static bool
put_worker(struct app *app, struct worker **place, struct app_spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w =
	    worker_new(app->apps->life, &app->crew, spec, instance, trial);

	if (w == NULL) {
		log_about(LOG_LEVEL_ERROR, &(struct log_about){
		    .app = app->crew.name, .instance = (long)instance,
		}, "no memory for a worker");
		return false;
	}
	w->seated = true;
	w->present = !trial;
	*place = w;
	return true;
}

/* … and start it. */
static bool
start(struct app *app, struct worker **place, struct app_spec *spec,
    unsigned instance, bool trial)
{
	if (!put_worker(app, place, spec, instance, trial))
		return false;
	worker_start(*place);
	return true;
}

/* Take a worker, if there is one, from its seat; `how` is what becomes of it,
   apps_turn() frees it. */
static void
unseat(struct worker **place, void (*how)(struct worker *))
{
	struct worker *w = *place;

	*place = NULL;
	if (w == NULL)
		return;
	w->seated = w->present = w->aside = w->followed = false;
	/* No new connections from here on: to what a failed or superseded
	   target alone listened on, nobody else would be steered to. */
	app_close_doors(app_of(w->crew), w->spec);
	steer_away(app_of(w->crew)->apps->steering, w);
	how(w);
}

void
seats_drop_last(struct app *app)
{
	struct seat *last = &app->seats[app->n_seats - 1];

	unseat(&last->next, worker_retire);
	unseat(&last->present, worker_retire);
	free(last->death);
	app->n_seats--;
	app_spec_unseat(app->crew.stable, app->n_seats);
	if (app->crew.target != NULL)
		app_spec_unseat(app->crew.target, app->n_seats);
}

/* The successor of the present one is under way. */
static void
note_follower(struct seat *seat)
{
	if (seat->present != NULL)
		seat->present->followed = seat->next != NULL;
}

bool
seats_start_next(struct app *app, unsigned i, struct app_spec *spec)
{
	struct seat *seat = &app->seats[i];

	if (seat->next == NULL &&
	    !put_worker(app, &seat->next, spec, i, true))
		return false;
	note_follower(seat);
	worker_start(seat->next);
	return true;
}

static bool
leaves_waiting(const struct app *app, const struct worker *w)
{
	return w != NULL && !worker_state_alive(w->fsm.state) &&
	    steer_keeps_waiting(app->apps->steering, w);
}

/* Its successor comes no more, for whom they would have waited. */
static void
start_for_waiting(const struct app *app, struct worker *w)
{
	if (w != NULL && w->fsm.state == WORKER_BACKOFF &&
	    leaves_waiting(app, w))
		worker_start(w);
}

/* The successor of the present one comes no more: what one that is dead for good had
   is free, as after any other such death; one that is to be restarted is so now, if
   somebody waits for it. */
static void
note_alone(struct app *app, unsigned i)
{
	struct worker *w = app->seats[i].present;

	if (w == NULL || !w->followed)
		return;
	w->followed = false;
	if (worker_state_final(w->fsm.state))
		listeners_leave(app->apps->house.listeners, &w->holder);
	else
		start_for_waiting(app, w);
}

static void
pass_lanes(const struct worker *from, const struct worker *to)
{
	for (size_t i = 0; i < spec_lanes_n_places(to->spec); i++) {
		struct listener *l = spec_lanes_listener(to->spec,
		    to->instance, i);

		if (l != NULL && !spec_lanes_shared(to->spec, l))
			lanes_pass(l, &from->holder, &to->holder);
	}
}

/* The one that is being replaced is dead, and somebody waits in its lanes, which
   its successor cannot get any more: that is executed. Another one of the
   successor's kind, which has come up, serves them, and goes then. */
static bool
put_heir(struct app *app, const struct worker *dead, struct app_spec *spec)
{
	struct worker *heir;

	if (!put_worker(app, &heir, spec, dead->instance, false))
		return false;
	heir->seated = heir->present = false;
	heir->heir = true;
	pass_lanes(dead, heir);
	worker_retire(heir);
	if (worker_has_leader(heir))
		worker_log(LOG_LEVEL_INFO, heir, "is started for those who "
		    "wait for the one before it, and goes then");
	return true;
}

/* Is it to be started again soon, and before then? Those who wait have a program then
   that is known to serve. */
static bool
comes_soon(const struct worker *w, struct mono then)
{
	struct mono soon = mono_add_ms(mono_now(), LANE_WATCH_WAIT_MS);

	return !worker_state_final(w->fsm.state) &&
	    (w->fsm.state != WORKER_BACKOFF ||
		(mono_before(w->fsm.deadline, then) &&
		mono_before(w->fsm.deadline, soon)));
}

/* Can another one of `spec` have all of its lanes, each by itself? */
static bool
can_inherit(const struct worker *w, const struct app_spec *spec)
{
	for (size_t i = 0; i < spec_lanes_n_places(w->spec); i++) {
		const struct listener *l = spec_lanes_listener(w->spec,
		    w->instance, i);

		if (l != NULL && (spec_lanes_shared(w->spec, l) ||
		    !app_spec_has(spec, l) || spec_lanes_shared(spec, l)))
			return false;
	}
	return true;
}

bool
seats_serve_waiting(struct app *app, unsigned i, struct mono passes)
{
	const struct seat *seat = &app->seats[i];
	struct worker *old = seat->present;

	if (old == NULL || !old->followed || old->inherited ||
	    comes_soon(old, passes) || !can_inherit(old, seat->next->spec) ||
	    !leaves_waiting(app, old))
		return false;
	/* As in seats_promote(). */
	steer_away(app->apps->steering, old);
	if (!leaves_waiting(app, old))
		return false;
	/* Without memory, later or at the promotion. */
	if (!put_heir(app, old, seat->next->spec))
		return false;
	old->inherited = true;
	/* Not both: the heir has its room, and its lanes. One that is not started
	   again by itself keeps its seat, for nobody else is to have it if the
	   successor fails. */
	if (!worker_state_final(old->fsm.state))
		seats_vacate(app, i);
	return true;
}

bool
seats_promote(struct app *app, unsigned i)
{
	struct seat *seat = &app->seats[i];
	struct worker *old = seat->present;
	bool more;

	seat->present = seat->next;
	seat->present->present = true;
	seat->present->aside = false;
	seat->next = NULL;
	worker_pass(seat->present);
	/* Who can move does so: to this one, as soon as it is in force. */
	if (old != NULL)
		steer_away(app->apps->steering, old);
	more = leaves_waiting(app, old);
	if (more)
		(void)put_heir(app, old, seat->present->spec);
	/* Who begins again, for those who wait, is in its own place. */
	else if (old != NULL && (old->fsm.state == WORKER_EXECING ||
	    old->fsm.state == WORKER_STARTING))
		old->heir = true;
	unseat(&old, worker_retire);
	return more;
}

/* Its lanes, before it has a process: who comes meanwhile waits there. */
static void
give_lanes(struct worker *w)
{
	struct app_spec *spec = w->spec;
	struct error err = ERROR_INIT;
	struct lane *lane;

	/* Failing that, it gets them when it starts. */
	if (app_spec_seat(spec, w->instance, &err) < 0) {
		error_clear(&err);
		return;
	}
	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		struct listener *l = app_spec_place(spec, w->instance, i);

		if (l != NULL)
			(void)spec_lanes_take(spec, l, &w->holder, &lane,
			    &err);
	}
	error_clear(&err);
}

/* With max_surge = 0 the old one is gone first, here too, and other apps may have
   to be ready: who comes meanwhile waits. */
static bool
has_to_wait(const struct app *app, unsigned i)
{
	return app->waits || (app->crew.stable->conf->max_surge == 0 &&
	    seats_leaves(app, i));
}

static bool
fill(struct app *app, unsigned i)
{
	struct worker **place = &app->seats[i].present;

	if (!has_to_wait(app, i))
		return start(app, place, app->crew.stable, i, false);
	if (!put_worker(app, place, app->crew.stable, i, false))
		return false;
	give_lanes(*place);
	return true;
}

static void
fill_all(struct app *app, bool in_time)
{
	bool any = false;

	if (app->over || !seats_ensure(app, app->crew.wanted))
		return;
	while (app->n_seats > app->crew.wanted)
		seats_drop_last(app);
	for (unsigned i = 0; i < app->n_seats && !app->apps->stopping; i++) {
		if (app->seats[i].present != NULL)
			continue;
		if (in_time && !apps_have_time(app->apps)) {
			app_go_on_later(app, any);
			break;
		}
		if (!fill(app, i))
			break;
		any = true;
	}
}

/* Its seat, if it had one and that is wanted; NULL. */
static struct worker **
seat_of(struct app *app, const struct ledger_worker *left)
{
	if ((left->flags & LEDGER_SEATED) == 0 ||
	    left->generation != app->crew.stable->generation ||
	    left->instance >= app->n_seats ||
	    app->seats[left->instance].present != NULL)
		return NULL;
	return &app->seats[left->instance].present;
}

/* Of no seat, and started for those who wait: they are its own lanes' still. */
static bool
is_rescuer(const struct ledger_worker *left)
{
	return (left->flags & LEDGER_SEATED) == 0 &&
	    (left->flags & LEDGER_RETIRING) != 0 && left->rescues > 0;
}

/* It was to be started, or started again, for those who wait for it. */
static bool
is_for_others(const struct app *app, const struct ledger_worker *left)
{
	return (left->flags & LEDGER_RETIRING) != 0 &&
	    (app->crew.stopping || is_rescuer(left)) &&
	    app_spec_is_open(app->crew.stable, left->instance);
}

/* A successor that was under way retires; who had the seat before is there by
   now. */
static void
go_on_alone(const struct app *app, const struct ledger_worker *left)
{
	if ((left->flags & LEDGER_TRIAL) != 0 && !app->crew.stopping &&
	    left->instance < app->n_seats)
		start_for_waiting(app, app->seats[left->instance].present);
}

void
seats_take_over(struct app *app)
{
	struct life *life = app->apps->life;
	const struct ledger_worker *left;
	bool begun = false;

	/* Of who leaves nobody has one. */
	if (!app->crew.stopping && !seats_ensure(app, app->crew.wanted))
		return;
	while ((left = life_next_left(life, app->crew.name)) != NULL) {
		struct worker **seat = seat_of(app, left);
		struct worker *w;

		if (seat == NULL && left->pid == 0 && !is_for_others(app, left)) {
			go_on_alone(app, left);
			life_dismiss(life, left);
			continue;
		}
		w = worker_take_over(life, &app->crew, app->crew.stable, left);
		if (w == NULL)
			continue;
		w->seated = w->present = seat != NULL;
		w->heir = seat == NULL && is_rescuer(left);
		if (seat != NULL)
			*seat = w;
		if (w->fsm.state != WORKER_IDLE)
			begun = true;
		else if (seat != NULL)
			continue;
		worker_go_on(w);
		if (seat != NULL || app->crew.stopping)
			continue;
		/* One that does so already is not to be taken for ready. */
		if (!w->fsm.retiring)
			worker_retire(w);
		go_on_alone(app, left);
	}
	/* The others are started at the turn's end, if they need not wait. */
	app->waits = app->waits && !begun;
}

void
seats_fill(struct app *app)
{
	fill_all(app, true);
}

void
seats_fill_now(struct app *app)
{
	fill_all(app, false);
}

void
seats_start_idle(struct app *app)
{
	bool any = false;

	for (unsigned i = 0; i < app->n_seats; i++) {
		struct worker *w = app->seats[i].present;

		if (w == NULL || w->fsm.state != WORKER_IDLE ||
		    has_to_wait(app, i))
			continue;
		if (!apps_have_time(app->apps)) {
			app_go_on_later(app, any);
			break;
		}
		worker_start(w);
		any = true;
	}
}

void
seats_put_next(struct app *app, unsigned i, struct app_spec *spec)
{
	struct worker **next = &app->seats[i].next;

	if (*next != NULL || !put_worker(app, next, spec, i, true))
		return;
	note_follower(&app->seats[i]);
	give_lanes(*next);
}

void
seats_make_room(struct app *app, unsigned i, struct app_spec *spec)
{
	struct seat *s = &app->seats[i];

	seats_put_next(app, i, spec);
	/* As the seat's own, for those who come. */
	if (s->next != NULL)
		s->next->present = true;
	unseat(&s->present, worker_retire);
}

void
seats_turn_to(struct app *app, unsigned i, bool next)
{
	struct seat *s = &app->seats[i];

	if (s->present != NULL)
		s->present->aside = next;
	if (s->next != NULL)
		s->next->aside = !next;
}

/* Of most there is nothing to change: memory that is not written is shared with
   those who have been forked, and are not executed yet. */
static void
turn_back(struct worker *w)
{
	if (w != NULL && w->aside)
		w->aside = false;
}

void
seats_turn_back(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++) {
		turn_back(app->seats[i].present);
		turn_back(app->seats[i].next);
	}
}

void
seats_retire_next(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++)
		seats_drop_next(app, i);
}

void
seats_drop_next(struct app *app, unsigned i)
{
	seats_turn_to(app, i, false);
	unseat(&app->seats[i].next, worker_retire);
	note_alone(app, i);
}

void
seats_stop_next(struct app *app, unsigned i)
{
	seats_turn_to(app, i, false);
	unseat(&app->seats[i].next, worker_stop);
	note_alone(app, i);
}

void
seats_vacate(struct app *app, unsigned i)
{
	struct worker *old = app->seats[i].present;
	const struct worker *next = app->seats[i].next;

	unseat(&app->seats[i].present, worker_stop);
	/* It has not begun: it takes the old one's, where somebody waits. */
	if (next != NULL && next->fsm.state == WORKER_IDLE)
		listeners_leave(app->apps->house.listeners, &next->holder);
	listeners_leave(app->apps->house.listeners, &old->holder);
}

void
seats_close_ended(struct app *app)
{
	if (!conf_has_own_listens(app->crew.stable->conf))
		return;
	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct worker *w = app->seats[i].present;

		if (w != NULL && worker_state_final(w->fsm.state) &&
		    !seats_leaves(app, i))
			app_spec_vacate(w->spec, i);
	}
}

void
seats_note_end(struct worker *w, const struct worker_step *step,
    enum restart_cause cause, const char *words)
{
	struct seat *seat;

	if (!w->seated)
		return;
	seat = &app_of(w->crew)->seats[w->instance];
	if (seat->next == w)
		seat->next_end = cause;
	if (seat->present != w)
		return;
	str_keep(&seat->death, words);
	seat->died = mono_now();
	if (step->why == WORKER_WHY_AGAIN || step->why == WORKER_WHY_NO_FORK)
		seat->restarts[cause]++;
}

void
seats_note_recycled(struct app *app, unsigned i, enum recycle_cause cause,
    const char *words)
{
	struct seat *seat = &app->seats[i];

	str_keep(&seat->death, words);
	seat->died = mono_now();
	seat->recycles[cause]++;
}

void
seats_leave(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++)
		free(app->seats[i].death);
	app->n_seats = 0;
	for (struct worker *w = app->crew.workers; w != NULL; w = w->next)
		w->seated = w->present = w->aside = w->followed = false;
}

void
seats_free(struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++)
		free(app->seats[i].death);
	free(app->seats);
}
