/*
 * The promises of core/worker/rollout, held against random histories: an app as
 * daemon/apps drives it, with real machines, fake processes and a fake clock.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "core/worker/worker_fsm.h"

#define WORKERS_MAX	128
#define SEATS_MAX	40
#define FEW_SEATS	12	/* without those who leave beside them */
#define MANY_SEATS	(2 * ROLLOUT_LEAVING)
#define NEVER		INT64_MAX

#define READY_TIMEOUT_MS 2000
#define STOP_TIMEOUT_MS	500
#define DRAIN_TIMEOUT_MS 3000
#define CANARY_MS	1000
#define SLOW_MS		1500	/* the longest from ready to the first client */

/*
 * Longest time from the last fault and the last request to the end of a
 * rollout: for each seat a start, a trial, a drain, a stop, a kill and a backoff,
 * there and back.
 */
#define PATIENCE_MS(seats) (2 * (seats) * (3 * READY_TIMEOUT_MS + CANARY_MS + \
			DRAIN_TIMEOUT_MS + STOP_TIMEOUT_MS + 2000))

struct spec {
	struct conf_app conf;
	unsigned instances;
	unsigned badness;	/* starts of 16 that go wrong on trial */
	unsigned generation;
	unsigned slow_ms;	/* from ready to the first client, at most */
	bool seen, failed;	/* as in struct app_spec */
};

struct worker {
	bool used;
	bool seated;
	struct spec *spec;
	unsigned instance;
	struct worker_fsm fsm;
	bool was_ready, relapsed, outdated;
	bool finished;		/* as in struct worker of daemon/ */
	uint64_t serial;
	int64_t ready;		/* since when */
	struct trial trial;
	unsigned rollout;	/* that started it; 0: none did */

	/* What its process is going to do, in fake milliseconds. */
	int64_t executes, says_ready, drained, exits;
	int64_t client, serves;	/* one comes; whoever has come is served */
	bool exits_badly;
};

struct seat {
	struct worker *present, *next;
};

struct sim {
	unsigned number;	/* of the history: tells how to repeat it */
	uint32_t seed;
	int64_t now;

	/* As in struct app. */
	struct rollout rollout;
	struct spec *stable, *target;
	bool over;
	struct seat seats[SEATS_MAX];
	unsigned n_seats, wanted, surge;
	unsigned seats_max;
	struct worker workers[WORKERS_MAX];

	/* What may happen. */
	struct spec specs[8];
	unsigned n_specs;
	unsigned crashes;	/* still to come */
	unsigned bad_starts;	/* on trial; still to come */
	unsigned requests;	/* scale and roll; still to come */
	bool superseding;	/* a roll may come during a rollout */
	bool restarting;	/* single instances, instead of some rolls */
	bool many;		/* seats */
	bool ending;		/* workers may end, or be parked, for good */

	/* What is checked. */
	bool calm;		/* no ready worker ever dies by itself */
	unsigned floor;		/* ready seats that there must always be */
	int64_t last_upset;	/* time of the last fault or request */
	size_t most_seats;	/* since no process was retiring */
	int64_t look;		/* at those on trial, the next time; NEVER */
	bool blind;		/* nobody can be seen to wait */
	unsigned rollouts;	/* begun */
	bool way_back_failed;
	unsigned dones, aborts, promotes, trims, drains, rescues, restarts,
	    returns, turns, vacated, second_deaths, takes_nobody, slow, beside,
	    abreast;
};

#define CHECK(sim, condition) do {					\
	if (!(condition))						\
		fail_msg("history %u at %lld ms: not so: %s",		\
		    (sim)->number, (long long)(sim)->now, #condition);	\
} while (0)

static unsigned
roll(struct sim *m, unsigned n)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % n;
}

static struct mono
clock_of(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 0 }, ms);
}

static int64_t
ms_of(struct mono time)
{
	return mono_ms_between(clock_of(0), time);
}

static bool
worker_ready(const struct worker *w)
{
	return w->fsm.state == WORKER_READY;
}

static unsigned
count_alive(const struct sim *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (m->workers[i].used &&
		    worker_state_alive(m->workers[i].fsm.state))
			n++;
	return n;
}

static bool
leaves_finished(const struct worker *w)
{
	return w->used && !w->seated && w->finished &&
	    rollout_leaves(w->fsm.state);
}

static unsigned
count_leaving(const struct sim *m)
{
	unsigned n = 0;

	for (size_t i = 0; i < WORKERS_MAX; i++)
		n += leaves_finished(&m->workers[i]);
	return n;
}

/* Those that have a process, and those that are about to have one again. */
static unsigned
count_places(const struct sim *m)
{
	unsigned n = count_alive(m);

	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (m->workers[i].used &&
		    m->workers[i].fsm.state == WORKER_BACKOFF)
			n++;
	return n;
}

static unsigned
count_ready(const struct sim *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_seats; i++)
		if (m->seats[i].present != NULL &&
		    worker_ready(m->seats[i].present))
			n++;
	return n;
}

/* -- processes -- */

/* The life of a new process; a trial may be meant to go wrong, and where there
   are crashes a restart too. */
static bool
draw_process(struct sim *m, struct worker *w)
{
	bool bad = m->bad_starts > 0 && (w->fsm.trial ?
	    roll(m, 16) < w->spec->badness : !m->calm && roll(m, 3) == 0);

	w->executes = m->now + 1 + roll(m, 10);
	w->says_ready = w->executes + 1 + roll(m, 400);
	w->drained = w->exits = NEVER;
	w->client = w->says_ready + roll(m, 3000);
	w->serves = w->says_ready +
	    (w->spec->slow_ms > 0 ? roll(m, w->spec->slow_ms) : 0);
	if (w->spec->conf.ready == CONF_READY_AUTO &&
	    (m->blind || (w->spec->conf.n_listens == 0 && roll(m, 2) == 0)))
		w->says_ready = NEVER;	/* staying alive is enough */
	if (!bad)
		return true;
	m->bad_starts--;
	m->last_upset = m->now;
	w->exits_badly = true;
	switch (roll(m, 6)) {
	case 0:		/* no process can be made */
		return false;
	case 1:		/* never executed: a dead file server */
		w->executes = w->says_ready = NEVER;
		break;
	case 2:		/* not found */
		w->exits = w->executes;
		w->executes = w->says_ready = NEVER;
		break;
	case 3:		/* dies before it is ready */
		w->says_ready = NEVER;
		w->exits = w->executes + 1 + roll(m, 200);
		break;
	case 4:		/* never ready */
		w->says_ready = NEVER;
		break;
	case 5:		/* it listens, and takes nobody */
		w->serves = NEVER;
		break;
	}
	return true;
}

static void worker_event(struct sim *m, struct worker *w,
    enum worker_event event);

static unsigned
count_beginning(const struct sim *m)
{
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_seats; i++)
		n += m->seats[i].next != NULL &&
		    !worker_ready(m->seats[i].next);
	return n;
}

static void
check_spawn(struct sim *m)
{
	unsigned places = count_places(m);

	if (m->target != NULL) {
		CHECK(m, count_alive(m) <= m->most_seats + m->surge +
		    rollout_leaving_max(m->most_seats, m->surge));
		m->beside += count_alive(m) > m->most_seats + m->surge;
		m->abreast += count_beginning(m) > m->surge;
	} else if (places > m->most_seats + m->surge) {
		/* Seats are filled, while what an abort has stopped is still
		   there: no rollout promises anything about that. */
		m->most_seats = places - m->surge;
	}
}

static void
note_readiness(struct sim *m, struct worker *w, const struct worker_step *step)
{
	if (step->to == WORKER_READY && step->from != WORKER_READY) {
		w->was_ready = true;
		w->relapsed = false;
		w->ready = m->now;
		w->spec->seen |= step->why == WORKER_WHY_WAITS ||
		    step->why == WORKER_WHY_NOTIFIED_WAITS;
	}
	if (worker_step_relapses(step, w->was_ready))
		w->relapsed = true;
}

/* As app_rollout_note_end(). */
static void
note_end(struct sim *m, const struct worker *w, const struct worker_step *step)
{
	if (!w->seated || m->seats[w->instance].present != w ||
	    w->spec != m->target || step->to == WORKER_ENDED ||
	    (!w->exits_badly && w->fsm.history.streak == 0))
		return;
	rollout_note_death(&m->rollout, w->instance);
}

static void
worker_event(struct sim *m, struct worker *w, enum worker_event event)
{
	const struct worker_facts facts = {
		.now = clock_of(m->now), .dice = roll(m, 1000),
		.failure = w->exits_badly,
		/* One that dies leaves some behind now and then. */
		.waiting = !m->calm && roll(m, 3) == 0,
		.seen_before = m->stable->seen,
	};
	struct worker_step step = worker_fsm_step(&w->fsm, &w->spec->conf,
	    event, &facts);

	note_readiness(m, w, &step);
	if (event == WORKER_EV_EXITED)
		note_end(m, w, &step);
	if (step.to == WORKER_DRAINING && step.from != WORKER_DRAINING) {
		w->drained = roll(m, 6) == 0 ? NEVER :
		    m->now + 30 + roll(m, DRAIN_TIMEOUT_MS);
		w->finished = m->many && roll(m, 4) > 0;
		if (w->finished && m->target != NULL && !w->seated)
			rollout_note_retired(&m->rollout, true);
		m->drains++;
	} else if (step.from == WORKER_DRAINING && step.to != step.from &&
	    !w->finished && m->target != NULL && !w->seated) {
		rollout_note_retired(&m->rollout, false);
	}
	if (step.why == WORKER_WHY_RESCUE) {
		m->last_upset = m->now;
		m->rescues++;
	}
	if (step.send_stop)
		w->exits = roll(m, 8) == 0 ? NEVER : m->now + roll(m, 300);
	if (step.send_kill)
		w->exits = m->now + 1 + roll(m, 3);
	if (step.spawn) {
		w->exits_badly = false;
		w->serial++;
		check_spawn(m);
		if (!draw_process(m, w))
			worker_event(m, w, WORKER_EV_FORK_FAILED);
	}
}

/* -- the app: what core/worker/rollout decides is done, as in daemon/apps -- */

static void
unseat(struct sim *m, struct worker **place, enum worker_event how)
{
	struct worker *w = *place;

	*place = NULL;
	if (w == NULL)
		return;
	w->seated = false;
	worker_event(m, w, how);
}

static void
retire(struct sim *m, struct worker **place)
{
	unseat(m, place, WORKER_EV_RETIRE);
}

static void
ensure_seats(struct sim *m, unsigned n)
{
	CHECK(m, n <= m->seats_max);
	while (m->n_seats < n)
		m->seats[m->n_seats++] = (struct seat){ .present = NULL };
	if (m->n_seats > m->most_seats)
		m->most_seats = m->n_seats;
}

static void
drop_last_seat(struct sim *m)
{
	struct seat *last = &m->seats[m->n_seats - 1];

	retire(m, &last->next);
	retire(m, &last->present);
	m->n_seats--;
}

static void
put_worker(struct sim *m, struct worker **place, struct spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w = m->workers;

	while (w < m->workers + WORKERS_MAX && w->used)
		w++;
	CHECK(m, w < m->workers + WORKERS_MAX);
	*w = (struct worker){
		.used = true, .seated = true, .spec = spec,
		.instance = instance, .fsm = WORKER_FSM_INIT,
	};
	w->fsm.trial = trial;
	*place = w;
}

static void
seat_worker(struct sim *m, struct worker **place, struct spec *spec,
    unsigned instance, bool trial)
{
	put_worker(m, place, spec, instance, trial);
	worker_event(m, *place, WORKER_EV_START);
}

static void
fill_seats(struct sim *m)
{
	if (m->over)
		return;
	ensure_seats(m, m->wanted);
	while (m->n_seats > m->wanted)
		drop_last_seat(m);
	for (unsigned i = 0; i < m->n_seats; i++)
		if (m->seats[i].present == NULL)
			seat_worker(m, &m->seats[i].present, m->stable, i,
			    false);
}

static void
lower_floor(struct sim *m, unsigned wanted)
{
	if (wanted < m->floor)
		m->floor = wanted;
}

static void
scale(struct sim *m, int by)
{
	/* The fewest and the most are tested elsewhere. */
	if (m->over || (int)m->wanted + by > (int)m->seats_max ||
	    (m->target != NULL &&
	    (int)m->rollout.stable_wanted + by > (int)m->seats_max) ||
	    !rollout_scale(&m->rollout, &m->wanted, by))
		return;
	lower_floor(m, m->wanted);
	if (m->target != NULL)
		lower_floor(m, m->rollout.stable_wanted);
}

static void
begin(struct sim *m, struct spec *target)
{
	m->target = target;
	m->rollouts++;
	m->last_upset = m->now;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		m->workers[i].outdated = false;
}

static void
roll_over(struct sim *m, struct spec *spec)
{
	for (unsigned i = 0; i < m->n_seats; i++)
		retire(m, &m->seats[i].next);
	rollout_begin(&m->rollout, &m->wanted, m->stable->instances,
	    spec->instances);
	begin(m, spec);
	lower_floor(m, m->wanted);
}

static void
restart_one(struct sim *m, unsigned i)
{
	rollout_begin_restart(&m->rollout, i, m->wanted);
	begin(m, m->stable);
	if (m->seats[i].present != NULL)
		m->seats[i].present->outdated = true;
	m->restarts++;
}

/* ---- trials, as in daemon/apps/app_rollout_step.c ---- */

static int64_t
canary_ms(const struct sim *m)
{
	return m->rollout.kind == ROLLOUT_BACK ? 0 :
	    m->target->conf.canary_ms;
}

static bool
is_on_trial(const struct sim *m, const struct worker *w)
{
	return w != NULL && w->used && w->seated && w->spec == m->target &&
	    !w->outdated && (m->rollout.kind != ROLLOUT_RESTART ||
		w->fsm.trial) && worker_ready(w);
}

static enum trial_verdict
verdict_on(const struct sim *m, const struct worker *w)
{
	const struct trial_terms terms = {
		.canary_ms = canary_ms(m),
		.ready_timeout_ms = READY_TIMEOUT_MS,
		.since = w->spec->conf.n_listens == 0 ? w->fsm.executed :
		    clock_of(w->ready),
	};

	return is_on_trial(m, w) ? trial_decide(&w->trial, &terms,
	    clock_of(m->now)) : TRIAL_NEW;
}

static bool
waits_for(const struct sim *m, const struct worker *w)
{
	return w->spec->conf.n_listens > 0 && w->client <= m->now &&
	    m->now < w->serves;
}

static void
look_at(struct sim *m, int64_t when)
{
	if (when > m->now && when < m->look)
		m->look = when;
}

/* When there is something new to be seen of it; in truth it is looked at more
   often. */
static void
look_again(struct sim *m, const struct worker *w)
{
	look_at(m, w->client);
	look_at(m, w->client + TRIAL_STALL_MS);
	look_at(m, w->serves);
	look_at(m, w->ready + CANARY_MS);
	look_at(m, ms_of(w->fsm.executed) + CANARY_MS);
	if (w->trial.waits)
		look_at(m, ms_of(w->trial.since) + READY_TIMEOUT_MS);
	/* It is on trial, whatever comes. */
	look_at(m, m->now + READY_TIMEOUT_MS);
}

static void
look_at_trials(struct sim *m)
{
	m->look = NEVER;
	if (m->target == NULL || canary_ms(m) == 0)
		return;
	for (size_t i = 0; i < WORKERS_MAX; i++) {
		struct worker *w = &m->workers[i];
		struct trial_sight sight = { .waiting = 0 };

		if (!is_on_trial(m, w))
			continue;
		sight.waiting = waits_for(m, w);
		trial_see(&w->trial, w->serial, &sight, clock_of(m->now));
		m->slow += w->trial.kept;
		if (w->trial.taken && m->seats[w->instance].present == w)
			continue;
		look_again(m, w);
	}
}

static bool
leaves(const struct sim *m, unsigned instance)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (m->workers[i].used && !m->workers[i].seated &&
		    m->workers[i].instance == instance &&
		    worker_state_alive(m->workers[i].fsm.state))
			return true;
	return false;
}

static bool
any_slow(const struct sim *m)
{
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (m->workers[i].used && m->workers[i].seated &&
		    m->workers[i].spec == m->target && m->workers[i].trial.kept)
			return true;
	return false;
}

/* ---- step by step ---- */

static struct rollout_seat
look(const struct sim *m, unsigned i)
{
	struct rollout_seat seat;
	const struct worker *both[2] = {
		m->seats[i].present, m->seats[i].next,
	};
	struct rollout_worker seen[2];

	for (int k = 0; k < 2; k++)
		if (both[k] != NULL)
			seen[k] = (struct rollout_worker){
				.state = both[k]->fsm.state,
				.trial = verdict_on(m, both[k]),
				.generation = both[k]->spec->generation,
				.newer = !both[k]->spec->failed &&
				    both[k]->spec->generation >
				    m->stable->generation,
				.streak = both[k]->fsm.history.streak,
				.relapsed = both[k]->relapsed,
				.outdated = both[k]->outdated,
				.of_target = both[k]->spec == m->target,
				.of_stable = both[k]->spec == m->stable,
			};
	seat = rollout_look(&m->rollout, i, both[0] == NULL ? NULL : &seen[0],
	    both[1] == NULL ? NULL : &seen[1]);
	seat.leaving = leaves(m, i);
	return seat;
}

/* Is it where the rollout wants it? Where one instance is restarted, the
   others are, whoever they are. */
static bool
on_target(const struct sim *m, unsigned i)
{
	const struct worker *w = m->seats[i].present;

	return w != NULL && ((m->rollout.kind == ROLLOUT_RESTART &&
	    i != m->rollout.instance) ||
	    (w->spec == m->target && !w->outdated));
}

/* Is somebody there who serves, or has done all that was asked of him? */
static bool
serves(const struct worker *w)
{
	return w != NULL && (worker_ready(w) || w->fsm.state == WORKER_ENDED);
}

/*
 * Must it serve before anything is taken from another? On a way back nobody
 * has to: what had been stable may crash as it did before. Nor do those who are
 * there while another is restarted.
 */
static bool
must_serve(const struct sim *m, unsigned i)
{
	return m->rollout.kind == ROLLOUT_RELOAD && on_target(m, i);
}

static void
start(struct sim *m, unsigned i, bool stop)
{
	struct seat *seat = &m->seats[i];
	unsigned n_on_target = 0;

	CHECK(m, i < m->wanted && !on_target(m, i) && (seat->next == NULL ||
	    seat->next->fsm.state == WORKER_IDLE));
	for (unsigned k = 0; k < m->n_seats; k++)
		n_on_target += k < m->wanted && on_target(m, k);
	/* The canary is alone until it has taken its seat. */
	for (unsigned k = 0; k < m->wanted; k++)
		CHECK(m, n_on_target > 0 || k == i ||
		    m->seats[k].next == NULL);
	if (stop)
		unseat(m, &seat->present, WORKER_EV_STOP);
	/* One that comes up again beside the new one would be one too many. */
	CHECK(m, seat->present == NULL ||
	    seat->present->fsm.state != WORKER_BACKOFF);
	/* Without a surge, never two of the same. */
	if (m->surge == 0)
		CHECK(m, !leaves(m, i) && (seat->present == NULL ||
		    !worker_state_alive(seat->present->fsm.state)));
	if (seat->next == NULL)
		seat_worker(m, &seat->next, m->target, i, true);
	else
		worker_event(m, seat->next, WORKER_EV_START);
	seat->next->rollout = m->rollouts;
}

static void
vacate(struct sim *m, unsigned i)
{
	struct seat *seat = &m->seats[i];

	CHECK(m, m->surge == 0 && i < m->wanted && seat->next == NULL);
	/* One at a time, of those that are wanted. */
	for (unsigned k = 0; k < m->wanted; k++)
		CHECK(m, m->seats[k].next == NULL);
	put_worker(m, &seat->next, m->target, i, true);
	retire(m, &seat->present);
	m->vacated++;
}

/* The first one has lived for its time, nobody waits for any of them, and where
   one was slow each has served somebody or lived as long. */
static void
check_trial(const struct sim *m, const struct worker *w)
{
	bool first = true;

	if (canary_ms(m) == 0 || w->fsm.state == WORKER_ENDED)
		return;
	for (unsigned k = 0; k < m->n_seats; k++)
		first &= !on_target(m, k);
	if (first || m->rollout.kind == ROLLOUT_RESTART)
		CHECK(m, m->now - (w->spec->conf.n_listens == 0 ?
		    ms_of(w->fsm.executed) : w->ready) >= CANARY_MS);
	CHECK(m, w->trial.taken || !w->trial.waits);
	if (any_slow(m))
		CHECK(m, w->trial.taken || m->now - w->ready >= CANARY_MS ||
		    w->spec->conf.n_listens == 0);
}

static void
promote(struct sim *m, unsigned i)
{
	struct seat *seat = &m->seats[i];

	/* A ready worker goes for one that is ready, and only while those
	   that came before it serve. */
	CHECK(m, serves(seat->next));
	check_trial(m, seat->next);
	for (unsigned k = 0; k < m->wanted; k++)
		if (must_serve(m, k))
			CHECK(m, serves(m->seats[k].present));
	retire(m, &seat->present);
	seat->present = seat->next;
	seat->next = NULL;
	worker_event(m, seat->present, WORKER_EV_PASSED);
	m->promotes++;
}

static void
trim(struct sim *m, unsigned i)
{
	CHECK(m, i == m->n_seats - 1 && i >= m->wanted);
	for (unsigned k = 0; k < m->wanted; k++)
		CHECK(m, on_target(m, k) && (serves(m->seats[k].present) ||
		    !must_serve(m, k)));
	drop_last_seat(m);
	m->trims++;
}

static bool
has_seat(const struct sim *m, const struct spec *spec, bool under)
{
	for (unsigned i = 0; i < m->n_seats; i++)
		if (m->seats[i].present != NULL &&
		    (m->seats[i].present->spec == spec) == under)
			return true;
	return false;
}

static void
done(struct sim *m)
{
	CHECK(m, m->n_seats == m->wanted);
	for (unsigned k = 0; k < m->n_seats; k++)
		CHECK(m, on_target(m, k) && (serves(m->seats[k].present) ||
		    !must_serve(m, k)) && m->seats[k].next == NULL);
	/* Unless it was scaled away meanwhile. */
	if (m->rollout.kind == ROLLOUT_RESTART &&
	    m->rollout.instance < m->n_seats)
		CHECK(m, serves(m->seats[m->rollout.instance].present));
	m->dones++;
	(void)rollout_done(&m->rollout);
	m->stable = m->target;
	m->target = NULL;
	m->over = false;
	/* After a restart what a way back has left may still be there. */
	if (!has_seat(m, m->stable, false))
		m->way_back_failed = false;
}

/* It serves, and nobody who serves is newer but for the failed. */
static void
check_turn(const struct sim *m, const struct worker *to)
{
	CHECK(m, worker_ready(to) && to->spec != m->target &&
	    !to->spec->failed &&
	    to->spec->generation > m->stable->generation);
	for (unsigned i = 0; i < m->n_seats; i++) {
		const struct worker *w = m->seats[i].present;

		if (w != NULL && worker_ready(w) && w->spec != m->target &&
		    !w->spec->failed)
			CHECK(m, w->spec->generation <= to->spec->generation);
	}
}

/* What an abort comes to is what it says, and what there is. */
static void
check_abort(struct sim *m, enum rollout_kind kind, struct rollout_aborted a)
{
	bool odd = has_seat(m, m->stable, false);

	CHECK(m, m->wanted == m->rollout.stable_wanted);
	CHECK(m, (kind == ROLLOUT_BACK && m->target == m->stable) ==
	    (a.after == ROLLOUT_GIVES_UP));
	CHECK(m, a.leave == (a.after != ROLLOUT_GIVES_UP &&
	    !has_seat(m, m->target, true)));
	CHECK(m, (m->rollout.kind == ROLLOUT_BACK) ==
	    (a.after == ROLLOUT_RETURNS || a.after == ROLLOUT_TURNS));
	if (a.after == ROLLOUT_TURNS)
		check_turn(m, m->seats[a.odd].present);
	if (kind == ROLLOUT_BACK)
		return;
	CHECK(m, odd == (a.after != ROLLOUT_STAYS));
	CHECK(m, (a.after == ROLLOUT_ADOPTS) == (odd && m->over));
	if (odd)
		CHECK(m, m->seats[a.odd].present->spec != m->stable);
}

static void
give_up_target(struct sim *m, unsigned i, const struct rollout_view *view)
{
	const struct seat *seat = &m->seats[i];
	const struct worker *bad = seat->next != NULL ? seat->next :
	    seat->present;
	enum rollout_kind kind = m->rollout.kind;
	struct rollout_aborted a;

	/* It is one of its own workers that failed. */
	CHECK(m, bad->rollout == m->rollouts);
	CHECK(m, kind == ROLLOUT_BACK ||
	    (kind != ROLLOUT_RELOAD) == (m->target == m->stable));
	m->second_deaths += m->rollout.deaths >= ROLLOUT_DEATHS;
	m->takes_nobody += worker_ready(bad) && !bad->trial.taken &&
	    bad->trial.kept;
	if (m->target != m->stable)
		m->target->failed = true;
	for (unsigned k = 0; k < m->n_seats; k++)
		retire(m, &m->seats[k].next);
	a = rollout_abort(&m->rollout, &m->wanted, view, m->over);
	check_abort(m, kind, a);
	m->aborts++;
	m->target = NULL;
	switch (a.after) {
	case ROLLOUT_STAYS:
		break;
	case ROLLOUT_GIVES_UP:
		m->way_back_failed = true;
		break;
	case ROLLOUT_ADOPTS:
		m->stable = m->seats[a.odd].present->spec;
		m->over = false;
		m->way_back_failed = true;
		break;
	case ROLLOUT_RETURNS:
		fill_seats(m);
		begin(m, m->stable);
		m->returns++;
		break;
	case ROLLOUT_TURNS:
		if (m->seats[a.odd].present->spec->instances !=
		    m->stable->instances)
			m->wanted = m->seats[a.odd].present->spec->instances;
		lower_floor(m, m->wanted);
		begin(m, m->seats[a.odd].present->spec);
		m->turns++;
		break;
	}
}

static bool
rollout_step(struct sim *m)
{
	struct rollout_seat seats[SEATS_MAX];
	struct rollout_view view = {
		.seats = seats, .surge = m->surge,
		.trial = canary_ms(m) > 0,
		.alone = m->rollout.kind == ROLLOUT_RESTART,
		.slow = any_slow(m), .unproven = m->target != m->stable,
		.deaths = m->rollout.deaths, .died = m->rollout.died,
		.idle = m->rollout.idle,
	};
	struct rollout_decision d;

	ensure_seats(m, m->wanted);
	for (unsigned i = 0; i < m->n_seats; i++)
		seats[i] = look(m, i);
	view.n_seats = m->n_seats;
	view.n_wanted = m->wanted;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		view.n_alive += m->workers[i].used &&
		    rollout_takes_place(m->workers[i].fsm.state);
	view.n_leaving = count_leaving(m);
	d = rollout_decide(&view);
	switch (d.what) {
	case ROLLOUT_WAIT:
		return false;
	case ROLLOUT_START:
		start(m, (unsigned)d.seat, d.stop);
		return true;
	case ROLLOUT_VACATE:
		vacate(m, (unsigned)d.seat);
		return true;
	case ROLLOUT_DROP:
		CHECK(m, d.seat >= m->wanted);
		retire(m, &m->seats[d.seat].next);
		return true;
	case ROLLOUT_PROMOTE:
		promote(m, (unsigned)d.seat);
		return true;
	case ROLLOUT_TRIM:
		trim(m, (unsigned)d.seat);
		return true;
	case ROLLOUT_ABORT:
		give_up_target(m, (unsigned)d.seat, &view);
		return m->target != NULL;
	case ROLLOUT_DONE:
		done(m);
		return false;
	}
	return false;
}

static void
free_retired(struct sim *m)
{
	bool retiring = false;

	for (size_t i = 0; i < WORKERS_MAX; i++) {
		struct worker *w = &m->workers[i];

		if (!w->used || w->seated)
			continue;
		if (worker_state_final(w->fsm.state)) {
			worker_fsm_free(&w->fsm);
			w->used = false;
		} else {
			retiring = true;
		}
	}
	if (!retiring)
		m->most_seats = m->n_seats;
}

static void
check_over(struct sim *m)
{
	for (unsigned i = 0; i < m->n_seats; i++)
		if (m->seats[i].present == NULL ||
		    !worker_state_final(m->seats[i].present->fsm.state))
			return;
	m->over = true;
}

static void
app_advance(struct sim *m)
{
	unsigned steps = 0;

	free_retired(m);
	look_at_trials(m);
	while (m->target != NULL && rollout_step(m))
		CHECK(m, ++steps < 1000);
	if (m->target == NULL) {
		fill_seats(m);
		check_over(m);
	}
	/* Without a surge one is missing for a while. */
	if (m->calm)
		CHECK(m, count_ready(m) + (m->surge == 0) >= m->floor);
	CHECK(m, m->target == NULL || m->rollout.deaths < ROLLOUT_DEATHS ||
	    m->rollout.died >= m->wanted);
}

/* -- time -- */

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
deadline_ms(const struct worker *w)
{
	return mono_is_never(w->fsm.deadline) ? NEVER :
	    ms_of(w->fsm.deadline);
}

static int64_t
next_event(const struct sim *m)
{
	int64_t next = m->look;

	for (size_t i = 0; i < WORKERS_MAX; i++) {
		const struct worker *w = &m->workers[i];

		if (!w->used)
			continue;
		next = least(next, deadline_ms(w));
		if (worker_state_alive(w->fsm.state))
			next = least(next, least(w->executes,
			    least(w->says_ready, least(w->drained,
			    w->exits))));
	}
	return next;
}

/* As a turn of the loop: readiness, drains, exits, then deadlines. */
static void
handle_due(struct sim *m)
{
	for (int phase = 0; phase < 5; phase++)
		for (size_t i = 0; i < WORKERS_MAX; i++) {
			struct worker *w = &m->workers[i];
			enum worker_event event = WORKER_EV_DEADLINE;
			int64_t *due = NULL, deadline;

			if (!w->used)
				continue;
			deadline = deadline_ms(w);
			if (phase == 0) {
				due = &w->executes;
				event = WORKER_EV_EXECUTED;
			} else if (phase == 1) {
				due = &w->says_ready;
				event = WORKER_EV_NOTIFY_READY;
			} else if (phase == 2) {
				due = &w->drained;
				event = WORKER_EV_DRAINED;
			} else if (phase == 3) {
				due = &w->exits;
				event = WORKER_EV_EXITED;
			} else {
				due = &deadline;
			}
			if (phase < 4 && !worker_state_alive(w->fsm.state))
				continue;
			if (*due > m->now)
				continue;
			*due = NEVER;
			if (event == WORKER_EV_EXITED)
				w->executes = w->says_ready =
				    w->drained = NEVER;
			worker_event(m, w, event);
			/* It said so when it waits. */
			if (event == WORKER_EV_NOTIFY_READY)
				worker_event(m, w, m->blind ?
				    WORKER_EV_BLIND : WORKER_EV_WAITS);
		}
}

/* Any living worker that nobody has asked to stop dies, or one that drains. */
static void
crash_somebody(struct sim *m)
{
	struct worker *w = &m->workers[roll(m, m->many ? WORKERS_MAX : 64)];

	if (!w->used || !worker_state_alive(w->fsm.state) ||
	    (w->fsm.unwanted && w->fsm.state != WORKER_DRAINING))
		return;
	m->crashes--;
	m->last_upset = m->now;
	w->exits = m->now;
	w->exits_badly = !m->ending || roll(m, 2) == 0;
}

static struct spec *
draw_spec(struct sim *m)
{
	struct spec *s = &m->specs[m->n_specs++];

	*s = (struct spec){
		.conf = {
			.restart = CONF_RESTART_ALWAYS,
			.restart_delay_ms = 50,
			.restart_delay_max_ms = 1000,
			.restart_reset_ms = 1500,
			.ready = roll(m, 2) == 0 ? CONF_READY_AUTO :
			    CONF_READY_NOTIFY,
			.ready_alive_ms = 300,
			.ready_timeout_ms = READY_TIMEOUT_MS,
			.stop_timeout_ms = STOP_TIMEOUT_MS,
			.drain_timeout_ms = roll(m, 4) == 0 ? 0 :
			    DRAIN_TIMEOUT_MS,
			.n_listens = roll(m, 3) == 0 ? 0 : 1,
			.canary_ms = roll(m, 3) == 0 ? 0 : CANARY_MS,
		},
		.generation = m->n_specs,
		.slow_ms = roll(m, 3) == 0 ? SLOW_MS : 0,
		.instances = 1 + roll(m, 6),
		.badness = roll(m, 3) == 0 ? roll(m, 17) : 0,
	};
	if (m->many)
		s->instances += MANY_SEATS;
	if (m->n_specs > 1 && roll(m, 2) == 0)
		s->instances = m->stable->instances;
	if (m->ending) {
		s->conf.restart = (enum conf_restart)roll(m, 3);
		if (roll(m, 2) == 0) {
			s->conf.restart_limit = 1 + roll(m, 3);
			s->conf.restart_limit_ms = 60000;
		}
	}
	return s;
}

static void
request_something(struct sim *m)
{
	bool retiring = false;

	for (size_t i = 0; i < WORKERS_MAX; i++)
		retiring |= m->workers[i].used && !m->workers[i].seated;
	if (m->target == NULL && retiring)
		return;
	if (m->restarting && m->target == NULL && !m->over &&
	    roll(m, 2) == 0)
		restart_one(m, roll(m, m->n_seats));
	else if (m->n_specs < sizeof(m->specs) / sizeof(*m->specs) &&
	    (m->target == NULL || (m->superseding && roll(m, 4) == 0)))
		roll_over(m, draw_spec(m));
	else
		scale(m, roll(m, 2) == 0 ? 1 : -1);
	m->requests--;
	m->last_upset = m->now;
}

static void
turn(struct sim *m)
{
	int64_t next = next_event(m);

	if (next > m->now && next != NEVER)
		m->now = next;
	/* Sometimes much comes together. */
	if (roll(m, 4) == 0)
		m->now += roll(m, 200);
	if (m->crashes > 0 && roll(m, 6) == 0)
		crash_somebody(m);
	handle_due(m);
	if (m->requests > 0 && roll(m, 12) == 0)
		request_something(m);
	app_advance(m);
	/* A rollout ends, and there is always something that moves it on. */
	if (m->target != NULL) {
		CHECK(m, next_event(m) != NEVER);
		CHECK(m, m->now - m->last_upset < PATIENCE_MS(m->seats_max));
	}
}

static bool
at_rest(const struct sim *m)
{
	if (m->target != NULL || m->requests > 0 || m->crashes > 0)
		return false;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (m->workers[i].used &&
		    (!m->workers[i].seated || (!serves(&m->workers[i]) &&
		    !worker_state_final(m->workers[i].fsm.state))))
			return false;
	return true;
}

struct history {
	unsigned crashes, bad_starts, requests;
	bool superseding, ending, restarting, many;
};

struct totals {
	unsigned long dones, aborts, promotes, trims, drains, rescues,
	    restarts, returns, turns, vacated, second_deaths, takes_nobody,
	    slow, failed_ways_back, beside, abreast;
};

static void
run_history(unsigned number, const struct history *h, struct totals *totals)
{
	static struct sim m;

	m = (struct sim){
		.number = number, .seed = number * 2654435761u + 1,
		.now = 1000,
		.many = h->many, .seats_max = h->many ? SEATS_MAX : FEW_SEATS,
		.calm = h->crashes == 0, .ending = h->ending, .look = NEVER,
	};
	(void)roll(&m, 2);
	m.surge = roll(&m, 5);
	m.blind = roll(&m, 4) == 0;
	m.stable = draw_spec(&m);
	m.stable->badness = 0;
	m.wanted = m.stable->instances;
	fill_seats(&m);
	/* All are ready, and then it begins. */
	while (!at_rest(&m))
		turn(&m);
	m.floor = m.wanted;
	m.crashes = h->crashes > 0 ? roll(&m, h->crashes + 1) : 0;
	m.bad_starts = h->bad_starts > 0 ? roll(&m, h->bad_starts + 1) : 0;
	m.requests = 1 + roll(&m, h->requests);
	m.superseding = h->superseding;
	m.restarting = h->restarting;
	roll_over(&m, draw_spec(&m));
	for (unsigned turns = 0; !at_rest(&m); turns++) {
		CHECK(&m, turns < 100000);
		turn(&m);
		/* Requests come in any case, crashes as long as they can. */
		if (m.target == NULL && turns > 2000)
			m.crashes = m.requests = 0;
	}

	/* One configuration everywhere, unless there was no way back. */
	if (!m.over && !m.way_back_failed) {
		CHECK(&m, m.n_seats == m.wanted);
		for (unsigned i = 0; i < m.n_seats; i++)
			CHECK(&m, m.seats[i].present->spec == m.stable);
	}
	totals->dones += m.dones;
	totals->aborts += m.aborts;
	totals->promotes += m.promotes;
	totals->trims += m.trims;
	totals->drains += m.drains;
	totals->rescues += m.rescues;
	totals->restarts += m.restarts;
	totals->returns += m.returns;
	totals->turns += m.turns;
	totals->vacated += m.vacated;
	totals->second_deaths += m.second_deaths;
	totals->takes_nobody += m.takes_nobody;
	totals->slow += m.slow;
	totals->beside += m.beside;
	totals->abreast += m.abreast;
	totals->failed_ways_back += m.way_back_failed;
	for (size_t i = 0; i < WORKERS_MAX; i++)
		if (m.workers[i].used)
			worker_fsm_free(&m.workers[i].fsm);
}

#define HISTORIES 3000

static void
histories_without_faults(void **state)
{
	const struct history h = { .requests = 6, .superseding = true };
	struct totals t = { 0 };

	(void)state;
	for (unsigned i = 0; i < HISTORIES; i++)
		run_history(i, &h, &t);
	assert_int_equal(t.aborts, 0);
	assert_true(t.dones > HISTORIES);
	assert_true(t.promotes > 3 * HISTORIES);
	assert_true(t.trims > HISTORIES / 3);
	assert_true(t.drains > HISTORIES);
	assert_true(t.vacated > HISTORIES / 3);
	assert_true(t.slow > HISTORIES);
}

static void
histories_with_bad_starts(void **state)
{
	const struct history h = { .bad_starts = 4, .requests = 6 };
	struct totals t = { 0 };

	(void)state;
	for (unsigned i = 0; i < HISTORIES; i++)
		run_history(i, &h, &t);
	assert_true(t.aborts > HISTORIES / 4);
	assert_true(t.dones > HISTORIES / 2);
	assert_true(t.drains > HISTORIES);
	assert_true(t.takes_nobody > HISTORIES / 100);
}

static void
histories_with_crashes(void **state)
{
	const struct history h = {
		.crashes = 12, .bad_starts = 2, .requests = 6,
		.superseding = true,
	};
	struct totals t = { 0 };

	(void)state;
	for (unsigned i = 0; i < HISTORIES; i++)
		run_history(i, &h, &t);
	assert_true(t.aborts > HISTORIES / 4);
	assert_true(t.dones > HISTORIES / 2);
	assert_true(t.drains > HISTORIES);
	assert_true(t.rescues > HISTORIES / 10);
	assert_true(t.second_deaths > HISTORIES / 150);
	assert_true(t.turns > HISTORIES / 100);
}

/* Those who have nothing left to finish leave beside new ones, and then several
   begin at a time. */
static void
histories_of_many(void **state)
{
	const struct history h = {
		.crashes = 12, .bad_starts = 2, .requests = 3,
		.superseding = true, .many = true,
	};
	struct totals t = { 0 };

	(void)state;
	for (unsigned i = 0; i < HISTORIES / 10; i++)
		run_history(i, &h, &t);
	assert_true(t.aborts > HISTORIES / 40);
	assert_true(t.dones > HISTORIES / 20);
	assert_true(t.beside > HISTORIES);
	assert_true(t.abreast > HISTORIES);
}

/* Workers that end well, fail for good or are parked. */
static void
histories_with_ends(void **state)
{
	const struct history h = {
		.crashes = 12, .bad_starts = 2, .requests = 6,
		.superseding = true, .ending = true,
	};
	struct totals t = { 0 };

	(void)state;
	for (unsigned i = 0; i < HISTORIES; i++)
		run_history(i, &h, &t);
	assert_true(t.aborts > HISTORIES / 4);
	assert_true(t.dones > HISTORIES / 2);
	assert_true(t.drains > HISTORIES);
}

/* Single instances, between reloads that may have left some odd ones. */
static void
histories_with_restarts(void **state)
{
	const struct history h = {
		.crashes = 8, .bad_starts = 4, .requests = 8,
		.superseding = true, .restarting = true,
	};
	struct totals t = { 0 };

	(void)state;
	for (unsigned i = 0; i < HISTORIES; i++)
		run_history(i, &h, &t);
	assert_true(t.restarts > HISTORIES);
	assert_true(t.returns > HISTORIES / 10);
	assert_true(t.aborts > HISTORIES / 4);
	assert_true(t.dones > HISTORIES / 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(histories_without_faults),
		cmocka_unit_test(histories_with_bad_starts),
		cmocka_unit_test(histories_with_crashes),
		cmocka_unit_test(histories_of_many),
		cmocka_unit_test(histories_with_ends),
		cmocka_unit_test(histories_with_restarts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
