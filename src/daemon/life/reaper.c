#include <errno.h>
#include <unistd.h>

#include "core/worker/obituary.h"
#include "daemon/health/check_exec.h"
#include "daemon/health/health.h"
#include "daemon/life/life.h"
#include "daemon/life/reaper.h"
#include "daemon/on_event/on_event.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/orphans.h"
#include "daemon/watch/orphans_alone.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"

/* Of a turn; and how long others have the time then, if that took as long as
   makes a difference, in times of what it took. */
#define BUDGET_NS	INT64_C(2000000)
#define CHEAP_NS	INT64_C(50000)
#define PAUSE_TIMES	2

/* Of those whose death nobody tells. A timer, not a pidfd for each: descriptors may be
   short, and of what workers leave behind nobody is known before it is seen. */
#define LOOK_MS		20

static void
bury(struct reaper *r, pid_t pid, struct exit_status status)
{
	struct worker *w = workers_find(r->workers, pid);
	pid_t group;

	r->found = true;
	r->n_buried++;
	if (w != NULL) {
		r->worker = true;
		worker_died(w, status);
		return;
	}
	if (check_exec_died(r->life->with.healths->checks, pid, status))
		return;
	if (r->life->with.on_event != NULL &&
	    on_event_died(r->life->with.on_event, pid, status))
		return;
	if (r->life->with.looks != NULL &&
	    looks_reaped(r->life->with.looks, pid)) {
		process_reap(pid);
		orphans_reaped(r->life->with.orphans, pid);
		return;
	}
	/* Was it the last of a group that outlived its leader? */
	group = getpgid(pid);
	process_reap(pid);
	orphans_reaped(r->life->with.orphans, pid);
	life_group_shrank(r->life, group);
	r->orphan = true;
}

static bool
bury_if_dead(struct reaper *r, pid_t pid)
{
	struct exit_status status;
	bool dead = pid > 0 && process_is_dead(pid, &status);

	if (dead)
		bury(r, pid, status);
	return dead;
}

/* False: they are too many to ask for one by one. */
static bool
look_at_all(struct reaper *r, struct mono end)
{
	struct exit_status status;
	pid_t pid;

	while ((pid = process_next_dead(&status)) > 0) {
		bury(r, pid, status);
		if (!mono_before(mono_now(), end))
			return false;
	}
	return true;
}

/* Child by child; without a list, as above. */
static void
begin_scan(struct reaper *r)
{
	r->scanning = child_scan_begin(&r->scan) == 0;
	r->found = false;
	r->news = true;
}

static void
go_on_scanning(struct reaper *r, struct mono end)
{
	pid_t pid;

	while (mono_before(mono_now(), end)) {
		if (!child_scan_next(&r->scan, &pid)) {
			child_scan_end(&r->scan);
			r->scanning = false;
			/* Others may have died behind its back. */
			r->news |= r->found;
			return;
		}
		(void)bury_if_dead(r, pid);
	}
}

static void
tell_orphans(struct reaper *r)
{
	if (r->orphan)
		r->orphan_died(r->ctx);
	r->orphan = false;
}

/* What workers leave behind may die without end, and clients are to be heard
   meanwhile; of workers there are only so many, and at a stop nobody else is
   waited for. */
static bool
is_to_pause(const struct reaper *r, int64_t took_ns)
{
	return took_ns > CHEAP_NS && !r->worker && !r->workers->stopping;
}

static void
look(struct reaper *r)
{
	struct mono begin = mono_now(), end = begin;
	int64_t took;

	end.ns += BUDGET_NS;
	r->worker = false;
	if (r->scanning) {
		go_on_scanning(r, end);
	} else {
		r->news = false;
		if (!look_at_all(r, end))
			begin_scan(r);
	}
	took = mono_now().ns - begin.ns;
	r->not_before = mono_now();
	if (is_to_pause(r, took))
		r->not_before.ns += PAUSE_TIMES * took;
	if (r->scanning || r->news)
		loop_timer_set(r->loop, &r->again, r->not_before);
	tell_orphans(r);
}

static void
again_due(void *ctx)
{
	look(ctx);
}

void
reaper_child_died(struct reaper *r, pid_t pid)
{
	(void)bury_if_dead(r, pid);
	r->news = true;
	if (mono_before(mono_now(), r->not_before))
		loop_timer_set(r->loop, &r->again, r->not_before);
	else if (!r->scanning)
		look(r);
	tell_orphans(r);
}

void
reaper_fostered_died(struct reaper *r, pid_t pid, struct exit_status status)
{
	struct worker *w = workers_find(r->workers, pid);

	r->n_buried++;
	if (w != NULL && w->fostered) {
		worker_died(w, status);
		return;
	}
	orphans_reaped(r->life->with.orphans, pid);
	life_group_shrank(r->life, 0);
	r->orphan = true;
	tell_orphans(r);
}

/* ---- without a keeper ---- */

static void
look_at_fostered(struct reaper *r, struct worker *w)
{
	if (!w->fostered || w->lingering ||
	    !process_has_ended(w->pid, w->identity))
		return;
	r->n_buried++;
	worker_died(w, EXIT_STATUS_UNSEEN);
}

static void
look_due(void *ctx)
{
	struct reaper *r = ctx;
	struct orphans *orphans = r->life->with.orphans;

	orphans_alone(orphans);
	for (struct crew *c = r->workers->crews; c != NULL; c = c->next)
		for (struct worker *w = c->workers; w != NULL; w = w->next)
			look_at_fostered(r, w);
	if (orphans_forget_ended(orphans)) {
		r->n_buried++;
		r->orphan = true;
	}
	/* Of the others in its group none may have been seen. */
	if (r->orphan || r->life->lingering > 0)
		life_group_shrank(r->life, 0);
	tell_orphans(r);
	loop_timer_start(r->loop, &r->look, LOOK_MS);
}

void
reaper_is_alone(struct reaper *r)
{
	if (process_foster_parent() != 0)
		look_due(r);
}

int
reaper_init(struct reaper *r, struct loop *loop, struct life *life,
    struct workers *workers, void (*orphan_died)(void *ctx), void *ctx)
{
	*r = (struct reaper){
		.loop = loop,
		.life = life,
		.workers = workers,
		.orphan_died = orphan_died,
		.ctx = ctx,
		.scan = CHILD_SCAN_INIT,
	};
	if (loop_timer_init(loop, &r->look, look_due, r) < 0)
		return -ENOMEM;
	return loop_timer_init(loop, &r->again, again_due, r);
}

void
reaper_fini(struct reaper *r)
{
	/* There was no _init(). */
	if (r->loop == NULL)
		return;
	child_scan_end(&r->scan);
	loop_timer_fini(r->loop, &r->again);
	loop_timer_fini(r->loop, &r->look);
}
