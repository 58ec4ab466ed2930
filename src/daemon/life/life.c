#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "daemon/adopt/adopt.h"
#include "daemon/health/health.h"
#include "daemon/life/death_priv.h"
#include "daemon/life/group_priv.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life.h"
#include "daemon/life/life_ledger_priv.h"
#include "daemon/life/step_priv.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/notify.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/keeper/keeper_share.h"

int
life_init(struct life *life, struct error *err)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO &&
	    fcntl(fd, F_SETFD, 0) == 0);
	if (fd < 0)
		return error_set(err, -errno, "cannot open /dev/null: %s",
		    strerror(errno));
	life->null_fd = fd;
	return 0;
}

void
life_fini(struct life *life)
{
	if (life->doubts.waits)
		loop_later_end(life->with.workers->loop, &life->doubts);
	oom_watch_end(&life->oom);
	cgroup_tree_end(&life->groups);
	free(life->limits_told);
	life->limits_told = NULL;
	free(life->failure);
	life->failure = NULL;
	fd_close(&life->null_fd);
}

void
life_move_in(struct life *life, const struct life_house *house)
{
	life->with = *house;
	TAILQ_INIT(&life->late);
}

void
life_raise_nofile(struct life *life)
{
	struct rlimit most;

	if (!keeper_nofile(&life->nofile) &&
	    getrlimit(RLIMIT_NOFILE, &life->nofile) < 0)
		life->nofile = (struct rlimit){ 1024, 4096 };
	most = life->nofile;
	most.rlim_cur = most.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &most);
}

bool
life_failed(const struct life *life)
{
	return life->failed;
}

const char *
life_failure(const struct life *life)
{
	return life->failure;
}

/* ---- workers come and go ---- */

static void
enlist(struct worker *w)
{
	w->next = w->crew->workers;
	w->prev_next = &w->crew->workers;
	if (w->next != NULL)
		w->next->prev_next = &w->next;
	w->crew->workers = w;
}

static void
delist(struct worker *w)
{
	*w->prev_next = w->next;
	if (w->next != NULL)
		w->next->prev_next = w->prev_next;
}

static int
join_rooms(struct life *life, struct worker *w)
{
	const struct life_house *with = &life->with;
	int code = leader_join(life, w);

	if (code == 0)
		code = adopt_join(with->adopt, w);
	if (code == 0)
		code = notify_join(with->notify, w);
	if (code == 0)
		code = readiness_join(with->readiness, w);
	if (code == 0)
		code = drainers_join(with->drainers, w);
	if (code == 0)
		code = health_join(with->healths, w);
	return code;
}

static void
leave_rooms(struct worker *w)
{
	leader_leave(w);
	adopt_leave(w);
	notify_leave(w);
	readiness_leave(w);
	drainers_leave(w);
	health_leave(w);
	free(w->recycled);
}

struct worker *
worker_new(struct life *life, struct crew *crew, struct app_spec *spec,
    unsigned instance, bool trial)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->crew = crew;
	w->instance = instance;
	w->holder.about = (struct log_about){
		.app = crew->name, .instance = (long)instance,
	};
	w->holder.crowd = spec;
	w->ready_ms = -1;
	w->fsm = (struct worker_fsm)WORKER_FSM_INIT;
	w->fsm.trial = trial;
	w->given = calloc(spec->conf->n_listens + 1, sizeof(*w->given));
	if (w->given == NULL || join_rooms(life, w) < 0) {
		leave_rooms(w);
		free(w->given);
		free(w);
		return NULL;
	}
	w->spec = app_spec_ref(spec);
	w->number = w->holder.number = workers_number(crew->all);
	w->record = LEDGER_NOWHERE;
	enlist(w);
	life_ledger_note(w);
	return w;
}

void
worker_free(struct worker *w)
{
	struct life_house with;

	if (w == NULL)
		return;
	with = w->leader->life->with;
	delist(w);
	life_ledger_drop(w);
	leader_forget(w);
	leave_rooms(w);
	listeners_leave(with.listeners, &w->holder);
	steer_unshare(with.steering, w);
	worker_fsm_free(&w->fsm);
	worker_usage_end(w);
	app_spec_unref(w->spec);
	free(w->given);
	free(w->death);
	worker_noted(w);
	free(w);
}

/* ---- events ---- */

/* Of each turn, for those that come back: the time has come for hundreds at once
   that have died together. At least one. */
#define RESTARTS_NS INT64_C(2000000)

static bool
may_restart(struct life *life)
{
	return loop_budget_left(life->with.workers->loop, &life->restarts,
	    RESTARTS_NS);
}

/* One that came before may have moved it. */
static bool
has_come(const struct worker *w)
{
	return !mono_before(mono_now(), w->fsm.deadline);
}

/* In the order in which their times have come. */
static void
take_deadline(struct worker *w)
{
	struct life *life = w->leader->life;

	if (!has_come(w))
		return;
	if (w->fsm.state != WORKER_BACKOFF || w->crew->stopping ||
	    (TAILQ_EMPTY(&life->late) && may_restart(life)))
		step_event(w, WORKER_EV_DEADLINE);
	else
		leader_be_late(w->leader);
}

static void
take_posted(struct worker *w)
{
	enum worker_event event;

	while (worker_take_post(w, &event)) {
		if (event == WORKER_EV_DEADLINE)
			take_deadline(w);
		else
			step_event(w, event);
	}
	/* A group without its leader sends no further sign if it is gone. */
	if (w->lingering && w->fsm.state == WORKER_KILLED)
		death_of_group(w);
}

/* In the order in which they came: what was posted goes before. The event itself
   is never posted, so that a start, which forgets what was, cannot lose it. */
static void
take(struct worker *w, enum worker_event event)
{
	take_posted(w);
	step_event(w, event);
	take_posted(w);
}

void
worker_start(struct worker *w)
{
	take(w, WORKER_EV_START);
}

void
worker_pass(struct worker *w)
{
	take(w, WORKER_EV_PASSED);
}

void
worker_stop(struct worker *w)
{
	/* It may be executed already, and serving, with the news of it still
	   in the pipe: then it is not to be killed. */
	leader_read_report(w);
	take(w, WORKER_EV_STOP);
}

void
worker_retire(struct worker *w)
{
	enum worker_event event;

	leader_read_report(w);		/* as above */
	/* So it may, and have been looked at some time ago. */
	if (readiness_look_now(w, &event))
		take(w, event);
	take(w, WORKER_EV_RETIRE);
}

void
worker_kill(struct worker *w)
{
	take(w, WORKER_EV_KILL);
}

static void
record(const struct workers *workers)
{
	struct worker *w;

	while ((w = workers_unrecorded(workers)) != NULL)
		life_ledger_note(w);
}

/* Those that are left come in the next turn: the first one's timer sees to it. */
static void
restart_some(struct life *life)
{
	struct leader *l;

	while ((l = TAILQ_FIRST(&life->late)) != NULL) {
		struct worker *w = l->worker;
		/* Or is it started, or given up, by now? */
		bool waits = w->fsm.state == WORKER_BACKOFF && has_come(w);

		if (waits && !may_restart(life)) {
			loop_timer_set(life->with.workers->loop, &l->timer,
			    w->fsm.deadline);
			return;
		}
		leader_be_in_time(l);
		if (waits)
			step_event(w, WORKER_EV_DEADLINE);
	}
}

static void
take_all(struct life *life)
{
	struct worker *w;

	while ((w = workers_posted(life->with.workers)) != NULL)
		take_posted(w);
}

void
life_turn(struct life *life)
{
	take_all(life);
	restart_some(life);
	/* What could not be started has news at once. */
	take_all(life);
	record(life->with.workers);
}

/* ---- deaths ---- */

void
worker_died(struct worker *w, struct exit_status status)
{
	w->status = status;
	life_ledger_dead(w);
	leader_read_last(w);
	take_posted(w);
	death_of_leader(w);
}

void
life_group_shrank(struct life *life, int group)
{
	group_shrank(life);
	if (life->lingering == 0)
		return;
	for (struct crew *c = life->with.workers->crews; c != NULL;
	    c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next)
			if (w->lingering && (group == 0 || w->pid == group))
				death_of_group(w);
}
