#include <sys/stat.h>

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "daemon/adopt/adopt.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life_house.h"
#include "daemon/life/life_ledger_priv.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/notify.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/notify_dir.h"

static uint64_t
inode(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static uint32_t
flags_of(const struct worker *w)
{
	const struct worker_fsm *fsm = &w->fsm;
	bool executed = w->pid != 0 && fsm->state != WORKER_EXECING;

	return (w->seated && w->present ? LEDGER_SEATED : 0U) |
	    (fsm->trial ? LEDGER_TRIAL : 0U) |
	    (fsm->said ? LEDGER_SAID : 0U) |
	    (fsm->unwanted ? LEDGER_UNWANTED : 0U) |
	    (fsm->retiring ? LEDGER_RETIRING : 0U) |
	    (w->was_ready ? LEDGER_WAS_READY : 0U) |
	    (w->relapsed ? LEDGER_RELAPSED : 0U) |
	    (executed ? LEDGER_EXECUTED : 0U) |
	    (w->trapped ? LEDGER_TRAPPED : 0U) |
	    (w->unwell ? LEDGER_UNWELL : 0U) |
	    (w->gave_up ? LEDGER_GAVE_UP : 0U) |
	    (w->spec->seen ? LEDGER_SEEN : 0U);
}

static uint64_t
taken_of(const struct app_spec *spec)
{
	uint64_t taken = 0;

	for (size_t i = 0; i < spec->conf->n_listens; i++)
		if (spec->taken[i])
			taken |= UINT64_C(1) << i;
	return taken;
}

/* The latest ones, if there are too many. */
static void
put_history(struct ledger_worker *r, const struct restart_history *h)
{
	unsigned n = h->n < LEDGER_DEATHS ? h->n : LEDGER_DEATHS;

	r->streak = h->streak;
	r->deaths_n = n;
	for (unsigned i = 0; i < n; i++)
		r->deaths[i] = h->deaths[(h->next + h->cap - n + i) %
		    h->cap].ns;
}

static void
put_descriptors(struct ledger_worker *r, const struct worker *w)
{
	r->notify = notify_fd(w);
	r->notify_ino = notify_inode(w);
	r->trap = adopt_fd(w);
	for (int i = 0; i < OUT_STREAMS; i++) {
		r->out[i] = out_pipe_fd(w->leader->pipes[i]);
		r->out_ino[i] = inode(r->out[i]);
	}
}

static void
fill(const struct worker *w, struct ledger_worker *r)
{
	*r = (struct ledger_worker){
		.number = w->number,
		.serial = w->serial,
		.started = w->identity,
		.pid = w->pid,
		.flags = flags_of(w),
		.state = (uint32_t)w->fsm.state,
		.instance = w->instance,
		.generation = w->spec->generation,
		.rescues = w->fsm.rescues,
		.executed = w->fsm.executed.ns,
		.deadline = w->fsm.deadline.ns,
		.ready_ms = w->ready_ms,
		.bound = w->bound,
		.watchdog_us = w->watchdog_us,
		.taken = taken_of(w->spec),
		.accepts = (uint32_t)w->spec->accepts,
	};
	put_history(r, &w->fsm.history);
	put_descriptors(r, w);
	ledger_put_text(r->app, sizeof(r->app), w->crew->name);
}

static void
put(struct worker *w, const struct ledger_worker *r)
{
	struct ledger *ledger = w->leader->life->ledger;
	struct ledger_worker there;

	if (w->record == LEDGER_NOWHERE) {
		if (ledger_add(ledger, LEDGER_WORKER, r, &w->record) < 0)
			worker_log_often(LOG_LEVEL_WARNING, w, "would not "
			    "outlive a supervisor that is killed: there are "
			    "too many");
		return;
	}
	if (ledger_get(ledger, LEDGER_WORKER, w->record, &there) != 1 ||
	    memcmp(&there, r, sizeof(there)) != 0)
		ledger_set(ledger, LEDGER_WORKER, w->record, r);
}

static void
write_down(struct worker *w, bool dead)
{
	struct ledger_worker r;

	if (w->leader->life->ledger == NULL)
		return;
	fill(w, &r);
	if (dead) {
		r.flags |= LEDGER_DEAD;
		r.status = (uint32_t)w->status.code |
		    (w->status.signalled ? LEDGER_SIGNALLED : 0U) |
		    (w->status.core_dumped ? LEDGER_CORE_DUMPED : 0U);
	}
	put(w, &r);
}

/* One whose group is waited for is dead, too. */
void
life_ledger_note(struct worker *w)
{
	worker_noted(w);
	write_down(w, w->lingering);
}

void
life_ledger_dead(struct worker *w)
{
	write_down(w, true);
}

void
life_ledger_drop(struct worker *w)
{
	if (w->record != LEDGER_NOWHERE)
		ledger_drop(w->leader->life->ledger, LEDGER_WORKER, w->record);
	w->record = LEDGER_NOWHERE;
}

void
life_ledger_program(const struct life *life)
{
	const struct workers *workers = life->with.workers;
	const struct notify_dir *dir = notify_place(life->with.notify);
	uint32_t place;
	struct ledger_program r = {
		.run_id = workers->run_id,
		.serial = life->serial,
		.number = workers->number,
		.notify_dir = dir != NULL ? dir->fd : -1,
		.notify_ino = dir != NULL ? inode(dir->fd) : 0,
		.births = life->gives_birth,
	};

	if (life->ledger == NULL)
		return;
	if (dir != NULL)
		ledger_put_text(r.notify_path, sizeof(r.notify_path),
		    dir->path);
	if (ledger_end(life->ledger, LEDGER_PROGRAM) > 0)
		ledger_set(life->ledger, LEDGER_PROGRAM, 0, &r);
	else
		(void)ledger_add(life->ledger, LEDGER_PROGRAM, &r, &place);
}
