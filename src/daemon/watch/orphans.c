#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "daemon/watch/orphans.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/process.h"

#define SWEEP_MS 50

/* Of a turn, in which so many environments are read as there is time for; others
   have the loop in between. One look that cannot be made in parts ends then. */
#define BUDGET_NS	INT64_C(2000000)
#define PAUSE_MS	4

void
orphans_note_strangers(struct orphans *o)
{
	if (process_children(&o->strangers, &o->n_strangers) < 0)
		o->n_strangers = 0;
}

void
orphans_forget(struct orphans *o, pid_t pid)
{
	for (size_t i = 0; i < o->n_strangers; i++)
		if (o->strangers[i] == pid)
			o->strangers[i--] = o->strangers[--o->n_strangers];
}

static struct mono
end_of_budget(void)
{
	struct mono end = mono_now();

	end.ns += BUDGET_NS;
	return end;
}

static bool
is_stranger(const struct orphans *o, pid_t pid)
{
	for (size_t i = 0; i < o->n_strangers; i++)
		if (o->strangers[i] == pid)
			return true;
	return false;
}

/*
 * Call `fn` for every child that is neither a worker's leader nor was there
 * before us, until it returns false. False: the children cannot be listed.
 */
static bool
each_orphan(struct orphans *o,
    bool (*fn)(struct orphans *o, pid_t pid, void *ctx), void *ctx)
{
	pid_t *pids;
	size_t n;

	if (process_children(&pids, &n) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (workers_find(o->workers, pids[i]) == NULL &&
		    !is_stranger(o, pids[i]) && !fn(o, pids[i], ctx))
			break;
	free(pids);
	return true;
}

bool
orphans_in_group(struct orphans *o, pid_t pgid)
{
	/* A worker that has this number now is no leftover of the old one. */
	return workers_find(o->workers, pgid) == NULL &&
	    process_child_in_group(pgid);
}

/* The serial of the worker that a process descends from; 0: not ours. */
static uint64_t
serial_of(const struct orphans *o, pid_t pid)
{
	char id[64], own[32];
	uint64_t serial;

	snprintf(own, sizeof(own), "%016llx.",
	    (unsigned long long)o->workers->run_id);
	if (!process_env(pid, "CLUSTERD_WORKER_ID", id, sizeof(id)) ||
	    strncmp(id, own, strlen(own)) != 0 ||
	    !num_parse(id + strlen(own), 1, UINT64_MAX, &serial))
		return 0;
	return serial;
}

struct owner_search {
	const struct worker *worker;
	struct mono end;
	bool found;
};

static bool
look_for_owner(struct orphans *o, pid_t pid, void *ctx)
{
	struct owner_search *search = ctx;
	struct process_stat st;

	if (!process_stat(pid, &st) || st.state == 'Z')
		return true;
	search->found = st.group == search->worker->pid ||
	    serial_of(o, pid) == search->worker->serial;
	return !search->found && mono_before(mono_now(), search->end);
}

bool
orphans_of(struct orphans *o, const struct worker *worker)
{
	struct owner_search search = {
		.worker = worker, .end = end_of_budget(),
	};

	each_orphan(o, look_for_owner, &search);
	return search.found;
}

struct crew_search {
	const struct crew *crew;
	struct mono end;
	bool found;
};

static bool
look_for_crew(struct orphans *o, pid_t pid, void *ctx)
{
	struct crew_search *search = ctx;
	uint64_t serial = serial_of(o, pid);

	for (const struct worker *w = search->crew->workers; w != NULL;
	    w = w->next)
		search->found |= serial != 0 && w->serial == serial;
	/* As what cannot be listed. */
	search->found |= !mono_before(mono_now(), search->end);
	return !search->found;
}

bool
orphans_of_crew(struct orphans *o, const struct crew *crew)
{
	struct crew_search search = { .crew = crew, .end = end_of_budget() };

	/* What cannot be listed may well be there. */
	return !each_orphan(o, look_for_crew, &search) || search.found;
}

static void
kill_with_group(pid_t pid)
{
	/* It is our unreaped child, so the number is its own. */
	if (getpgid(pid) == pid)
		process_kill_group(pid, SIGKILL);
	(void)kill(pid, SIGKILL);
}

static bool
serial_lives(const struct orphans *o, uint64_t serial)
{
	for (const struct crew *c = o->workers->crews; c != NULL;
	    c = c->next)
		for (const struct worker *w = c->workers; w != NULL;
		    w = w->next)
			if (w->serial == serial && w->pid != 0)
				return true;
	return false;
}

static void
sweep_one(struct orphans *o, pid_t pid)
{
	uint64_t serial = serial_of(o, pid);

	if (serial != 0 && !serial_lives(o, serial)) {
		log_own_often(LOG_LEVEL_DEBUG, "killing pid %d, left behind by a dead worker",
		    (int)pid);
		kill_with_group(pid);
	}
}

/* Kernels that list no children: all of them, once. */
static bool
sweep_at_once(struct orphans *o, pid_t pid, void *ctx)
{
	(void)ctx;
	sweep_one(o, pid);
	return true;
}

/* A part of it; false: that was all. A pid that was taken anew meanwhile is no
   child of ours, or is looked at like any other. */
static bool
sweep(struct orphans *o)
{
	struct mono end = end_of_budget();
	pid_t pid;

	while (mono_before(mono_now(), end)) {
		if (!child_scan_next(&o->scan, &pid))
			return false;
		if (pid != 0 && workers_find(o->workers, pid) == NULL &&
		    !is_stranger(o, pid) && process_is_child(pid))
			sweep_one(o, pid);
	}
	return true;
}

static bool
kill_one(struct orphans *o, pid_t pid, void *ctx)
{
	size_t *n = ctx;

	(void)o;
	kill_with_group(pid);
	(*n)++;
	return true;
}

size_t
orphans_kill_all(struct orphans *o)
{
	size_t n = 0;

	if (each_orphan(o, kill_one, &n) || !process_has_children() ||
	    o->n_strangers > 0)
		return n;
	/* There are some, and no list of them. As process 1 we can kill them
	   all the same: our end would do it too. */
	if (getpid() == 1)
		(void)kill(-1, SIGKILL);
	return 1;
}

static void
sweep_due(void *ctx)
{
	struct orphans *o = ctx;

	/* The end of a stop kills every orphan anyway. */
	if (o->workers->stopping)
		return;
	if (o->sweeping || child_scan_begin(&o->scan) == 0)
		o->sweeping = sweep(o);
	else
		each_orphan(o, sweep_at_once, NULL);
	if (o->sweeping) {
		loop_timer_start(o->loop, &o->sweep, PAUSE_MS);
		return;
	}
	child_scan_end(&o->scan);
	if (o->again)
		loop_timer_start(o->loop, &o->sweep, SWEEP_MS);
	o->again = false;
}

/* A sweep looks at every child, so one serves all the deaths of this time. */
void
orphans_sweep_soon(struct orphans *o)
{
	/* One that is under way may be past them. */
	o->again = o->sweeping;
	if (!o->workers->stopping)
		loop_timer_start(o->loop, &o->sweep, SWEEP_MS);
}

int
orphans_init(struct orphans *o, struct loop *loop, struct workers *workers)
{
	o->loop = loop;
	o->workers = workers;
	return loop_timer_init(loop, &o->sweep, sweep_due, o);
}

void
orphans_fini(struct orphans *o)
{
	free(o->strangers);
	child_scan_end(&o->scan);
	if (o->loop != NULL)
		loop_timer_fini(o->loop, &o->sweep);
}
