#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/obituary.h"
#include "daemon/life/death_priv.h"
#include "daemon/life/group_priv.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life_house.h"
#include "daemon/life/life_ledger_priv.h"
#include "daemon/life/step_priv.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/hint.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/orphans_look.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"

static void
put_cause(const struct worker *w, struct strbuf *sb)
{
	if (w->leader->exec.failed)
		spawn_failure_text(sb, &w->leader->exec.failure,
		    w->spec->conf->command.v[0],
		    w->spec->conf->directory != NULL ?
		    w->spec->conf->directory : ".",
		    config_app_dir(w->spec->config, w->spec->conf));
	else if (w->leader->by_oom)
		obituary_oom(sb, w->leader->group.at_limit ?
		    w->spec->conf->memory_limit : -1);
	else
		obituary_cause(sb, w->status);
}

/* … after why it was replaced, if it was. */
static void
put_reason(const struct worker *w, struct strbuf *sb)
{
	if (w->recycled != NULL)
		strbuf_printf(sb, "%s; ", w->recycled);
	put_cause(w, sb);
}

/* Of an app that dies without end the same death is told so and so often in a
   second, each other one is told too. */
static const void *
kind_of_death(const struct worker *w)
{
	static const char kinds[4][256];

	return w->leader->by_oom ? &kinds[3][0] : w->leader->exec.failed ?
	    &kinds[2][w->leader->exec.failure.err & 0xff] :
	    &kinds[w->status.signalled][w->status.code & 0xff];
}

/* A program that ends well, and at once, and again: most likely it does not do
   what it is run for. Once is no news. */
static bool
ends_in_vain(const struct worker *w, const struct worker_step *step)
{
	return step->why == WORKER_WHY_AGAIN && w->fsm.history.streak > 1;
}

/* The one line that a death gets. */
static void
log_obituary(const struct worker *w, const char *cause, int64_t lived_ms,
    const struct worker_step *step, bool failure, const char *hint)
{
	struct strbuf line = STRBUF_INIT;
	enum log_level level = (failure && step->why != WORKER_WHY_ASKED) ||
	    ends_in_vain(w, step) ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO;

	if (step->to == WORKER_PARKED || step->to == WORKER_FAILED)
		level = LOG_LEVEL_ERROR;
	obituary_line(&line, cause, lived_ms, step);
	/* For good, or as we want it, it dies once. */
	if (step->why == WORKER_WHY_AGAIN)
		log_vital(level, &w->holder.about, kind_of_death(w), "%s%s",
		    line.failed ? cause : line.text, hint);
	else
		worker_log(level, w, "%s%s", line.failed ? cause : line.text,
		    hint);
	strbuf_free(&line);
}

/* It would only fail again, N times over. What others of the same turn did is no
   news then. */
static bool
fails_first_start(const struct worker *w)
{
	return w->crew->initial && !w->crew->executed &&
	    w->leader->exec.failed &&
	    !spawn_failure_passes(&w->leader->exec.failure) &&
	    !w->crew->all->stopping &&
	    !w->leader->life->failed;
}

/* New connections avoid it from now on. */
static void
steer_around(const struct worker *w, const struct worker_step *step)
{
	struct steering *steering = w->leader->life->with.steering;

	steer_figures(steering, w);
	steer_ended(steering, w);
	if (worker_state_final(step->to) && !w->followed)
		steer_death_for_good(steering, w);
	else
		steer_death(steering, w);
}

static enum restart_cause
cause_of(const struct worker *w, bool failure)
{
	if (w->leader->exec.failed)
		return RESTART_CAUSE_START;
	if (w->leader->by_oom)
		return RESTART_CAUSE_OOM;
	if (w->leader->timed_out != NULL)
		return RESTART_CAUSE_TIMEOUT;
	if (w->status.signalled && w->status.code != EXIT_STATUS_UNSEEN.code)
		return RESTART_CAUSE_SIGNAL;
	return failure ? RESTART_CAUSE_FAILURE : RESTART_CAUSE_EXIT;
}

/* It is the end of the program. */
static void
tell_fatal(const struct worker *w, const char *cause)
{
	struct life *life = w->leader->life;
	struct strbuf sb = STRBUF_INIT;

	log_app(LOG_LEVEL_ERROR, w->crew->name, "%s", cause);
	strbuf_printf(&sb, "%s: %s", w->crew->name, cause);
	free(life->failure);
	life->failure = strbuf_take(&sb);
	strbuf_free(&sb);
}

/* The process is gone and reaped; with STOPPING, its whole group is. */
static void
bury(struct worker *w, const char *hint)
{
	struct life *life = w->leader->life;
	bool failure = w->status.signalled || w->leader->exec.failed ||
	    !conf_app_success_code(w->spec->conf, w->status.code);
	bool fatal = fails_first_start(w);
	int64_t lived_ms = mono_ms_between(w->fsm.executed, mono_now());
	struct strbuf cause = STRBUF_INIT;
	struct worker_step step;

	life->failed |= fatal;
	if (life->failed)	/* so that the exit is final */
		(void)step_take(w, WORKER_EV_KILL, false);
	step = step_take(w, WORKER_EV_EXITED, failure);
	put_reason(w, &cause);
	if (fatal)
		tell_fatal(w, cause.failed ? "out of memory" : cause.text);
	else if (!life->failed)
		log_obituary(w, cause.failed ? "died" : cause.text, lived_ms,
		    &step, failure, hint);
	step_log(w, &step);
	step_tell_end(w, &step, cause_of(w, failure),
	    w->leader->timed_out != NULL ? w->leader->timed_out :
	    cause.failed ? "died" : cause.text);
	strbuf_free(&cause);

	orphans_begin(life->with.orphans, w);
	leader_forget(w);
	step_tell(w, &step);
	app_spec_restore_paths(w->spec);
	steer_around(w, &step);
	leader_leave_unused_lanes(w);
	orphans_sweep_soon(life->with.orphans);
	step_carry_out(w, &step);
}

/*
 * The rest of its group has lost its leader and goes too, at its own pace: in a
 * stop we wait for it. The zombie still holds the group's number.
 */
static void
stop_group(const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;

	if (w->fsm.state == WORKER_KILLED) {
		process_kill_group(w->pid, SIGKILL);
		return;
	}
	if (conf->orphans == CONF_ORPHANS_KEEP)
		return;
	/* With stop_to = group, all have had it already. */
	if (w->fsm.state == WORKER_STOPPING &&
	    conf->stop_to == CONF_STOP_TO_GROUP)
		return;
	process_kill_group(w->pid, conf->stop_signal);
	process_kill_group(w->pid, SIGCONT);
}

/* It lingers perhaps, and then for as long as one that was told to go alive. */
static void
retire_dead(struct worker *w)
{
	struct worker_step step;

	if (!step_is_yet_to_retire(w))
		return;
	step = step_take(w, WORKER_EV_RETIRE, false);
	step_log(w, &step);
	step_tell(w, &step);
	readiness_end(w);
	loop_timer_set(w->crew->all->loop, &w->leader->timer, w->fsm.deadline);
	life_ledger_note(w);
}

static bool
is_killed_by_others(const struct worker *w)
{
	return w->status.signalled && w->status.code == SIGKILL &&
	    w->fsm.state != WORKER_KILLED && !w->leader->exec.failed;
}

static bool
waits_for_group(const struct worker *w, struct orphans *orphans)
{
	return w->fsm.state == WORKER_STOPPING &&
	    w->spec->conf->orphans != CONF_ORPHANS_KEEP &&
	    orphans_look_in_group(orphans, w->pid);
}

void
death_of_leader(struct worker *w)
{
	struct life *life = w->leader->life;
	struct orphans *orphans = life->with.orphans;
	struct group *group = &w->leader->group;
	struct strbuf hint = STRBUF_INIT;

	if (is_killed_by_others(w)) {
		w->leader->by_oom = group_was_oom(group, life);
		if (!w->leader->by_oom)
			group_hint(&hint, group, life);
	}
	hint_put(&hint, w, orphans, w->leader->timed_out);
	if (!w->fostered)
		stop_group(w);
	process_reap(w->pid);
	workers_remove(w->crew->all, w);
	/* Reaped already: its number is its group's, if there is one left. */
	if (w->fostered && orphans_look_in_group(orphans, w->pid))
		stop_group(w);
	w->lingering = true;
	retire_dead(w);

	if (waits_for_group(w, orphans)) {
		life->lingering++;
		orphans_look_log(orphans, w);
	} else {
		bury(w, hint.text != NULL ? hint.text : "");
	}
	strbuf_free(&hint);
}

void
death_of_group(struct worker *w)
{
	struct life *life = w->leader->life;

	if (w->lingering &&
	    !orphans_look_in_group(life->with.orphans, w->pid)) {
		life->lingering--;
		bury(w, "");
	}
}
