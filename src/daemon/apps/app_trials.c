#include <stddef.h>

#include "base/mono.h"
#include "core/conf/conf.h"
#include "core/worker/rollout.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_trials.h"
#include "daemon/apps/seats.h"
#include "daemon/health/health.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer_proof.h"
#include "daemon/steer/steer_sight.h"
#include "daemon/workers/worker.h"

static void
look_due(void *ctx)
{
	app_touch(ctx);
}

int
trials_init(struct app *app)
{
	app->proof = (struct steer_proof)STEER_PROOF_INIT;
	return loop_timer_init(app->apps->workers->loop, &app->look, look_due,
	    app);
}

void
trials_fini(struct app *app)
{
	loop_timer_fini(app->apps->workers->loop, &app->look);
	steer_proof_end(&app->proof);
}

/* ---- what is known ---- */

int64_t
trials_canary_ms(const struct app *app)
{
	return app->rollout.kind == ROLLOUT_BACK ? 0 :
	    app->crew.target->conf->canary_ms;
}

/* Is it one of the rollout's new workers, and ready? Beside an instance that is
   restarted alone, those who have their seats are not. */
static bool
is_on_trial(const struct app *app, const struct worker *w)
{
	return w->spec == app->crew.target && !w->outdated &&
	    (app->rollout.kind != ROLLOUT_RESTART || w->fsm.trial) &&
	    worker_ready(w);
}

/* Has it taken its seat? */
static bool
is_settled(const struct app *app, const struct worker *w)
{
	return app->seats[w->instance].present == w;
}

/* Whoever goes back is known. */
static bool
is_doubted(const struct app *app, const struct worker *w)
{
	return app->rollout.kind != ROLLOUT_BACK && !is_settled(app, w) &&
	    health_is_doubtful(w);
}

/* It has to be found well within the time of its trial, or, without one, before it
   is condemned; as long as the first check takes, it takes. */
static enum trial_verdict
with_doubt(const struct worker *w, const struct trial_terms *terms)
{
	const struct health *h = health_of(w);
	bool over = terms->canary_ms > 0 ? h->unwell && mono_ms_between(
	    terms->since, mono_now()) >= terms->canary_ms : h->condemned;

	return over ? TRIAL_FAILS : TRIAL_WAITS;
}

/* One without listeners has been seen to live already while it was starting. */
static struct trial_terms
terms_of(const struct app *app, const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;

	return (struct trial_terms){
		.canary_ms = trials_canary_ms(app),
		.ready_timeout_ms = conf->ready_timeout_ms,
		.since = conf->n_listens == 0 ? w->fsm.executed :
		    mono_add_ms(w->fsm.executed, w->ready_ms),
	};
}

enum trial_verdict
trials_verdict(const struct app *app, const struct worker *w)
{
	const struct trial_terms terms = terms_of(app, w);
	enum trial_verdict v;

	if (!is_on_trial(app, w))
		return TRIAL_NEW;
	v = trial_decide(&w->trial, &terms, mono_now());
	return v != TRIAL_FAILS && is_doubted(app, w) ?
	    with_doubt(w, &terms) : v;
}

bool
trials_any_slow(const struct app *app)
{
	for (const struct worker *w = app->crew.workers; w != NULL; w = w->next)
		if (w->seated && w->spec == app->crew.target && w->trial.kept)
			return true;
	return false;
}

/* ---- who gets new connections ---- */

static bool
stalls(const struct app *app, const struct worker *w)
{
	enum trial_verdict v = w != NULL ? trials_verdict(app, w) : TRIAL_NEW;

	return v == TRIAL_STALLS || v == TRIAL_FAILS;
}

/* Is the new worker to have the connections of its seat? One that keeps the
   first waiting, or is not known to be well, gets no others, as long as the old
   one is there. */
static bool
next_serves(const struct app *app, const struct seat *seat)
{
	const struct worker *next = seat->next;

	return next != NULL && (seat->present == NULL ||
	    (worker_ready(next) && (!worker_ready(seat->present) ||
		(!stalls(app, next) && !health_is_doubtful(next)))));
}

bool
trials_goes_well(const struct app *app, unsigned i, struct mono *ret_over)
{
	const struct worker *next = app->seats[i].next;
	struct trial_terms terms;

	if (next == NULL || !is_on_trial(app, next) || stalls(app, next) ||
	    is_doubted(app, next))
		return false;
	terms = terms_of(app, next);
	*ret_over = mono_add_ms(terms.since, terms.canary_ms);
	return true;
}

static const struct worker *
server_of(const struct app *app, const struct seat *seat)
{
	return next_serves(app, seat) ? seat->next : seat->present;
}

static bool
any_serves(const struct app *app)
{
	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct worker *w = server_of(app, &app->seats[i]);

		if (w != NULL && worker_ready(w) && !stalls(app, w))
			return true;
	}
	return false;
}

/* Who gets new connections, seat by seat. */
static void
share_out(struct app *app)
{
	bool others = any_serves(app);

	for (unsigned i = 0; i < app->n_seats; i++) {
		const struct seat *seat = &app->seats[i];

		/* Nobody, if others serve and this one does not yet. */
		seats_turn_to(app, i, next_serves(app, seat) ||
		    (seat->next == NULL && others &&
			stalls(app, seat->present)));
	}
}

/* Has it shown what it has to show, of those that have changed over? There may
   be very many. */
static bool
is_known(const struct app *app, const struct worker *w)
{
	return is_settled(app, w) && (w->trial.taken ||
	    trials_verdict(app, w) == TRIAL_PASSED);
}

/* ---- looks ---- */

/* Is anybody on trial, or to be found well at least? */
static bool
are_looked_at(const struct app *app)
{
	return trials_canary_ms(app) > 0 ||
	    (app->rollout.kind != ROLLOUT_BACK &&
		app->crew.target->conf->health != CONF_HEALTH_NONE);
}

/* Looks at the new workers; returns when to come again, or -1. */
static int64_t
look_at_all(struct app *app)
{
	const bool trial = trials_canary_ms(app) > 0;
	int64_t again_ms = -1;

	for (struct worker *w = app->crew.workers; w != NULL; w = w->next) {
		struct trial_sight sight;

		if (!w->seated || !is_on_trial(app, w) || is_known(app, w))
			continue;
		health_hurry(w);
		if (again_ms < 0)
			again_ms = TRIAL_IDLE_MS;
		if (!trial)
			continue;
		steer_sight(w, &sight);
		/* One that works on a client for long has been too fast for a
		   look at its queue, and keeps the next one waiting. */
		sight.serves = sight.waiting > 0 && !w->trial.taken &&
		    steer_proof(&app->proof, w);
		trial_see(&w->trial, w->serial, &sight, mono_now());
		if (w->trial.waits && !w->trial.taken)
			again_ms = TRIAL_LOOK_MS;
	}
	return again_ms;
}

void
trials_look(struct app *app)
{
	int64_t again_ms;

	/* Nobody is on trial, also where one was when this ended. */
	if (app->crew.target == NULL || !are_looked_at(app)) {
		seats_turn_back(app);
		return;
	}
	again_ms = look_at_all(app);
	share_out(app);
	if (again_ms >= 0)
		loop_timer_start(app->apps->workers->loop, &app->look,
		    again_ms);
}
