#include <sys/epoll.h>
#include <sys/random.h>

#include <errno.h>
#include <stddef.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/names/signal_name.h"
#include "core/worker/worker_fsm.h"
#include "daemon/adopt/adopt.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_specs.h"
#include "daemon/spec/app_spec.h"
#include "daemon/config/conf_load.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/readiness.h"
#include "daemon/config/reload.h"
#include "daemon/steer/steer.h"
#include "daemon/apps/stopped.h"
#include "daemon/supervisor.h"
#include "daemon/control/control.h"
#include "daemon/adopt/adopt.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/life/life.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/drain.h"
#include "daemon/watch/notify.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/workers.h"
#include "daemon/sockets/listeners.h"
#include "daemon/output/outputs.h"
#include "daemon/workers/worker.h"
#include "daemon/watch/notify.h"
#include "linux/process/cpus.h"
#include "linux/process/process.h"
#include "linux/loop/signals.h"
#include "linux/loop/loop.h"
#include "linux/file/pidfile.h"
#include "linux/child/sd_notify.h"

struct supervisor {
	struct loop *loop;
	struct workers workers;
	struct listeners listeners;
	struct outputs outputs;
	struct steering steering;
	struct readiness readiness;
	struct notify_sockets notify;
	struct orphans orphans;
	struct drain_looks drain;
	struct adopt adopt;
	struct life life;
	struct apps apps;
	struct reloads reloads;
	struct control control;
	struct pidfile pidfile;
	struct sd_notify up;	/* the supervisor above us */
	int signal_fd;
	loop_handle signals;
	struct loop_timer give_up; /* on what was killed and does not die */
	bool killing;
	bool done;
};

/* How long the end waits for killed processes that do not die (state D). */
#define GIVE_UP_MS 10000

/* ---- stop ---- */

static void
supervisor_stop(struct supervisor *sup)
{
	if (sup->apps.stopping)
		return;
	sup->apps.stopping = sup->workers.stopping = true;
	sd_notify_send(&sup->up, "STOPPING=1\nSTATUS=stopping");
	reload_cancel(&sup->reloads);
	for (struct app *a = sup->apps.first; a != NULL; a = a->next_app)
		app_stop(a);
	listeners_shut(&sup->listeners);
	sup->apps.dirty = true;
}

static void
kill_all(struct supervisor *sup)
{
	sup->killing = true;
	for (struct app *a = sup->apps.first; a != NULL; a = a->next_app)
		app_kill(a);
}

static void
supervisor_fail(struct supervisor *sup)
{
	sup->control.failed = sup->life.mute = true;
	supervisor_stop(sup);
}

static void
stop_signal(struct supervisor *sup, int signo)
{
	if (!sup->apps.stopping) {
		log_info("SIG%s: stopping", signal_name(signo));
		supervisor_stop(sup);
	} else if (!sup->killing) {
		log_warning("SIG%s again: killing what is left",
		    signal_name(signo));
		kill_all(sup);
	}
}

/* ---- signals ---- */

/* An orphan is dead: was it the last of a group that outlived its leader? */
static void
reap_orphan(struct supervisor *sup, pid_t pid)
{
	pid_t group = getpgid(pid);

	process_reap(pid);
	for (struct app *a = sup->apps.first;
	     a != NULL && sup->life.lingering > 0; a = a->next_app)
		for (struct worker *w = a->crew.workers; w != NULL; w = w->next)
			if (w->lingering && w->pid == group)
				worker_check_group(w);
}

static void
reap(struct supervisor *sup)
{
	struct exit_status status;
	bool orphan = false;
	pid_t pid;

	while ((pid = process_next_dead(&status)) > 0) {
		struct worker *w = workers_find(&sup->workers, pid);

		if (w != NULL) {
			worker_died(w, status);
			continue;
		}
		reap_orphan(sup, pid);
		orphan = true;
	}
	if (!orphan)
		return;
	/* It may have had children of its own. */
	orphans_sweep_soon(&sup->orphans);
	sup->apps.dirty = true;
}

static void
reopen_log(struct supervisor *sup)
{
	struct error err = ERROR_INIT;

	if (log_open(sup->reloads.config->log, &err) < 0)
		log_error("%s; going on with the old one", error_text(&err));
	else
		log_info("SIGUSR1: log reopened");
	error_clear(&err);
	outputs_reopen(&sup->outputs);
	control_restore(&sup->control);
}

static void
scale_all(struct supervisor *sup, int by)
{
	for (struct app *a = sup->apps.first; a != NULL; a = a->next_app)
		app_scale(a, by);
}

static void
on_signal(void *ctx, int signo)
{
	struct supervisor *sup = ctx;

	switch (signo) {
	case SIGCHLD:
		reap(sup);
		break;
	case SIGTERM:
	case SIGINT:
	case SIGQUIT:
		stop_signal(sup, signo);
		break;
	case SIGHUP:
		if (sup->apps.stopping)
			break;
		log_info("SIGHUP: reloading");
		reload_request(&sup->reloads, NULL);
		break;
	case SIGUSR1:
		reopen_log(sup);
		break;
	case SIGUSR2:
		log_warning("SIGUSR2: replacing the running clusterd is not "
		    "supported yet, ignored");
		break;
	case SIGTTIN:
		scale_all(sup, 1);
		break;
	case SIGTTOU:
		scale_all(sup, -1);
		break;
	}
}

static void
signals_ready(void *ctx, uint32_t events)
{
	struct supervisor *sup = ctx;

	(void)events;
	signals_read(sup->signal_fd, on_signal, sup);
}

/* ---- the end of a turn ---- */

/* One line of STATUS= for the supervisor above us, after any change. */
static void
tell_status(struct supervisor *sup)
{
	unsigned ready = 0, wanted = 0;

	for (const struct app *a = sup->apps.first; a != NULL;
	     a = a->next_app) {
		ready += app_ready_count(a);
		wanted += a->crew.wanted;
	}
	sd_notify_send(&sup->up, "STATUS=%u of %u instances ready", ready,
	    wanted);
}

/* Tell the supervisor above us when a start or a reload has come to its end. */
static void
check_settled(struct supervisor *sup)
{
	if (!sup->control.starting && !sup->reloads.reloading) {
		tell_status(sup);
		return;
	}
	for (const struct app *a = sup->apps.first; a != NULL; a = a->next_app)
		if (!a->crew.stopping &&
		    (!a->settled || a->crew.target != NULL))
			return;
	if (sup->reloads.under_way != NULL)
		return;
	if (sup->control.starting)
		log_info("start complete");
	sup->control.starting = sup->reloads.reloading = false;
	sd_notify_send(&sup->up, "READY=1\nMAINPID=%d", (int)sup->control.pid);
	tell_status(sup);
}

/* With nothing left to supervise, the program ends by itself. */
static void
check_over(struct supervisor *sup)
{
	bool failed = false;

	/* Somebody may want to start it again. */
	if (sup->apps.stopped != NULL)
		return;
	for (const struct app *a = sup->apps.first; a != NULL;
	     a = a->next_app) {
		if (a->crew.stopping || !a->over || a->crew.target != NULL ||
		    app_retires(a))
			return;
		if (a->failed)
			failed = true;
	}
	if (failed)
		log_error("no app is left: exiting");
	else
		log_info("every app has ended well: exiting");
	sup->control.failed = failed;
	supervisor_stop(sup);
}

/* Is SIGKILL all that can still be done about every worker that is left? */
static bool
only_killed_left(const struct supervisor *sup)
{
	for (const struct app *a = sup->apps.first; a != NULL; a = a->next_app)
		for (const struct worker *w = a->crew.workers; w != NULL;
		    w = w->next)
			if (w->fsm.state != WORKER_KILLED)
				return false;
	return true;
}

static void
check_gone(struct supervisor *sup)
{
	if (sup->apps.first != NULL) {
		if (!only_killed_left(sup))
			return;
	} else if (orphans_kill_all(&sup->orphans) == 0) {
		/* No worker lives, and nothing that escaped from one. */
		sup->done = true;
		return;
	}
	if (mono_is_never(sup->give_up.due))
		loop_timer_set(sup->loop, &sup->give_up,
		    mono_add_ms(mono_now(), GIVE_UP_MS));
}

static void
settle_turn(struct supervisor *sup)
{
	while (sup->apps.dirty) {
		sup->apps.dirty = false;
		for (struct app *a = sup->apps.first, *next; a != NULL;
		     a = next) {
			next = a->next_app;
			if (a->dirty)
				app_advance(a);
		}
		if (sup->apps.stopping) {
			control_turn(&sup->control);
			check_gone(sup);
			continue;
		}
		steer_all(&sup->steering);
		check_over(sup);
		if (!sup->apps.stopping)
			check_settled(sup);
		control_turn(&sup->control);
	}
}

static void
give_up_due(void *ctx)
{
	struct supervisor *sup = ctx;

	log_error("some processes do not die although they were killed, "
	    "leaving them");
	sup->control.failed = true;
	sup->done = true;
}

/* ---- start ---- */

/* Descriptors 0 to 2 must be something, or a socket would become one. */
static int
open_standard_fds(struct supervisor *sup, struct error *err)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO &&
	    fcntl(fd, F_SETFD, 0) == 0);
	if (fd < 0)
		return error_set(err, -errno, "cannot open /dev/null: %s",
		    strerror(errno));
	sup->life.null_fd = fd;
	return 0;
}

/* As many descriptors as we are allowed; the workers get the old limit. */
static void
raise_nofile(struct supervisor *sup)
{
	struct rlimit most;

	if (getrlimit(RLIMIT_NOFILE, &sup->life.nofile) < 0)
		sup->life.nofile = (struct rlimit){ 1024, 4096 };
	most = sup->life.nofile;
	most.rlim_cur = most.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &most);
}

static void
worker_fatal(struct worker *w)
{
	supervisor_fail((struct supervisor *)((char *)app_of(w->crew)->apps -
	    offsetof(struct supervisor, apps)));
}

static const struct worker_events worker_events = {
	.post = life_post,
	.stepped = app_worker_stepped,
	.ended = app_worker_ended,
	.fatal = worker_fatal,
};

static void
stop_asked(void *ctx)
{
	supervisor_stop(ctx);
}

static void
reload_applying(void *ctx)
{
	control_restore(ctx);
}

static const struct apps_watch apps_watch = {
	.stepped = control_worker_stepped,
	.ended = control_worker_died,
};

static const struct reload_watch reload_watch = {
	.refused = control_reload_refused,
	.applying = reload_applying,
};

static void
acquaint(struct supervisor *sup)
{
	sup->apps.workers = &sup->workers;
	sup->apps.listeners = &sup->listeners;
	sup->apps.outputs = &sup->outputs;
	sup->apps.steering = &sup->steering;
	sup->apps.adopt = &sup->adopt;
	sup->apps.life = &sup->life;
	sup->apps.watch = &apps_watch;
	sup->apps.watch_ctx = &sup->control;
	sup->reloads.loop = sup->loop;
	sup->reloads.apps = &sup->apps;
	sup->reloads.adopt = &sup->adopt;
	sup->reloads.balancing = &sup->listeners.balancing;
	sup->reloads.up = &sup->up;
	sup->reloads.watch = &reload_watch;
	sup->reloads.watch_ctx = &sup->control;
	sup->control.loop = sup->loop;
	sup->control.apps = &sup->apps;
	sup->control.reloads = &sup->reloads;
	sup->control.listeners = &sup->listeners;
	sup->control.outputs = &sup->outputs;
	sup->control.stop = stop_asked;
	sup->control.stop_ctx = sup;
	sup->workers.loop = sup->loop;
	sup->workers.events = &worker_events;
	sup->apps.house.listeners = &sup->listeners;
	sup->apps.house.outputs = &sup->outputs;
	sup->life.workers = &sup->workers;
	sup->life.listeners = &sup->listeners;
	sup->life.outputs = &sup->outputs;
	sup->life.steering = &sup->steering;
	sup->life.readiness = &sup->readiness;
	sup->life.notify = &sup->notify;
	sup->life.drain = &sup->drain;
	sup->life.orphans = &sup->orphans;
	sup->life.adopt = &sup->adopt;
}

static int
open_kernel_things(struct supervisor *sup, struct error *err)
{
	int code = open_standard_fds(sup, err);

	if (code == 0)
		code = loop_new(&sup->loop, err);
	if (code == 0)
		code = signals_open(&sup->signal_fd, err);
	if (code == 0 && (loop_add(sup->loop, sup->signal_fd, EPOLLIN, true,
	    signals_ready, sup, &sup->signals) < 0 ||
	    loop_timer_init(sup->loop, &sup->give_up, give_up_due, sup) < 0 ||
	    worker_notify_init(&sup->notify, sup->loop, &sup->workers) < 0 ||
	    orphans_init(&sup->orphans, sup->loop, &sup->workers) < 0 ||
	    adopt_init(&sup->adopt, sup->loop, &sup->workers,
	    &sup->orphans) < 0 ||
	    readiness_init(&sup->readiness, sup->loop) < 0 ||
	    steer_init(&sup->steering, sup->loop, &sup->listeners,
	    &sup->workers) < 0 || drain_init(&sup->drain, sup->loop) < 0))
		code = error_set(err, -ENOMEM, "out of memory");
	if (code < 0)
		return code;
	acquaint(sup);
	listeners_init(&sup->listeners, sup->loop);
	outputs_init(&sup->outputs, sup->loop);
	sup->outputs.told = control_logs_told;
	sup->outputs.told_ctx = &sup->control;
	code = process_become_subreaper();
	if (code < 0)
		log_warning("cannot become a subreaper, processes that escape "
		    "their worker will outlive it: %s", strerror(-code));
	return 0;
}

static void
warn_unused(const struct address *unused)
{
	log_warning("no app listens on %s, which LISTEN_FDS passes: closed",
	    address_text(unused).s);
}

/* Bind everything, then start everything: a port that is taken stops us
   before any worker runs. */
static int
start_apps(struct supervisor *sup, struct error *err)
{
	struct config *config = sup->reloads.config;
	struct app_spec **specs = NULL;
	int code = adopt_check(&sup->adopt, config, err);

	if (code == 0)
		code = balancing_check(&sup->listeners.balancing, config, err);
	if (code == 0)
		code = app_specs_open(&sup->apps, config, &specs, err);
	listeners_disinherit(&sup->listeners, warn_unused);
	for (size_t i = 0; code == 0 && i < config->n_apps; i++)
		if (app_add(&sup->apps, specs[i], true) < 0)
			code = error_set(err, -ENOMEM, "out of memory");
	app_specs_free(specs, config->n_apps);
	return code;
}

/* Returns an exit status; not 0: with words, and nothing is to run. */
static int
start(struct supervisor *sup, struct error *err)
{
	size_t unusable = 0;
	int code;

	orphans_note_strangers(&sup->orphans);
	if (listeners_inherit(&sup->listeners, &unusable) < 0) {
		error_set(err, -ENOMEM, "out of memory");
		return 1;
	}
	if (open_kernel_things(sup, err) < 0)
		return 1;
	if (log_open(sup->reloads.config->log, err) < 0)
		return EX_CONFIG;
	if (unusable > 0)
		log_warning("%zu of the descriptors in LISTEN_FDS are no "
		    "sockets that an app can listen on: closed", unusable);
	if (sd_notify_open(&sup->up) < 0)
		log_warning("NOTIFY_SOCKET is of no use, ignored");
	if (sup->reloads.config->pidfile != NULL &&
	    pidfile_create(sup->reloads.config->pidfile, &sup->pidfile, err) <
		0)
		return EX_UNAVAILABLE;
	code = control_open(&sup->control, err);
	if (code < 0)
		return code == -ENOMEM ? 1 : EX_UNAVAILABLE;
	raise_nofile(sup);
	sup->apps.house.auto_instances = cpus_available();
	(void)!getrandom(
	    &sup->workers.run_id, sizeof(sup->workers.run_id), GRND_NONBLOCK);
	sup->control.starting = true;
	return start_apps(sup, err) < 0 ? EX_UNAVAILABLE : 0;
}

static void
release_all(struct supervisor *sup)
{
	stopped_free(&sup->apps);
	listeners_disinherit(&sup->listeners, NULL);
	pidfile_remove(&sup->pidfile);
	sd_notify_close(&sup->up);
	if (sup->loop != NULL) {
		control_close(&sup->control);
		loop_del(sup->loop, &sup->signals);
		loop_timer_fini(sup->loop, &sup->give_up);
		worker_notify_fini(&sup->notify);
		adopt_fini(&sup->adopt);
		readiness_fini(&sup->readiness);
		steer_fini(&sup->steering);
		drain_fini(&sup->drain);
		listeners_fini(&sup->listeners);
		outputs_fini(&sup->outputs);
	}
	orphans_fini(&sup->orphans);
	fd_close(&sup->signal_fd);
	fd_close(&sup->life.null_fd);
	loop_free(sup->loop);
	config_unref(sup->reloads.config);
}

int
supervisor_run(const struct supervisor_setup *setup)
{
	struct supervisor sup = {
		.reloads = {
			.origin = setup->origin,
			.log_level = setup->log_level,
			.config = config_ref(setup->config),
		},
		.pidfile = PIDFILE_INIT,
		.control = {
			.pid = getpid(),
			.started = mono_now(),
			.socket = CONTROL_SOCKET_INIT,
			.clients = TAILQ_HEAD_INITIALIZER(sup.control.clients),
		},
		.up = SD_NOTIFY_INIT,
		.listeners = LISTENERS_INIT,
		.drain = { .diag = SOCKDIAG_INIT },
		.signal_fd = -1,
		.life = { .null_fd = -1 },
		.orphans = { .workers = &sup.workers },
	};
	struct error err = ERROR_INIT;
	int status;

	log_set_level(setup->log_level >= 0 ?
	    (enum log_level)setup->log_level :
	    (enum log_level)sup.reloads.config->log_level);
	log_set_format((enum log_format)sup.reloads.config->log_format);
	status = start(&sup, &err);
	if (status != 0) {
		log_error("%s", error_text(&err));
		supervisor_stop(&sup);
	}
	error_clear(&err);
	settle_turn(&sup);
	while (!sup.done) {
		loop_turn(sup.loop);
		settle_turn(&sup);
		outputs_settle(&sup.outputs);
	}
	if (sup.outputs.loop != NULL)
		outputs_finish(&sup.outputs);
	if (status == 0)
		log_info("stopped");
	release_all(&sup);
	return status != 0 ? status : sup.control.failed ? 1 : 0;
}
