#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/obituary.h"
#include "core/worker/worker_env.h"
#include "daemon/health/check_exec.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/orphans.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/exec_report.h"
#include "linux/loop/loop.h"
#include "linux/process/process.h"

struct check_exec {
	struct check_exec *next;
	struct checks *checks;
	struct check_exec_events events;	/* NULL: told, or given up */
	pid_t pid;
	struct exec_report exec;
	struct loop_timer timer;
	struct mono began;
	int64_t timeout_ms;
	char *program;
};

static void
tell(struct check_exec *x, struct verdict *v)
{
	check_done *done = x->events.done;

	if (done == NULL)
		return;
	x->events.done = NULL;
	v->took_us = (mono_now().ns - x->began.ns) / 1000;
	done(x->events.ctx, v);
}

static void
drop(struct check_exec *x)
{
	struct check_exec **p = &x->checks->execs;

	while (*p != NULL && *p != x)
		p = &(*p)->next;
	if (*p == x)
		*p = x->next;
	exec_report_forget(&x->exec);
	loop_timer_fini(x->checks->loop, &x->timer);
	free(x->program);
	free(x);
}

/* ---- on its way ---- */

/* Its leader is not reaped: nobody else can have the number. A child that has not
   come to its setsid() is in no group yet. */
static void
kill_all(const struct check_exec *x)
{
	process_kill_group(x->pid, SIGKILL);
	(void)kill(x->pid, SIGKILL);
}

void
check_exec_give_up(struct check_exec *x)
{
	if (x == NULL)
		return;
	x->events = (struct check_exec_events){ .done = NULL };
	kill_all(x);
}

static void
late(void *ctx)
{
	struct check_exec *x = ctx;
	struct verdict v = { .kind = VERDICT_BAD };

	kill_all(x);
	verdict_say_late(&v, x->timeout_ms);
	tell(x, &v);
}

static void
judge(struct check_exec *x, struct exit_status status, struct verdict *v)
{
	struct strbuf sb = STRBUF_INIT;

	if (x->exec.failed)
		spawn_failure_text(&sb, &x->exec.failure, x->program, ".",
		    "/");
	else
		obituary_cause(&sb, status);
	v->status = !x->exec.failed && !status.signalled ?
	    (unsigned)status.code : 0;
	verdict_say(v, x->exec.failed ? VERDICT_UNKNOWN : status.signalled ||
	    status.code != 0 ? VERDICT_BAD : VERDICT_GOOD, "%s", sb.failed ?
	    "out of memory" : status.code != 0 || status.signalled ? sb.text :
	    "");
	strbuf_free(&sb);
}

bool
check_exec_died(struct checks *checks, pid_t pid, struct exit_status status)
{
	struct check_exec *x = checks->execs;
	struct verdict v = { .kind = VERDICT_BAD };
	void (*gone)(void *ctx);
	void *ctx;

	while (x != NULL && x->pid != pid)
		x = x->next;
	if (x == NULL)
		return false;
	exec_report_read(&x->exec);
	/* What it has started goes with it. */
	process_kill_group(pid, SIGKILL);
	process_reap(pid);
	orphans_reaped(checks->orphans, pid);
	judge(x, status, &v);
	tell(x, &v);
	gone = x->events.gone;
	ctx = x->events.ctx;
	drop(x);
	if (gone != NULL)
		gone(ctx);
	return true;
}

/* ---- its beginning ---- */

static void
put_own(const struct worker *w, struct strlist *env)
{
	const struct app_spec *spec = w->spec;
	const struct address *bound = app_spec_bound(spec, w->instance);

	strlist_printf(env, "CLUSTERD_PID=%ld", (long)w->pid);
	if (spec->conf->n_listens > 0)
		strlist_printf(env, "CLUSTERD_ADDRESS=%s",
		    address_text_numeric(&bound[0]).s);
}

/* As the worker's, with another command, and without its sockets. */
static int
build_env(const struct worker *w, struct worker_env *ret_env)
{
	struct conf_app conf = *app_spec_conf(w->spec, w->instance);
	char id[48];
	const struct worker_env_args args = {
		.app = &conf,
		.inherited = environ,
		.bound = app_spec_bound(w->spec, w->instance),
		.instance = w->instance,
		.instances = w->crew->wanted,
		.generation = w->spec->generation,
		.master = getpid(),
		.worker_id = id,
	};
	int code;

	snprintf(id, sizeof(id), "%016llx.%llu",
	    (unsigned long long)w->crew->all->run_id,
	    (unsigned long long)w->serial);
	conf.command = w->spec->conf->health_command;
	conf.handoff = CONF_HANDOFF_ADOPT;
	code = worker_env_build(&args, ret_env);
	if (code < 0)
		return code;
	put_own(w, &ret_env->env);
	if (!ret_env->env.failed)
		return 0;
	worker_env_free(ret_env);
	return -ENOMEM;
}

static int
execute(struct check_exec *x, const struct worker *w, int null_fd)
{
	const struct conf_app *conf = w->spec->conf;
	struct worker_env env;
	struct spawn_plan plan = {
		.in_fd = null_fd, .out_fd = null_fd, .err_fd = null_fd,
		.cwd = x->checks->cwd,
		.base_dir = config_app_dir(w->spec->config, conf),
		.umask = conf->umask,
		.nofile = app_spec_nofile(w->spec, x->checks->nofile),
		.creds = &conf->creds,
	};
	int code = build_env(w, &env);

	if (code < 0)
		return code;
	plan.files = env.files.v;
	plan.argv = env.argv.v;
	plan.envp = env.env.v;
	plan.directory = env.directory;
	code = exec_report_spawn(&x->exec, &plan, &x->pid);
	worker_env_free(&env);
	return code;
}

static struct check_exec *
exec_new(struct checks *checks, const struct worker *w,
    const struct check_exec_events *events)
{
	struct check_exec *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return NULL;
	*x = (struct check_exec){
		.checks = checks, .events = *events,
		.exec = EXEC_REPORT_INIT, .began = mono_now(),
		.timeout_ms = w->spec->conf->health_timeout_ms,
		.program = strdup(w->spec->conf->health_command.v[0]),
	};
	if (x->program == NULL ||
	    loop_timer_init(checks->loop, &x->timer, late, x) < 0) {
		free(x->program);
		free(x);
		return NULL;
	}
	return x;
}

int
check_exec_begin(struct checks *checks, const struct worker *w,
    const struct check_exec_events *events, struct check_exec **ret_exec,
    struct error *err)
{
	struct check_exec *x = exec_new(checks, w, events);
	int null_fd, code;

	if (x == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	code = null_fd < 0 ? -errno : execute(x, w, null_fd);
	fd_close(&null_fd);
	if (code < 0) {
		drop(x);
		return error_set(err, code, "cannot start the check: %s",
		    strerror(-code));
	}
	/* Failing that, its death tells. */
	(void)exec_report_watch(&x->exec, checks->loop,
	    &(struct exec_report_events){ .executed = NULL });
	/* Nor is it looked at: it may have its memory locked, and no CPU. */
	orphans_spare(checks->orphans, x->pid);
	x->next = checks->execs;
	checks->execs = x;
	loop_timer_start(checks->loop, &x->timer, x->timeout_ms);
	*ret_exec = x;
	return 0;
}
