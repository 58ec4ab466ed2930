#include <sys/epoll.h>
#include <sys/random.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/worker_env.h"
#include "daemon/adopt/adopt.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/drain.h"
#include "daemon/sockets/listeners.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/readiness.h"
#include "daemon/steer/steer.h"
#include "daemon/life/life.h"
#include "daemon/output/outputs.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "daemon/watch/hint.h"
#include "daemon/watch/notify.h"
#include "linux/process/process.h"

/* Clients who wait in its queue are not left to a worker that comes back later
   than this. */
#define ABANDON_MS 1000

static void worker_event(struct worker *w, enum worker_event event,
    bool failure);
static void leave_streams(struct worker *w);
static void timer_due(void *ctx);
static void read_report(struct worker *w);
static void report_ready(void *ctx, uint32_t events);

struct worker *
worker_new(struct life *life, struct crew *crew, struct app_spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->given = calloc(spec->conf->n_listens + 1, sizeof(*w->given));
	if (w->given == NULL || loop_timer_init(crew->all->loop, &w->timer,
	    timer_due, w) < 0) {
		free(w->given);
		free(w);
		return NULL;
	}
	w->crew = crew;
	w->life = life;
	w->spec = app_spec_ref(spec);
	w->instance = instance;
	w->holder.about = (struct log_about){
		.app = crew->name, .instance = (long)instance,
	};
	w->number = ++crew->all->number;
	w->ready_ms = -1;
	w->fsm = (struct worker_fsm)WORKER_FSM_INIT;
	w->fsm.trial = trial;
	w->report = w->notify = w->trap = -1;
	w->next = crew->workers;
	w->prev_next = &crew->workers;
	if (w->next != NULL)
		w->next->prev_next = &w->next;
	crew->workers = w;
	return w;
}

static void
close_report(struct worker *w)
{
	loop_del(w->crew->all->loop, &w->report_handle);
	fd_close(&w->report);
}

/* Forget the process: everything that belongs to it alone. */
static void
forget_process(struct worker *w)
{
	close_report(w);
	leave_streams(w);
	worker_notify_close(w);
	adopt_end(w);
	readiness_forget(w);
	drain_forget(w);
	w->listens = false;
	if (w->pid != 0 && !w->lingering)
		workers_remove(w->crew->all, w);
	w->pid = w->holder.about.pid = 0;
	w->lingering = false;
	w->exec_failed = false;
	w->timed_out = false;
	w->ready_ms = -1;
}

void
worker_free(struct worker *w)
{
	*w->prev_next = w->next;
	if (w->next != NULL)
		w->next->prev_next = w->prev_next;
	forget_process(w);
	listeners_leave(w->life->listeners, &w->holder);
	steer_unshare(w->life->steering, w);
	loop_timer_fini(w->crew->all->loop, &w->timer);
	worker_fsm_free(&w->fsm);
	app_spec_unref(w->spec);
	free(w->given);
	free(w->death);
	free(w);
}

/* ---- start ---- */

/* Of a stream: its end for the process, or what the process gets instead. */
static int
open_stream(struct worker *w, enum out_stream stream, int *ret_fd,
    int *ret_owned)
{
	const struct app_spec *spec = w->spec;
	struct output *to = spec->outputs[stream];
	enum conf_output_kind kind = stream == OUT_STREAM_STDOUT ?
	    spec->conf->out.kind : spec->conf->err.kind;
	int code;

	*ret_fd = kind == CONF_OUTPUT_NULL ? w->life->null_fd : -1;
	if (to == NULL)
		return 0;
	code = out_pipe_open(&w->life->outputs->in, to, spec->conf,
	    w->instance, stream, &w->pipes[stream], ret_owned);
	*ret_fd = *ret_owned;
	return code;
}

static void
leave_streams(struct worker *w)
{
	for (int i = 0; i < OUT_STREAMS; i++)
		out_pipe_leave(&w->pipes[i]);
}

static int
execute(struct worker *w, const struct worker_env *env, const int *fds)
{
	const struct conf_app *conf = w->spec->conf;
	struct life *life = w->life;
	struct spawn_plan plan = {
		.files = env->files.v,
		.argv = env->argv.v,
		.envp = env->env.v,
		.listen_pid = env->listen_pid,
		.fds = fds,
		.n_fds = conf->handoff == CONF_HANDOFF_ADOPT ? 0 :
		    conf->n_listens,
		.trap = adopt_wanted(life->adopt, w->spec),
		.null_fd = life->null_fd,
		.directory = conf->directory,
		.umask = conf->umask,
		.nofile = life->nofile,
		.creds = &conf->creds,
	};
	int ends[OUT_STREAMS] = { -1, -1 };
	int code;

	if (conf->limit_nofile >= 0) {
		plan.nofile.rlim_cur = (rlim_t)conf->limit_nofile;
		if (plan.nofile.rlim_max < plan.nofile.rlim_cur)
			plan.nofile.rlim_max = plan.nofile.rlim_cur;
	}
	code = open_stream(w, OUT_STREAM_STDOUT, &plan.out_fd, &ends[0]);
	if (code == 0)
		code = open_stream(w, OUT_STREAM_STDERR, &plan.err_fd,
		    &ends[1]);
	if (code == 0)
		code = spawn(&plan, &w->pid, &w->report);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	if (code < 0)
		return code;
	w->holder.about.pid = w->pid;
	workers_add(w->crew->all, w);
	code = loop_add(life->workers->loop, w->report, EPOLLIN, false,
	    report_ready, w, &w->report_handle);
	/* Started, but we would never hear whether it was executed: its death
	   makes it a start that failed. */
	if (code < 0)
		(void)kill(w->pid, SIGKILL);
	return 0;
}

/* Its lanes, in the order of the configuration. */
static int
collect_lanes(struct worker *w, int *ret_fds, struct error *err)
{
	const struct app_spec *spec = w->spec;

	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		struct lane *lane;
		int code = app_spec_take_lane(
		    spec, spec->listeners[i], &w->holder, &lane, err);

		if (code == 0)
			code = lanes_renew(lane, err);
		if (code < 0)
			return code;
		ret_fds[i] = lane->fd;
		w->given[i] = spec->conf->handoff == CONF_HANDOFF_ADOPT ? 0 :
		    lane->ino;
	}
	return 0;
}

static int
spawn_process(struct worker *w, struct error *err)
{
	struct life *life = w->life;
	const struct conf_app *conf = w->spec->conf;
	int fds[CONF_LISTENS_MAX];
	struct worker_env env;
	char *id = NULL;
	int code;

	w->serial = ++life->serial;
	code = worker_notify_open(life->notify, w);
	if (code < 0)
		return code;
	if (asprintf(&id, "%016llx.%llu",
		(unsigned long long)life->workers->run_id,
		(unsigned long long)w->serial) < 0)
		return -ENOMEM;
	const struct worker_env_args args = {
		.app = conf,
		.inherited = environ,
		.bound = w->spec->bound,
		.instance = w->instance,
		.instances = w->crew->wanted,
		.generation = w->spec->generation,
		.notify_socket = w->notify_name,
		.worker_id = id,
	};
	code = collect_lanes(w, fds, err);
	if (code == 0)
		code = worker_env_build(&args, &env);
	if (code == 0) {
		code = execute(w, &env, fds);
		worker_env_free(&env);
	}
	free(id);
	return code;
}

/*
 * No process of it came to its lanes yet, and nobody waits in them for it. Of
 * few descriptors, those that wait for their first start would hold all.
 */
static void
leave_unused_lanes(struct worker *w)
{
	if (!w->executed)
		listeners_leave(w->life->listeners, &w->holder);
}

/* Returns whether it could be started. */
static bool
carry_out_spawn(struct worker *w)
{
	struct error err = ERROR_INIT;
	int code;

	forget_process(w);
	code = spawn_process(w, &err);
	if (code < 0) {
		forget_process(w);
		leave_unused_lanes(w);
		worker_log(LOG_LEVEL_WARNING, w, "cannot start a process: %s",
		    err.text != NULL ? err.text : strerror(-code));
	}
	error_clear(&err);
	return code == 0;
}

/* ---- the machine's steps ---- */

static void
keep_words(char **at, const char *words)
{
	free(*at);
	*at = strdup(words);
}

/* For the status of its seat, and for whoever waits for it. */
static void
note_end(struct worker *w, const struct worker_step *step,
    enum restart_cause cause, const char *words)
{
	keep_words(&w->death, words);
	w->crew->all->events->ended(w, step, cause, words);
}

static void
signal_group(struct worker *w, int signo)
{
	if (w->pid == 0)
		return;
	/* A lingering group has no leader that would keep its number: only
	   signal it if a child of ours is in it. */
	if (w->lingering && !orphans_in_group(w->life->orphans, w->pid))
		return;
	process_kill_group(w->pid, signo);
	/* A child that has not come to its setsid() is in no group yet. */
	if (!w->lingering && w->fsm.state == WORKER_KILLED)
		(void)kill(w->pid, signo);
}

static void
log_step(const struct worker *w, const struct worker_step *step)
{
	struct strbuf age = STRBUF_INIT;

	if (step->from == step->to)
		return;
	worker_log(LOG_LEVEL_DEBUG, w, "%s -> %s %s",
	    worker_state_name(step->from), worker_state_name(step->to),
	    worker_reason_text(step->why));
	obituary_duration(&age, mono_ms_between(w->fsm.executed, mono_now()));
	if (step->to == WORKER_READY)
		worker_log(step->why == WORKER_WHY_UNSEEN ? LOG_LEVEL_WARNING :
		    LOG_LEVEL_INFO, w, "ready after %s (%s)",
		    age.failed ? "?" : age.text,
		    worker_reason_text(step->why));
	else if (step->to == WORKER_KILLED &&
	    step->why != WORKER_WHY_ASKED)
		worker_log(LOG_LEVEL_WARNING, w, "killing it: %s",
		    worker_reason_text(step->why));
	else if (step->why == WORKER_WHY_NO_FORK)
		worker_log(LOG_LEVEL_INFO, w, "trying again in %dms",
		    (int)step->delay_ms);
	strbuf_free(&age);
}

static void
note_readiness(struct worker *w, const struct worker_step *step)
{
	if (step->to == WORKER_READY && step->from != WORKER_READY) {
		w->was_ready = true;
		w->ready_ms = mono_ms_between(w->fsm.executed, mono_now());
		w->relapsed = false;
	}
	if ((step->from == WORKER_EXECING || step->from == WORKER_STARTING ||
	    step->from == WORKER_KILLED) && w->was_ready &&
	    (step->to == WORKER_BACKOFF || step->why == WORKER_WHY_AGAIN))
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

static struct worker_step
take_step(struct worker *w, enum worker_event event, bool failure)
{
	struct worker_facts facts = facts_now();
	struct worker_step step;

	facts.failure = failure;
	facts.waiting = (event == WORKER_EV_RETIRE ||
	    (event == WORKER_EV_EXITED && w->fsm.retiring)) &&
	    steer_keeps_waiting(w->life->steering, w);
	step = worker_fsm_step(&w->fsm, w->spec->conf, event, &facts);
	note_readiness(w, &step);
	return step;
}

static void
carry_out(struct worker *w, const struct worker_step *step)
{
	if (step->send_stop) {
		signal_group(w, w->spec->conf->stop_signal);
		/* One that is stopped could not act on it. */
		signal_group(w, SIGCONT);
	}
	if (step->send_kill)
		signal_group(w, SIGKILL);
	if (step->to == WORKER_READY && step->from != WORKER_READY) {
		steer_ready(w->life->steering, w);
		adopt_settle_soon(w->life->adopt, w->crew);
	}
	if (step->to == WORKER_DRAINING)
		drain_watch(w->life->drain, w);
	else
		drain_forget(w);
	if (step->to != WORKER_STARTING)
		readiness_forget(w);
	else if (step->from != WORKER_STARTING)
		readiness_watch(w->life->readiness, w);
	loop_timer_set(w->crew->all->loop, &w->timer, w->fsm.deadline);
	if (step->spawn) {
		if (carry_out_spawn(w))
			worker_log(LOG_LEVEL_DEBUG, w, "started");
		else
			worker_event(w, WORKER_EV_FORK_FAILED, true);
	}
}

/* Recurses once at most: a spawn that fails gives FORK_FAILED, which asks for
   no spawn. */
static void
worker_event(struct worker *w, enum worker_event event, bool failure)
{
	struct worker_step step = take_step(w, event, failure);

	log_step(w, &step);
	w->crew->all->events->stepped(w, &step);
	if (step.why == WORKER_WHY_NO_FORK)
		note_end(w, &step, RESTART_CAUSE_START,
		    "no process could be started");
	w->timed_out |= step.why == WORKER_WHY_READY_TIMEOUT;
	if (step.why == WORKER_WHY_DRAIN_TIMEOUT)
		drain_log_timeout(w);
	carry_out(w, &step);
	/* A group without its leader sends no further sign if it is gone. */
	if (step.send_kill)
		worker_check_group(w);
}

void
worker_start(struct worker *w)
{
	worker_event(w, WORKER_EV_START, false);
}

void
worker_stop(struct worker *w)
{
	/* It may be executed already, and serving, with the news of it still
	   in the pipe: then it is not to be killed. */
	read_report(w);
	worker_event(w, WORKER_EV_STOP, false);
}

void
worker_retire(struct worker *w)
{
	read_report(w);		/* as above */
	worker_event(w, WORKER_EV_RETIRE, false);
}

void
worker_kill(struct worker *w)
{
	worker_event(w, WORKER_EV_KILL, false);
}

void
life_post(struct worker *w, enum worker_event event)
{
	worker_event(w, event, false);
}

static void
timer_due(void *ctx)
{
	worker_event(ctx, WORKER_EV_DEADLINE, false);
}

/* ---- the exec's report ---- */

static void
read_report(struct worker *w)
{
	while (w->report >= 0) {
		int trap;

		switch (spawn_read_report(w->report, &w->failure, &trap)) {
		case SPAWN_REPORT_PENDING:
			return;
		case SPAWN_REPORT_TRAPPED:
			adopt_begin(w->life->adopt, w, trap);
			break;
		case SPAWN_REPORT_FAILED:
			w->exec_failed = true;
			close_report(w);
			break;
		case SPAWN_REPORT_EXECUTED:
			close_report(w);
			w->crew->executed = w->executed = true;
			worker_event(w, WORKER_EV_EXECUTED, false);
			break;
		}
	}
}

static void
report_ready(void *ctx, uint32_t events)
{
	(void)events;
	read_report(ctx);
}

/* ---- death ---- */

static void
put_cause(const struct worker *w, struct strbuf *sb)
{
	if (w->exec_failed)
		spawn_failure_text(sb, &w->failure,
		    w->spec->conf->command.v[0],
		    w->spec->conf->directory != NULL ?
		    w->spec->conf->directory : ".");
	else
		obituary_cause(sb, w->status);
}

/* The one line that a death gets. */
static void
log_obituary(const struct worker *w, const char *cause, int64_t lived_ms,
    const struct worker_step *step, bool failure, const char *hint)
{
	struct strbuf line = STRBUF_INIT;
	enum log_level level = failure && step->why != WORKER_WHY_ASKED ?
	    LOG_LEVEL_WARNING : LOG_LEVEL_INFO;

	if (step->to == WORKER_PARKED || step->to == WORKER_FAILED)
		level = LOG_LEVEL_ERROR;
	obituary_line(&line, cause, lived_ms, step);
	worker_log(level, w, "%s%s", line.failed ? cause : line.text, hint);
	strbuf_free(&line);
}

/* A program that cannot be executed at the very first start would only fail
   again, N times over: the whole program ends instead. */
static bool
fails_first_start(const struct worker *w)
{
	const struct life *life = w->life;

	return w->crew->initial && !w->crew->executed && w->exec_failed &&
	    !spawn_failure_passes(&w->failure) && !life->workers->stopping;
}

/* New connections avoid it before anything else is done. */
static void
steer_around(const struct worker *w, const struct worker_step *step)
{
	steer_figures(w->life->steering, w);
	if (worker_state_final(step->to) || step->delay_ms > ABANDON_MS)
		steer_abandon(
		    w->life->steering, w, worker_state_final(step->to));
	else
		steer_death(w->life->steering);
}

static enum restart_cause
cause_of(const struct worker *w, bool failure)
{
	if (w->exec_failed)
		return RESTART_CAUSE_START;
	if (w->timed_out)
		return RESTART_CAUSE_TIMEOUT;
	if (w->status.signalled)
		return RESTART_CAUSE_SIGNAL;
	return failure ? RESTART_CAUSE_FAILURE : RESTART_CAUSE_EXIT;
}

/* The process is gone and reaped; with STOPPING, its whole group is. */
static void
bury(struct worker *w, const char *hint)
{
	struct life *life = w->life;
	bool failure = w->status.signalled || w->exec_failed ||
	    !conf_app_success_code(w->spec->conf, w->status.code);
	bool fatal = fails_first_start(w);
	int64_t lived_ms = mono_ms_between(w->fsm.executed, mono_now());
	struct strbuf cause = STRBUF_INIT;
	struct worker_step step;

	if (fatal)	/* so that the exit is final */
		(void)take_step(w, WORKER_EV_KILL, false);
	step = take_step(w, WORKER_EV_EXITED, failure);
	put_cause(w, &cause);
	if (fatal)
		log_app(LOG_LEVEL_ERROR, w->crew->name, "%s",
		    cause.failed ? "out of memory" : cause.text);
	else if (!life->mute)
		log_obituary(w, cause.failed ? "died" : cause.text, lived_ms,
		    &step, failure, hint);
	log_step(w, &step);
	note_end(w, &step, cause_of(w, failure), w->timed_out ?
	    "it was not ready in time (ready_timeout)" :
	    cause.failed ? "died" : cause.text);
	strbuf_free(&cause);

	forget_process(w);
	leave_unused_lanes(w);
	w->crew->all->events->stepped(w, &step);
	app_spec_restore_paths(w->spec);
	steer_around(w, &step);
	orphans_sweep_soon(life->orphans);
	carry_out(w, &step);
	if (fatal)
		w->crew->all->events->fatal(w);
}

void
worker_died(struct worker *w, struct exit_status status)
{
	struct life *life = w->life;
	struct strbuf hint = STRBUF_INIT;

	w->status = status;
	/* What it said while it lived comes before its death. */
	worker_notify_read(w);
	for (int i = 0; i < OUT_STREAMS; i++)
		if (w->pipes[i] != NULL)
			out_pipe_drain(w->pipes[i]);
	read_report(w);
	close_report(w);

	worker_put_hint(life->orphans, w, &hint);
	/* In a stop the rest of the group has had the signal and may finish
	   its work; else it has lost its leader and goes too. The zombie still
	   holds the group's number. */
	if (w->fsm.state != WORKER_STOPPING)
		process_kill_group(w->pid, SIGKILL);
	process_reap(w->pid);
	workers_remove(w->crew->all, w);
	w->lingering = true;

	if (w->fsm.state == WORKER_STOPPING &&
	    orphans_in_group(life->orphans, w->pid)) {
		life->lingering++;
		worker_log(LOG_LEVEL_DEBUG, w, "exited, waiting for the rest "
		    "of its processes");
	} else {
		bury(w, hint.text != NULL ? hint.text : "");
	}
	strbuf_free(&hint);
}

void
worker_check_group(struct worker *w)
{
	if (w->lingering && !orphans_in_group(w->life->orphans, w->pid)) {
		w->life->lingering--;
		bury(w, "");
	}
}
