#include <sys/random.h>

#include <errno.h>
#include <stddef.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "core/ledger/ledger.h"
#include "daemon/above.h"
#include "daemon/adopt/adopt.h"
#include "daemon/adopt/adopt_review.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/beginning.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/ending.h"
#include "daemon/health/check.h"
#include "daemon/health/health.h"
#include "daemon/hearing.h"
#include "daemon/life/life.h"
#include "daemon/life/life_again.h"
#include "daemon/life/reaper.h"
#include "daemon/on_event/on_event.h"
#include "daemon/output/outputs.h"
#include "daemon/settling.h"
#include "daemon/signalled.h"
#include "daemon/sockets/listeners.h"
#include "daemon/steer/steer.h"
#include "daemon/stopping.h"
#include "daemon/supervisor.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/notify.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/workers.h"
#include "linux/file/pidfile.h"
#include "linux/keeper/keeper_clear.h"
#include "linux/keeper/keeper_share.h"
#include "linux/ledger/kept_files.h"
#include "linux/loop/loop.h"
#include "linux/process/process.h"

struct supervisor {
	struct loop *loop;
	struct workers workers;
	struct listeners listeners;
	struct outputs outputs;
	struct steering steering;
	struct looks looks;
	struct readiness readiness;
	struct notify_sockets notify;
	struct orphans orphans;
	struct drainers drainers;
	struct checks checks;
	struct healths healths;
	struct notify_heed heed;
	struct on_event on_event;
	struct adopt adopt;
	struct adopt_review review;
	struct life life;
	struct reaper reaper;
	struct apps apps;
	struct reloads reloads;
	struct control_program program;
	struct control control;
	struct pidfile pidfile;
	uint32_t pidfile_record;
	struct above above;	/* the supervisor */
	struct ending ending;
	struct hearing hearing;
	struct signalled signalled;
	struct stopping stopping;
	struct loop_timer left_out; /* lines of the log, to be told */
	struct settling settling;
	struct mono silent_until;   /* what has come about; 0: is told */
};

/* Soon after it is known how many there were. */
#define LEFT_OUT_MS 1000

/* Where new connections go may never be quite up to date. */
#define SILENT_MS 1000

static void
supervisor_fail(struct supervisor *sup)
{
	sup->program.failed = true;
	stopping_now(&sup->stopping);
}

/* ---- what comes about ---- */

static void
orphan_died(void *ctx)
{
	struct supervisor *sup = ctx;

	/* It may have had children of its own. */
	orphans_sweep_soon(&sup->orphans);
	apps_touch(&sup->apps);
}

static void
ending_takes_longer(void *ctx, int64_t ms)
{
	struct supervisor *sup = ctx;

	above_tell_more(&sup->above, ms);
}

/* ---- the end of a turn ---- */

static void
tell_status(struct supervisor *sup)
{
	above_tell_status(&sup->above, &sup->apps, sup->reloads.refusal);
}

/* One app that fails holds up neither the others nor those who wait for us. Returns
   as keeper_came_up(), which is before it is said: whoever reads it may kill us at
   once. */
static bool
tell_started(const struct supervisor *sup)
{
	struct strbuf failed = STRBUF_INIT;
	bool first;

	apps_name_failed(&sup->apps, &failed);
	if (failed.len > 0 && !failed.failed)
		keeper_tell_failed(failed.text);
	first = keeper_came_up();
	if (failed.len > 0 && !failed.failed)
		log_warning("start complete, but for what has failed so far: "
		    "%s", failed.text);
	else
		log_info("start complete");
	strbuf_free(&failed);
	return first;
}

/* Tell the supervisor above us when a start or a reload has come to its end. */
static void
check_up(struct supervisor *sup)
{
	bool first;

	if (!sup->program.starting && !sup->reloads.reloading) {
		tell_status(sup);
		return;
	}
	if (!apps_have_come_up(&sup->apps) || sup->reloads.under_way != NULL)
		return;
	/* Who waits in the foreground hears of it after all others. */
	first = sup->program.starting ? tell_started(sup) : keeper_came_up();
	above_tell_ready(&sup->above, sup->reloads.refusal_errno);
	sup->program.starting = false;
	if (first)
		keeper_tell_up();
	reload_told(&sup->reloads);
	tell_status(sup);
	settling_soon(&sup->settling);
}

/* Whoever waits hears of it when new connections go where they are to, or that
   takes too long. */
static void
tell_all(struct supervisor *sup)
{
	struct mono now = mono_now();

	if (steer_is_behind(&sup->steering)) {
		if (sup->silent_until.ns == 0)
			sup->silent_until = mono_add_ms(now, SILENT_MS);
		if (mono_before(now, sup->silent_until))
			return;
	}
	sup->silent_until = (struct mono){ .ns = 0 };
	if (!sup->apps.stopping)
		check_up(sup);
	control_turn(&sup->control);
}

/* With nothing left to supervise, the program ends by itself. */
static void
check_over(struct supervisor *sup)
{
	bool failed;

	if (!apps_are_over(&sup->apps, &failed))
		return;
	if (failed)
		log_error("no app is left: exiting");
	else
		log_info("every app has ended well: exiting");
	sup->program.failed = failed;
	keeper_stopping();
	stopping_now(&sup->stopping);
}

/* A failure is known before the apps draw conclusions from the deaths. */
static void
workers_turn(struct supervisor *sup)
{
	life_turn(&sup->life);
	if (life_failed(&sup->life) && !sup->program.failed) {
		sup->program.why = life_failure(&sup->life);
		supervisor_fail(sup);
	}
}

/* What was posted for workers meanwhile they take. */
static void
advance(struct supervisor *sup)
{
	while (apps_turn(&sup->apps)) {
		workers_turn(sup);
		if (sup->apps.stopping) {
			control_turn(&sup->control);
			ending_look(&sup->ending, sup->stopping.killing);
			continue;
		}
		steer_turn(&sup->steering);
		check_over(sup);
		tell_all(sup);
	}
}

/* Workers take what was posted for them, apps advance, which may post more. */
static void
end_turn(struct supervisor *sup)
{
	workers_turn(sup);
	advance(sup);
	steer_turn_if_due(&sup->steering);
	if (sup->silent_until.ns != 0) {
		tell_all(sup);
		/* The end of one request may begin something else. */
		advance(sup);
	}
	stopping_turn(&sup->stopping);
	/* Of the last orphans some may have been killed, and not died. */
	if (sup->apps.stopping && sup->apps.first == NULL && !sup->ending.done)
		ending_look(&sup->ending, sup->stopping.killing);
	if (!mono_is_never(log_left_out_due()))
		loop_timer_start(sup->loop, &sup->left_out, LEFT_OUT_MS);
	apps_end_turn(&sup->apps);
	on_event_turn(&sup->on_event);
}

static void
left_out_due(void *ctx)
{
	(void)ctx;
	log_tell_left_out(false);
}

/* ---- start ---- */

static const struct worker_events worker_events = {
	.stepped = apps_worker_stepped,
	.ended = apps_worker_ended,
	.finished = apps_worker_finished,
};

static void
stop_asked(void *ctx)
{
	struct supervisor *sup = ctx;

	stopping_leave(&sup->stopping);
}

static const struct apps_watch apps_watch = {
	.stepped = control_worker_stepped,
	.ended = control_worker_died,
	.news = control_app_news,
	.health = control_worker_health,
};

static const struct health_watch health_watch = {
	.news = apps_worker_health,
};

static const struct reload_watch reload_watch = {
	.refused = control_reload_refused,
	.refused_app = control_reload_refused_app,
	.applying = control_reload_applying,
	.applied = control_reload_applied,
};

/* While others wait for it too: a stop or a start may take so much longer. */
static void
worker_extends(void *ctx, struct worker *w, int64_t ms)
{
	struct supervisor *sup = ctx;

	(void)w;
	if (sup->apps.stopping || sup->program.starting)
		above_tell_more(&sup->above, ms + ENDING_GIVE_UP_MS);
}

/* Who is whose neighbour. */
static void
acquaint(struct supervisor *sup, const struct supervisor_setup *setup)
{
	sup->healths = (struct healths){
		.checks = &sup->checks,
		.steering = &sup->steering,
		.watch = &health_watch,
		.watch_ctx = &sup->apps,
	};
	sup->heed = (struct notify_heed){
		.alive = health_said_alive,
		.trigger = health_said_trigger,
		.period = health_said_period,
		.extends = worker_extends,
		.ctx = sup,
	};
	sup->notify.heed = &sup->heed;
	sup->readiness.by = &sup->looks;
	life_move_in(&sup->life, &(struct life_house){
		.workers = &sup->workers,
		.listeners = &sup->listeners,
		.outputs = &sup->outputs,
		.steering = &sup->steering,
		.looks = &sup->looks,
		.readiness = &sup->readiness,
		.notify = &sup->notify,
		.drainers = &sup->drainers,
		.healths = &sup->healths,
		.on_event = &sup->on_event,
		.orphans = &sup->orphans,
		.adopt = &sup->adopt,
		.review = &sup->review,
		.cwd = setup->cwd,
	});
	apps_init(&sup->apps, &(struct apps_setup){
		.workers = &sup->workers,
		.listeners = &sup->listeners,
		.outputs = &sup->outputs,
		.steering = &sup->steering,
		.review = &sup->review,
		.life = &sup->life,
		.watch = &apps_watch,
		.watch_ctx = &sup->control,
	});
	reload_init(&sup->reloads, &(struct reload_setup){
		.apps = &sup->apps,
		.adopt = &sup->adopt,
		.balancing = &sup->listeners.balancing,
		.up = &sup->above.up,
		.origin = setup->origin,
		.watch = &reload_watch,
		.watch_ctx = &sup->control,
		.log_level = setup->log_level,
		.config = setup->config,
	});
}

/* Who needs the loop, too. */
static void
acquaint_with_loop(struct supervisor *sup)
{
	sup->checks.loop = sup->loop;
	sup->checks.listeners = &sup->listeners;
	sup->checks.orphans = &sup->orphans;
	sup->checks.nofile = &sup->life.nofile;
	sup->checks.cwd = sup->life.with.cwd;
	reload_open(&sup->reloads, sup->loop);
	control_init(&sup->control, &(struct control_setup){
		.loop = sup->loop,
		.apps = &sup->apps,
		.reloads = &sup->reloads,
		.outputs = &sup->outputs,
		.checks = &sup->checks,
		.on_event = &sup->on_event,
		.program = &sup->program,
		.stop = stop_asked,
		.stop_ctx = sup,
	});
}

/* Each has timers of its own, or watches something. */
static int
init_watchers(struct supervisor *sup)
{
	struct loop *loop = sup->loop;
	int code = notify_init(&sup->notify, loop, &sup->workers);

	if (code == 0)
		code = orphans_init(&sup->orphans, loop, &sup->workers);
	if (code == 0)
		code = adopt_init(&sup->adopt, loop, &sup->workers,
		    &sup->orphans, &sup->review);
	if (code == 0)
		code = adopt_review_init(&sup->review, loop, &sup->workers,
		    &sup->orphans);
	if (code == 0)
		code = looks_init(&sup->looks, loop, &sup->orphans);
	if (code == 0)
		code = readiness_init(&sup->readiness, loop);
	if (code == 0)
		code = steer_init(&sup->steering, loop, &sup->listeners,
		    &sup->workers);
	if (code == 0)
		code = reaper_init(&sup->reaper, loop, &sup->life,
		    &sup->workers, orphan_died, sup);
	if (code == 0)
		code = on_event_init(&sup->on_event, &(struct event_run_house){
			.loop = loop,
			.nofile = &sup->life.nofile,
			.cwd = sup->life.with.cwd,
			.run_id = &sup->workers.run_id,
		    }, &sup->reloads.config, &sup->orphans);
	if (code == 0)
		code = drainers_init(&sup->drainers, loop);
	if (code == 0)
		code = apps_open(&sup->apps);
	return code;
}

static int
open_kernel_things(struct supervisor *sup, struct error *err)
{
	uint64_t run_id = 0;
	int code = life_init(&sup->life, err);

	if (code == 0)
		code = loop_new(&sup->loop, err);
	if (code == 0)
		code = hearing_open(&sup->hearing, sup->loop, err);
	if (code < 0)
		return code;
	/* Soon after the machine's start there may be nothing random yet. */
	if (getrandom(&run_id, sizeof(run_id), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(run_id))
		run_id = (uint64_t)mono_now().ns << 22 ^ (uint64_t)getpid();
	workers_init(&sup->workers, sup->loop, &worker_events, run_id);
	if (hearing_begin(&sup->hearing) < 0 ||
	    ending_init(&sup->ending, sup->loop, &sup->program.failed) < 0 ||
	    loop_timer_init(sup->loop, &sup->left_out, left_out_due,
		sup) < 0 ||
	    settling_init(&sup->settling, sup->loop) < 0 ||
	    stopping_init(&sup->stopping, sup->loop) < 0 ||
	    init_watchers(sup) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	acquaint_with_loop(sup);
	listeners_init(&sup->listeners, sup->loop);
	listeners_on_death(&sup->listeners, apps_listener_died, &sup->apps);
	listeners_on_clients(&sup->listeners, health_client_came,
	    &sup->workers);
	outputs_init(&sup->outputs, sup->loop, control_lines_came,
	    &sup->control);
	code = process_become_subreaper();
	if (code < 0)
		log_warning("cannot become a subreaper, processes that escape "
		    "their worker will outlive it: %s", strerror(-code));
	return 0;
}

/* What a supervisor before had open is there, whatever has become of its path. */
static int
go_on_with_old(struct error *err)
{
	log_error("%s; going on with the old one", error_text(err));
	error_clear(err);
	return 0;
}

/* With the place in the file that names it. */
static int
cannot_open(const struct config *config, unsigned at, const char *key, int code,
    const struct error *why, struct error *err)
{
	unsigned line;
	const char *file = config_file_of(config, at, &line);

	return error_set(err, code, "%s:%u: %s: %s", file, line, key,
	    error_text(why));
}

static int
open_log(struct supervisor *sup, struct error *err)
{
	const struct config *config = sup->reloads.config;
	struct error why = ERROR_INIT;
	int code = log_open(config->log, &why);

	if (code < 0)
		cannot_open(config, config->log_line, "log", code, &why, err);
	error_clear(&why);
	return code < 0 && keeper_supervisor() > 0 ? go_on_with_old(err) :
	    code;
}

static int
open_pidfile(struct supervisor *sup, struct ledger *ledger, struct error *err)
{
	const struct config *config = sup->reloads.config;
	const char *path = config->pidfile;
	struct pidfile old = PIDFILE_INIT;
	struct error why = ERROR_INIT;
	int code = 0, fd;

	if (path == NULL)
		return 0;
	fd = kept_files_take(&sup->outputs.kept, path);
	if (fd >= 0)
		code = pidfile_go_on(path, fd, &old, &why);
	if (code == 0 && pidfile_is_there(&old)) {
		sup->pidfile = old;
	} else if (code == 0) {
		code = pidfile_create(path, keeper_pid(), &sup->pidfile,
		    &why);
		if (code == 0)
			pidfile_remove(&old);
		else
			sup->pidfile = old;
	}
	if (code < 0)
		cannot_open(config, config->pidfile_line, "pidfile", code,
		    &why, err);
	error_clear(&why);
	if (code < 0 && keeper_supervisor() > 0)
		code = go_on_with_old(err);
	if (code == 0 && sup->pidfile.fd >= 0)
		kept_file_note(ledger, &sup->pidfile_record, path,
		    sup->pidfile.fd);
	return code;
}

/* Returns an exit status; not 0: with words, and nothing is to run. */
static int
start(struct supervisor *sup, const struct supervisor_setup *setup,
    struct error *err)
{
	struct beginning begin = {
		.listeners = &sup->listeners,
		.apps = &sup->apps,
		.adopt = &sup->adopt,
		.life = &sup->life,
		.orphans = &sup->orphans,
		.stopping = &sup->stopping,
		.store = &sup->above.store,
		.outputs = &sup->outputs,
		.origin = setup->origin,
		.config = sup->reloads.config,
		.ledger = setup->ledger,
		.left = setup->left,
	};
	int code;

	if (beginning_look_back(&begin, err) < 0 ||
	    open_kernel_things(sup, err) < 0)
		return 1;
	if (open_log(sup, err) < 0)
		return EX_CONFIG;
	beginning_take_over(&begin);
	/* While the kernel looks through programs for us. */
	if (keeper_supervisor() == 0)
		readiness_prepare(&sup->readiness, sup->reloads.config);
	if (above_open(&sup->above, sup->loop) < 0)
		log_warning("NOTIFY_SOCKET is of no use, ignored");
	if (open_pidfile(sup, setup->ledger, err) < 0)
		return EX_UNAVAILABLE;
	code = control_open(&sup->control, err);
	if (code < 0)
		return code == -ENOMEM ? 1 : EX_UNAVAILABLE;
	life_raise_nofile(&sup->life);
	apps_count_cpus(&sup->apps, sup->reloads.config);
	sup->program.starting = true;
	/* Whether all come up or not: what is there has been taken over. */
	if (keeper_supervisor() > 0)
		settling_soon(&sup->settling);
	return beginning_start(&begin, err) < 0 ? EX_UNAVAILABLE : 0;
}

static void
release_all(struct supervisor *sup)
{
	stopped_free(&sup->apps);
	listeners_disinherit(&sup->listeners, NULL);
	pidfile_remove(&sup->pidfile);
	sd_notify_close(&sup->above.up);
	if (sup->loop != NULL) {
		control_close(&sup->control);
		hearing_end(&sup->hearing);
		ending_fini(&sup->ending);
		stopping_fini(&sup->stopping);
		loop_timer_fini(sup->loop, &sup->left_out);
		settling_fini(&sup->settling);
		notify_fini(&sup->notify);
		adopt_fini(&sup->adopt);
		adopt_review_fini(&sup->review);
		readiness_fini(&sup->readiness);
		steer_fini(&sup->steering);
		drainers_fini(&sup->drainers);
		checks_close(&sup->checks);
		on_event_fini(&sup->on_event);
		apps_close(&sup->apps);
		reaper_fini(&sup->reaper);
		listeners_fini(&sup->listeners);
		outputs_fini(&sup->outputs);
		looks_fini(&sup->looks);
	}
	orphans_fini(&sup->orphans);
	hearing_close(&sup->hearing);
	life_look_back_give_up(&sup->life);
	life_fini(&sup->life);
	loop_free(sup->loop);
	reload_fini(&sup->reloads);
}

int
supervisor_run(const struct supervisor_setup *setup)
{
	struct supervisor sup = {
		.pidfile = PIDFILE_INIT,
		.pidfile_record = LEDGER_NOWHERE,
		.program = { .pid = keeper_pid(),
			.started = keeper_began() },
		.above = ABOVE_INIT,
		.listeners = LISTENERS_INIT,
		.hearing = {
			.reaper = &sup.reaper,
			.above = &sup.above,
			.stopping = &sup.stopping,
			.signal = signalled_hear,
			.upgrade_failed = signalled_upgrade_failed,
			.ctx = &sup.signalled,
			.signal_fd = -1,
		},
		.signalled = {
			.stopping = &sup.stopping,
			.reaper = &sup.reaper,
			.reloads = &sup.reloads,
			.apps = &sup.apps,
			.outputs = &sup.outputs,
			.control = &sup.control,
			.program = &sup.program,
		},
		.looks = { .child = LOOKER_INIT },
		.drainers = { .batch = { .diag = SOCKDIAG_INIT } },
		.checks = CHECKS_INIT,
		.notify = { .dir = NOTIFY_DIR_INIT },
		.life = LIFE_INIT,
		.orphans = { .workers = &sup.workers, .scan = CHILD_SCAN_INIT },
		.ending = { .apps = &sup.apps, .orphans = &sup.orphans,
			.on_event = &sup.on_event, .longer = ending_takes_longer, .ctx = &sup,
			.deaths = &sup.reaper.n_buried },
		.stopping = {
			.workers = &sup.workers,
			.listeners = &sup.listeners,
			.apps = &sup.apps,
			.reloads = &sup.reloads,
			.program = &sup.program,
			.above = &sup.above,
		},
	};
	struct error err = ERROR_INIT;
	int status;

	acquaint(&sup, setup);
	log_set_level(setup->log_level >= 0 ?
	    (enum log_level)setup->log_level :
	    (enum log_level)sup.reloads.config->log_level);
	log_set_format((enum log_format)sup.reloads.config->log_format);
	status = start(&sup, setup, &err);
	/* Those of the one before serve on, until it can be tried again. */
	if (status != 0 && setup->ledger != NULL && keeper_supervisor() > 0) {
		/* Nothing is given back: its descriptors are theirs. */
		static struct supervisor kept
		    __attribute__((used, unused));

		log_error("%s", error_text(&err));
		error_clear(&err);
		/* Workers have it, of whom nobody knows. */
		if (sup.listeners.lost > 0)
			keeper_left_is_spoilt();
		kept = sup;
		return status;
	}
	if (status != 0) {
		log_error("%s", error_text(&err));
		stopping_now(&sup.stopping);
	}
	error_clear(&err);
	end_turn(&sup);
	while (!sup.ending.done) {
		loop_turn(sup.loop);
		end_turn(&sup);
		outputs_turn(&sup.outputs);
	}
	outputs_finish(&sup.outputs);
	log_tell_left_out(true);
	if (status == 0)
		log_info("stopped");
	release_all(&sup);
	return status != 0 ? status : sup.program.failed ? 1 : 0;
}
