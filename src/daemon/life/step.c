#include <sys/random.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/obituary.h"
#include "core/worker/worker_words.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/adopt/adopt_tryout.h"
#include "daemon/health/health.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life_house.h"
#include "daemon/life/life_ledger_priv.h"
#include "daemon/life/step_priv.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/drain_seal.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/hint.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"
#include "linux/process/signal_stopped.h"

/* ---- to decide ---- */

static void
note_readiness(struct worker *w, const struct worker_step *step)
{
	if (step->to == WORKER_READY && step->from != WORKER_READY) {
		w->was_ready = true;
		w->ready_ms = mono_ms_between(w->fsm.executed, mono_now());
		w->relapsed = false;
		if (step->why == WORKER_WHY_WAITS ||
		    step->why == WORKER_WHY_NOTIFIED_WAITS)
			app_spec_note_seen(w->spec);
	}
	if (worker_step_relapses(step, w->was_ready))
		w->relapsed = true;
}

/* The time and a random number. */
static struct worker_facts
facts_now(void)
{
	struct worker_facts facts = { .now = mono_now() };

	(void)!getrandom(&facts.dice, sizeof(facts.dice), GRND_NONBLOCK);
	return facts;
}

bool
step_is_yet_to_retire(const struct worker *w)
{
	return w->crew->stopping && !w->fsm.unwanted;
}

struct worker_step
step_take(struct worker *w, enum worker_event event, bool failure)
{
	struct worker_facts facts = facts_now();
	struct worker_step step;

	if (event == WORKER_EV_EXITED && step_is_yet_to_retire(w))
		(void)step_take(w, WORKER_EV_RETIRE, false);
	if (event == WORKER_EV_DEADLINE && w->fsm.state == WORKER_BACKOFF &&
	    step_is_yet_to_retire(w))
		event = WORKER_EV_RETIRE;
	facts.failure = failure;
	facts.extended = w->extended;
	facts.seen_before = w->crew->stable != NULL && w->crew->stable->seen;
	facts.waiting = (event == WORKER_EV_RETIRE ||
	    (event == WORKER_EV_EXITED && w->fsm.retiring)) &&
	    steer_keeps_waiting(w->leader->life->with.steering, w);
	facts.no_successor = w->crew->stopping;
	facts.ends = w->crew->all->stopping;
	step = worker_fsm_step(&w->fsm, w->spec->conf, event, &facts);
	note_readiness(w, &step);
	return step;
}

/* ---- to tell ---- */

/* One that has died, or could not be started, may do so again, as often as it is
   tried; what an order begins comes once for each instance. */
static bool
comes_again(const struct worker *w)
{
	return w->death != NULL;
}

static void
log_ready(const struct worker *w, const struct worker_step *step,
    const char *age)
{
	static const char words[] = "ready after %s (%s)";
	const char *why = worker_reason_text(step->why);
	enum log_level level = step->why == WORKER_WHY_UNSEEN ?
	    LOG_LEVEL_WARNING : LOG_LEVEL_INFO;

	if (comes_again(w))
		/* Another reason is another line, as of deaths. */
		log_vital(level, &w->holder.about, why, words, age, why);
	else
		worker_log(level, w, words, age, why);
}

static void
log_kill(const struct worker *w, const struct worker_step *step)
{
	static const char words[] = "killing it: %s";
	const char *why = worker_reason_text(step->why);

	if (comes_again(w) && step->why != WORKER_WHY_STOP_TIMEOUT)
		log_vital(LOG_LEVEL_WARNING, &w->holder.about, why, words,
		    why);
	else
		worker_log(LOG_LEVEL_WARNING, w, words, why);
}

static void
log_change(const struct worker *w, const struct worker_step *step)
{
	static const char words[] = "%s -> %s %s";
	const char *from = worker_state_name(step->from);
	const char *to = worker_state_name(step->to);
	const char *why = worker_reason_text(step->why);

	if (comes_again(w))
		worker_log_often(LOG_LEVEL_DEBUG, w, words, from, to, why);
	else
		worker_log(LOG_LEVEL_DEBUG, w, words, from, to, why);
}

static void
log_started(const struct worker *w)
{
	static const char words[] = "started";

	if (comes_again(w))
		worker_log_often(LOG_LEVEL_DEBUG, w, words);
	else
		worker_log(LOG_LEVEL_DEBUG, w, words);
}

void
step_log(const struct worker *w, const struct worker_step *step)
{
	struct strbuf age = STRBUF_INIT;

	if (step->from == step->to)
		return;
	log_change(w, step);
	obituary_duration(&age, mono_ms_between(w->fsm.executed, mono_now()));
	if (step->to == WORKER_READY)
		log_ready(w, step, age.failed ? "?" : age.text);
	else if (step->to == WORKER_KILLED &&
	    step->why != WORKER_WHY_ASKED)
		log_kill(w, step);
	else if (step->why == WORKER_WHY_NO_FORK)
		worker_log_often(LOG_LEVEL_INFO, w, "trying again in %dms",
		    (int)step->delay_ms);
	strbuf_free(&age);
}

void
step_tell(struct worker *w, const struct worker_step *step)
{
	steer_note(w->leader->life->with.steering, w);
	w->crew->all->events->stepped(w, step);
}

/* For the status of its seat, and for whoever waits for it. */
void
step_tell_end(struct worker *w, const struct worker_step *step,
    enum restart_cause cause, const char *words)
{
	str_keep(&w->death, words);
	w->crew->all->events->ended(w, step, cause, words);
}

/* ---- to do ---- */

/* Whoever is no child of ours may have died, and another one have its number, before
   the keeper's word of it has come here. Who cannot be looked at is told. */
static bool
is_gone(const struct worker *w)
{
	uint64_t identity = w->fostered && !w->lingering ?
	    process_identity(w->pid) : 0;

	return identity != 0 && identity != w->identity;
}

static void
signal_group(struct worker *w, int signo)
{
	if (w->pid == 0 || is_gone(w))
		return;
	/* A lingering group has no leader that would keep its number: only
	   signal it if a child of ours is in it. */
	if (w->lingering &&
	    !orphans_look_in_group(w->leader->life->with.orphans, w->pid))
		return;
	process_kill_group(w->pid, signo);
	/* A child that has not come to its setsid() is in no group yet. */
	if (!w->lingering && w->fsm.state == WORKER_KILLED)
		(void)kill(w->pid, signo);
}

/* To the worker's own process, or to all of its group. */
static void
signal_as_asked(struct worker *w, int signo)
{
	if (w->lingering || w->spec->conf->stop_to == CONF_STOP_TO_GROUP)
		signal_group(w, signo);
	else if (w->pid != 0 && !is_gone(w))
		process_kill(w->pid, signo);
}

/* One that was frozen in a moment without a request gets no more of them. */
static void
signal_stop(struct worker *w)
{
	int signo = w->spec->conf->stop_signal;

	if (w->lingering || is_gone(w) || !signal_stopped(w->pid, signo))
		signal_as_asked(w, signo);
}

/* For a server that then tells its clients to come no more on the connections
   that they have. */
static void
signal_drain(struct worker *w)
{
	if (w->spec->conf->drain_signal != 0)
		signal_as_asked(w, w->spec->conf->drain_signal);
}

/* It stands in the ledger, if it came to that. */
static void
note_birth(struct life *life)
{
	life->gives_birth = false;
	life_ledger_program(life);
}

void
step_carry_out(struct worker *w, const struct worker_step *step)
{
	struct life_house *with = &w->leader->life->with;

	if (step->send_stop) {
		/* Nobody may read what comes from now on; but one that is not
		   drained sees to its end itself. */
		if (w->spec->conf->drain_timeout_ms > 0)
			(void)drain_leave_flows(w);
		signal_stop(w);
		/* One that is stopped could not act on it. */
		signal_group(w, SIGCONT);
	}
	if (step->send_kill)
		signal_group(w, SIGKILL);
	if (step->to == WORKER_READY && step->why == WORKER_WHY_UNSEEN)
		hint_unseen(w);
	if (step->to == WORKER_READY && step->from != WORKER_READY) {
		tryout_hurry(w);
		steer_ready(with->steering, w);
		adopt_review_soon(with->review, w->crew);
	}
	if (step->to == WORKER_DRAINING && step->from != WORKER_DRAINING)
		signal_drain(w);
	if (step->to == WORKER_DRAINING)
		drainers_add(w);
	else
		drainers_remove(w);
	if (step->to != WORKER_STARTING)
		readiness_end(w);
	else
		readiness_watch(w);
	if (step->to == WORKER_READY || (step->to == WORKER_STARTING &&
	    w->spec->conf->ready == CONF_READY_HEALTH))
		health_begin(w);
	else
		health_end(w);
	loop_timer_set(w->crew->all->loop, &w->leader->timer, w->fsm.deadline);
	if (step->spawn && leader_start(w))
		log_started(w);
	else if (step->spawn)
		worker_post(w, WORKER_EV_FORK_FAILED);
	life_ledger_note(w);
	if (step->spawn)
		note_birth(w->leader->life);
}

void
step_event(struct worker *w, enum worker_event event)
{
	struct worker_step step = step_take(w, event,
	    event == WORKER_EV_FORK_FAILED);

	step_log(w, &step);
	step_tell(w, &step);
	if (step.why == WORKER_WHY_NO_FORK)
		step_tell_end(w, &step, RESTART_CAUSE_START,
		    "no process could be started");
	if (step.why == WORKER_WHY_READY_TIMEOUT)
		w->leader->timed_out = "it was not ready in time "
		    "(ready_timeout)";
	else if (step.why == WORKER_WHY_NEVER_WAITED)
		w->leader->timed_out = "it was not seen to wait for "
		    "connections within ready_timeout";
	if (step.why == WORKER_WHY_DRAIN_TIMEOUT)
		drainers_log_timeout(w);
	step_carry_out(w, &step);
}
