#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/worker_env.h"
#include "daemon/adopt/adopt.h"
#include "daemon/health/health.h"
#include "daemon/life/group_priv.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life_house.h"
#include "daemon/life/life_ledger_priv.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/lanes_heal.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/notify.h"
#include "daemon/watch/readiness.h"
#include "daemon/steer/steer.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/file/stdio_fds.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/process.h"

static void
timer_due(void *ctx)
{
	worker_post(ctx, WORKER_EV_DEADLINE);
}

int
leader_join(struct life *life, struct worker *w)
{
	struct leader *l = calloc(1, sizeof(*l));

	if (l == NULL || loop_timer_init(life->with.workers->loop, &l->timer,
	    timer_due, w) < 0) {
		free(l);
		return -ENOMEM;
	}
	l->life = life;
	l->worker = w;
	l->exec = (struct exec_report)EXEC_REPORT_INIT;
	l->group = (struct group)GROUP_INIT;
	w->leader = l;
	return 0;
}

void
leader_be_late(struct leader *l)
{
	if (!l->late)
		TAILQ_INSERT_TAIL(&l->life->late, l, late_link);
	l->late = true;
}

void
leader_be_in_time(struct leader *l)
{
	if (l->late)
		TAILQ_REMOVE(&l->life->late, l, late_link);
	l->late = false;
}

static void
leave_streams(struct leader *l)
{
	for (int i = 0; i < OUT_STREAMS; i++)
		out_pipe_leave(&l->pipes[i]);
}

void
leader_forget(struct worker *w)
{
	struct leader *l = w->leader;

	exec_report_forget(&l->exec);
	leave_streams(l);
	group_end(&l->group, l->life, w);
	notify_close(w);
	adopt_end(w);
	readiness_forget(w);
	health_forget(w);
	drainers_remove(w);
	worker_unpost(w);
	if (worker_has_leader(w))
		workers_remove(w->crew->all, w);
	w->pid = w->holder.about.pid = 0;
	w->lingering = w->fostered = false;
	w->leader->doubted = false;
	w->identity = 0;
	w->ready_ms = -1;
	l->timed_out = NULL;
	l->by_oom = false;
}

/* Of few descriptors, those that wait for their first start would hold all. */
void
leader_leave_unused_lanes(struct worker *w)
{
	if (!w->leader->executed)
		listeners_leave(w->leader->life->with.listeners, &w->holder);
}

void
leader_leave(struct worker *w)
{
	struct leader *l = w->leader;

	if (l == NULL)
		return;
	leader_be_in_time(l);
	loop_timer_fini(l->life->with.workers->loop, &l->timer);
	free(l);
	w->leader = NULL;
}

/* ---- the exec's report ---- */

static void
unlimited(void *ctx, int code)
{
	struct worker *w = ctx;

	group_refused(&w->leader->group, w->leader->life, w, code);
}

static void
trapped(void *ctx, int trap)
{
	adopt_begin(ctx, trap);
}

static void
executed(void *ctx)
{
	struct worker *w = ctx;

	w->crew->executed = w->leader->executed = true;
	group_joined(&w->leader->group);
	worker_post(w, WORKER_EV_EXECUTED);
}

void
leader_read_report(struct worker *w)
{
	exec_report_read(&w->leader->exec);
}

void
leader_read_last(struct worker *w)
{
	struct leader *l = w->leader;

	notify_read(w);
	for (int i = 0; i < OUT_STREAMS; i++)
		if (l->pipes[i] != NULL)
			out_pipe_drain(l->pipes[i]);
	leader_read_report(w);
	exec_report_close(&l->exec);
}

/* ---- start ---- */

/* Where our own goes. A description of the process's own, where one can be had:
   what it does to it, such as O_NONBLOCK, is not done to others. */
static void
open_own(int fd, int *ret_fd, int *ret_owned)
{
	*ret_owned = stdio_reopen(fd);
	*ret_fd = *ret_owned >= 0 ? *ret_owned : fd;
}

/* A reference to where a stream goes: the app's, or a file of its own. */
static int
find_output(struct worker *w, enum out_stream stream, char *path,
    struct output **ret_output, struct error *err)
{
	const struct app_spec *spec = w->spec;
	const struct conf_output own = {
		.kind = CONF_OUTPUT_FILE, .path = path,
		.line = stream == OUT_STREAM_STDOUT ? spec->conf->out.line :
		    spec->conf->err.line,
	};
	int code;

	if (spec->outputs[stream] != NULL)
		*ret_output = output_ref(spec->outputs[stream]);
	if (spec->outputs[stream] != NULL || path == NULL)
		return 0;
	code = outputs_acquire(w->leader->life->with.outputs, spec->config,
	    spec->conf, &own, ret_output, err);
	if (code == 0)
		output_adjust(*ret_output, spec->config, spec->conf);
	return code;
}

/* Without a pipe of ours. */
static void
open_direct(struct worker *w, enum out_stream stream,
    enum conf_output_kind kind, int *ret_fd, int *ret_owned)
{
	if (kind == CONF_OUTPUT_STDOUT || (kind == CONF_OUTPUT_INHERIT &&
	    stream == OUT_STREAM_STDOUT))
		open_own(STDOUT_FILENO, ret_fd, ret_owned);
	else if (kind == CONF_OUTPUT_NULL)
		*ret_fd = w->leader->life->null_fd;
	else
		open_own(STDERR_FILENO, ret_fd, ret_owned);
}

/* Of a stream: its end for the process, or what the process gets instead. */
static int
open_stream(struct worker *w, enum out_stream stream, char *path, int *ret_fd,
    int *ret_owned, struct error *err)
{
	const struct conf_app *conf = w->spec->conf;
	struct output *to = NULL;
	int code = find_output(w, stream, path, &to, err);

	if (code < 0)
		return code;
	if (to == NULL) {
		open_direct(w, stream, stream == OUT_STREAM_STDOUT ?
		    conf->out.kind : conf->err.kind, ret_fd, ret_owned);
		return 0;
	}
	code = outputs_open_pipe(w->leader->life->with.outputs, to, conf,
	    w->instance, stream, &w->leader->pipes[stream], ret_owned);
	output_unref(to);
	*ret_fd = *ret_owned;
	return code;
}

static int
open_input(struct worker *w, int *ret_fd, int *ret_owned)
{
	*ret_fd = w->leader->life->null_fd;
	if (w->spec->conf->in == CONF_STDIN_NULL)
		return 0;
	*ret_owned = stdio_endless();
	*ret_fd = *ret_owned;
	return *ret_owned < 0 ? *ret_owned : 0;
}

static int
execute(struct worker *w, const struct worker_env *env, const int *fds,
    struct error *err)
{
	const struct conf_app *conf = w->spec->conf;
	struct leader *l = w->leader;
	struct life *life = l->life;
	struct spawn_plan plan = {
		.files = env->files.v,
		.argv = env->argv.v,
		.envp = env->env.v,
		.listen_pid = env->listen_pid,
		.watchdog_pid = env->watchdog_pid,
		.fds = fds,
		.n_fds = conf->handoff == CONF_HANDOFF_ADOPT ? 0 :
		    conf->n_listens,
		.trap = adopt_wanted(life->with.adopt, w->spec),
		.directory = env->directory,
		.cwd = life->with.cwd,
		.base_dir = config_app_dir(w->spec->config, conf),
		.umask = conf->umask,
		.nofile = app_spec_nofile(w->spec, &life->nofile),
		.creds = &conf->creds,
		.survives = life->ledger != NULL,
	};
	int ends[OUT_STREAMS] = { -1, -1 }, input = -1;
	int code;

	plan.group = group_begin(&l->group, life, w);
	plan.limited = plan.group >= 0;
	code = open_input(w, &plan.in_fd, &input);
	if (code == 0)
		code = open_stream(w, OUT_STREAM_STDOUT, env->out_path,
		    &plan.out_fd, &ends[0], err);
	if (code == 0)
		code = open_stream(w, OUT_STREAM_STDERR, env->err_path,
		    &plan.err_fd, &ends[1], err);
	if (code == 0)
		code = exec_report_spawn(&l->exec, &plan, &w->pid);
	fd_close(&input);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	fd_close(&plan.group);
	if (code < 0)
		return code;
	w->holder.about.pid = w->pid;
	/* It keeps that when it is executed; and has it when it has died. */
	if (life->ledger != NULL)
		w->identity = process_identity(w->pid);
	workers_add(w->crew->all, w);
	code = exec_report_watch(&l->exec, w->crew->all->loop,
	    &(struct exec_report_events){
		.executed = executed, .unlimited = unlimited,
		.trapped = trapped, .ctx = w,
	    });
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
	struct app_spec *spec = w->spec;
	int seated = app_spec_seat(spec, w->instance, err);

	for (size_t i = 0; seated == 0 && i < spec->conf->n_listens; i++) {
		struct lane *lane;
		int code = spec_lanes_take(spec,
		    app_spec_place(spec, w->instance, i), &w->holder, &lane,
		    err);

		if (code == 0)
			code = lanes_heal_renew(lane,
			    steer_use_of(lane, w) == STEER_USE_NONE, err);
		if (code < 0)
			return code;
		ret_fds[i] = lane->fd;
		w->given[i] = 0;
		if (spec->conf->handoff == CONF_HANDOFF_ADOPT)
			continue;
		w->given[i] = lane->ino;
		lanes_heal_used(lane);
	}
	return seated;
}

/* What its process is executed with. */
static int
build_env(struct worker *w, struct worker_env *ret_env)
{
	char id[48];
	const struct worker_env_args args = {
		.app = app_spec_conf(w->spec, w->instance),
		.inherited = environ,
		.bound = app_spec_bound(w->spec, w->instance),
		.instance = w->instance,
		.instances = w->crew->wanted,
		.generation = w->spec->generation,
		.master = getpid(),
		.notify_socket = notify_name(w),
		.worker_id = id,
	};

	snprintf(id, sizeof(id), "%016llx.%llu",
	    (unsigned long long)w->crew->all->run_id,
	    (unsigned long long)w->serial);
	return worker_env_build(&args, ret_env);
}

static int
spawn_process(struct worker *w, struct error *err)
{
	struct life *life = w->leader->life;
	int fds[CONF_LISTENS_MAX];
	struct worker_env env;
	int code;

	w->serial = ++life->serial;
	if (w->spec->conf->orphans == CONF_ORPHANS_KEEP)
		keeper_spare_orphans();
	code = notify_open(w);
	if (code < 0)
		return code;
	life->gives_birth = true;
	life_ledger_program(life);
	code = collect_lanes(w, fds, err);
	if (code == 0)
		code = build_env(w, &env);
	if (code == 0) {
		code = execute(w, &env, fds, err);
		worker_env_free(&env);
	}
	return code;
}

bool
leader_start(struct worker *w)
{
	/* Its own: what an app's instances have in common is counted, and none
	   of an app is left out for others. */
	static const char words[] = "cannot start a process: %s";
	struct error err = ERROR_INIT;
	int code;

	leader_forget(w);
	code = spawn_process(w, &err);
	if (code < 0) {
		leader_forget(w);
		leader_leave_unused_lanes(w);
		log_vital(LOG_LEVEL_WARNING, &w->holder.about, words, words,
		    err.text != NULL ? err.text : strerror(-code));
	}
	error_clear(&err);
	return code == 0;
}

/* ---- one that another supervisor has started ---- */

static int
take_stream(struct worker *w, enum out_stream stream, char *path, int fd,
    struct error *err)
{
	struct output *to = NULL;
	int code = fd < 0 ? 0 : find_output(w, stream, path, &to, err);

	if (fd >= 0 && to != NULL)
		code = outputs_take_pipe(w->leader->life->with.outputs, to,
		    w->spec->conf, w->instance, stream,
		    &w->leader->pipes[stream], fd);
	else
		fd_close(&fd);
	output_unref(to);
	return code;
}

void
leader_take_over(struct worker *w, const int *out)
{
	struct error err = ERROR_INIT;
	struct worker_env env;

	w->leader->executed = w->crew->executed = true;
	if (w->pid != 0) {
		w->fostered = true;
		w->holder.about.pid = w->pid;
		workers_add(w->crew->all, w);
		group_again(&w->leader->group, w->leader->life, w);
	}
	if (out[0] < 0 && out[1] < 0)
		return;
	if (build_env(w, &env) < 0)
		return;
	for (int i = 0; i < OUT_STREAMS; i++)
		if (take_stream(w, (enum out_stream)i, i == OUT_STREAM_STDOUT ?
		    env.out_path : env.err_path, out[i], &err) < 0)
			worker_log(LOG_LEVEL_WARNING, w, "what it writes is "
			    "lost: %s", error_text(&err));
	worker_env_free(&env);
	error_clear(&err);
}
