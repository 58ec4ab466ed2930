#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/conf/conf.h"
#include "core/ledger/ledger.h"
#include "core/ledger/ledger_read.h"
#include "core/sockets/balance.h"
#include "core/worker/worker_words.h"
#include "daemon/adopt/adopt.h"
#include "daemon/health/health.h"
#include "daemon/life/leader_priv.h"
#include "daemon/life/life.h"
#include "daemon/life/life_again.h"
#include "daemon/life/life_ledger_priv.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/steer/steer.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/notify.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/child/seccomp_notify.h"
#include "linux/keeper/keeper_share.h"
#include "linux/ledger/descriptors.h"
#include "linux/process/process.h"
#include "linux/socket/socket_close.h"

struct life_left {
	struct one {
		struct ledger_worker r;
		uint32_t record;
		bool taken;
	} *v;
	size_t n;
	size_t n_taken;
	size_t told;		/* the last, by life_next_left() */
};

/* ---- what is there ---- */

static int
take_fd(struct descriptors *left, int fd, uint64_t ino)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || (ino != 0 && st.st_ino != ino) ||
	    !descriptors_take(left, fd))
		return -1;
	return fd;
}

/* Listeners of seccomp's all have the same inode. */
static int
take_trap(struct descriptors *left, int fd)
{
	return fd >= 0 && seccomp_notify_is(fd) && descriptors_take(left, fd) ?
	    fd : -1;
}

static void
take_fds(struct descriptors *left, struct ledger_worker *r)
{
	r->notify = take_fd(left, r->notify, r->notify_ino);
	r->trap = take_trap(left, r->trap);
	for (int i = 0; i < OUT_STREAMS; i++)
		r->out[i] = take_fd(left, r->out[i], r->out_ino[i]);
}

/* A number alone says nothing: it may be another's by now. One that has died
   meanwhile the keeper tells of. */
static bool
is_there(const struct ledger_worker *r)
{
	return r->pid != 0 && r->started != 0 &&
	    process_identity(r->pid) == r->started;
}

/* One that cannot be looked at, for want of a descriptor, has not died of it. */
static bool
is_gone(const struct ledger_worker *r)
{
	uint64_t now = process_identity(r->pid);

	if (r->started != 0 && now == 0)
		return kill(r->pid, 0) < 0 && errno == ESRCH;
	return r->started == 0 || now != r->started;
}

static void
kill_left(const struct ledger_worker *r)
{
	if (r->pid == 0 || !process_is_fostered(r->pid) ||
	    (r->started != 0 && !is_there(r)))
		return;
	process_kill_group(r->pid, SIGKILL);
	process_kill(r->pid, SIGKILL);
}

/* What it was about to be is begun anew. */
static void
look_at_start(struct ledger_worker *r)
{
	if (r->state != WORKER_EXECING)
		return;
	kill_left(r);
	r->pid = 0;
	r->state = WORKER_IDLE;
}

/* False: there is no memory for any. */
static bool
add(struct life_left *left, uint32_t record, const struct ledger_worker *r)
{
	if (left->v == NULL)
		return false;
	left->v[left->n++] = (struct one){ .r = *r, .record = record };
	return true;
}

/* By app, then by number. */
static int
compare(const void *a, const void *b)
{
	const struct one *x = a, *y = b;
	int order = strcmp(x->r.app, y->r.app);

	if (order != 0)
		return order;
	return x->r.number < y->r.number ? -1 : x->r.number > y->r.number;
}

/* The first of this app that has that number or a higher one. */
static size_t
first_from(const struct life_left *left, const char *app, uint64_t number)
{
	size_t first = 0, end = left->n;

	while (first < end) {
		size_t middle = first + (end - first) / 2;
		const struct ledger_worker *r = &left->v[middle].r;
		int order = strcmp(r->app, app);

		if (order < 0 || (order == 0 && r->number < number))
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static bool
is_of(const struct life_left *left, size_t i, const char *app)
{
	return i < left->n && strcmp(left->v[i].r.app, app) == 0;
}

static void
look_at_all(struct life_left *left, struct ledger *ledger,
    struct descriptors *fds, bool *ret_trapped)
{
	const uint32_t end = ledger_end(ledger, LEDGER_WORKER);

	*ret_trapped = false;
	left->v = reallocarray(NULL, end, sizeof(*left->v));
	for (uint32_t i = 0; i < end; i++) {
		struct ledger_worker r;
		int there = ledger_get_worker(ledger, i, &r);

		if (there == 1) {
			look_at_start(&r);
			take_fds(fds, &r);
			*ret_trapped |= r.trap >= 0;
			if (add(left, i, &r))
				continue;
			kill_left(&r);
		}
		if (there != 0)
			ledger_drop(ledger, LEDGER_WORKER, i);
	}
	if (left->n > 0)
		qsort(left->v, left->n, sizeof(*left->v), compare);
}

/* It was born, and killed was who had yet to write it down: whoever has not executed
   a program bears our name. One that has is found by the sweep of orphans, since
   the serial that it has is nobody's. */
static void
end_unrecorded(void)
{
	char ours[32], name[32];
	pid_t *pids;
	size_t n;

	if (!process_name(getpid(), ours, sizeof(ours)) ||
	    process_children(&pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		if (process_name(pids[i], name, sizeof(name)) &&
		    strcmp(name, ours) == 0 && process_is_fostered(pids[i]))
			process_kill(pids[i], SIGKILL);
	free(pids);
}

static void
look_at_program(struct life *life, struct descriptors *fds)
{
	struct workers *workers = life->with.workers;
	struct ledger_program p;

	if (ledger_get_program(life->ledger, &p) != 1)
		return;
	workers->run_id = p.run_id;
	workers->number = p.number;
	life->serial = p.serial;
	if (p.births != 0)
		end_unrecorded();
	p.notify_dir = take_fd(fds, p.notify_dir, p.notify_ino);
	if (p.notify_dir >= 0)
		notify_take_place(life->with.notify, p.notify_dir,
		    p.notify_path);
}

void
life_look_back(struct life *life, struct ledger *ledger,
    struct descriptors *fds)
{
	bool trapped = false;

	life->ledger = ledger;
	if (ledger == NULL)
		return;
	adopt_keep(life->with.adopt, ledger);
	look_at_program(life, fds);
	life->left = calloc(1, sizeof(*life->left));
	if (life->left != NULL)
		look_at_all(life->left, ledger, fds, &trapped);
	if (trapped)
		adopt_has_worked(life->with.adopt);
}

const struct ledger_worker *
life_next_left(const struct life *life, const char *app)
{
	struct life_left *left = life->left;
	size_t i;

	if (left == NULL)
		return NULL;
	/* Who was told last is taken by now, as are those before it. */
	i = is_of(left, left->told, app) ? left->told :
	    first_from(left, app, 0);
	while (is_of(left, i, app) && left->v[i].taken)
		i++;
	left->told = i;
	return is_of(left, i, app) ? &left->v[i].r : NULL;
}

/* ---- it is ours ---- */

static void
take_machine(struct worker *w, const struct ledger_worker *r)
{
	struct worker_fsm *fsm = &w->fsm;
	struct mono deaths[LEDGER_DEATHS];

	fsm->state = (enum worker_state)r->state;
	fsm->trial = (r->flags & LEDGER_TRIAL) != 0;
	fsm->said = (r->flags & LEDGER_SAID) != 0;
	fsm->unwanted = (r->flags & LEDGER_UNWANTED) != 0;
	fsm->retiring = (r->flags & LEDGER_RETIRING) != 0;
	fsm->rescues = r->rescues;
	fsm->executed.ns = r->executed;
	fsm->deadline.ns = r->deadline;
	for (uint32_t i = 0; i < r->deaths_n; i++)
		deaths[i].ns = r->deaths[i];
	restart_remember(&fsm->history, w->spec->conf, r->streak, deaths,
	    r->deaths_n);
}

static void
take_what_is_known(struct worker *w, const struct ledger_worker *r)
{
	struct app_spec *spec = w->spec;

	w->number = r->number;
	w->holder.number = r->number;
	w->serial = r->serial;
	w->identity = r->started;
	w->ready_ms = r->ready_ms;
	w->was_ready = (r->flags & LEDGER_WAS_READY) != 0;
	w->relapsed = (r->flags & LEDGER_RELAPSED) != 0;
	w->bound = r->bound;
	w->trapped = (r->flags & LEDGER_TRAPPED) != 0;
	w->watchdog_us = r->watchdog_us;
	w->gave_up = (r->flags & LEDGER_GAVE_UP) != 0;
	health_take_over(w, (r->flags & LEDGER_UNWELL) != 0);
	app_spec_take_over(spec, r->taken, (enum balance_accepts)r->accepts,
	    (r->flags & LEDGER_SEEN) != 0);
}

/* What it was started with. */
static void
find_given(struct worker *w)
{
	struct app_spec *spec = w->spec;

	for (size_t i = 0; i < spec->conf->n_listens; i++) {
		struct listener *l = app_spec_place(spec, w->instance, i);
		const struct lane *lane = l != NULL &&
		    spec->conf->handoff != CONF_HANDOFF_ADOPT ?
		    spec_lanes_find(spec, l, &w->holder) : NULL;

		w->given[i] = lane != NULL ? lane->ino : 0;
	}
}

static void
take_descriptors(struct worker *w, struct ledger_worker *r)
{
	leader_take_over(w, r->out);
	if (r->notify >= 0)
		notify_take_over(w, r->notify, r->notify_ino);
	if (r->trap >= 0)
		adopt_take_over(w, r->trap);
	r->notify = r->trap = r->out[0] = r->out[1] = -1;
}

/* It is in the list. */
static struct one *
find(struct life_left *left, const struct ledger_worker *r)
{
	size_t i = first_from(left, r->app, r->number);

	while (&left->v[i].r != r)
		i++;
	return &left->v[i];
}

struct worker *
worker_take_over(struct life *life, struct crew *crew, struct app_spec *spec,
    const struct ledger_worker *r)
{
	struct one *one = find(life->left, r);
	struct worker *w = worker_new(life, crew, spec, r->instance, false);
	struct error err = ERROR_INIT;

	one->taken = true;
	if (w == NULL || app_spec_seat(spec, r->instance, &err) < 0) {
		error_clear(&err);
		worker_free(w);
		life_dismiss(life, r);
		return NULL;
	}
	life_ledger_drop(w);
	w->record = one->record;
	w->pid = (pid_t)r->pid;
	take_what_is_known(w, r);
	take_machine(w, r);
	if (!worker_state_final(w->fsm.state))
		listeners_rejoin(life->with.listeners, &w->holder);
	take_descriptors(w, &one->r);
	find_given(w);
	life->left->n_taken += w->pid != 0;
	return w;
}

/* ---- whether it is there ---- */

/* So many places of the table of pids are looked at in a step. */
#define DOUBT_PLACES 32

/* One at a time: whoever is above hears of it, and others may go with it. */
static struct worker *
find_unseen(struct life *life)
{
	struct worker *w = life->with.workers->by_pid[life->doubt];

	for (; w != NULL; w = w->next_pid) {
		uint64_t now;

		if (!w->leader->doubted)
			continue;
		w->leader->doubted = false;
		now = process_identity(w->pid);
		if (now == w->identity || (now == 0 &&
		    (kill(w->pid, 0) == 0 || errno != ESRCH)))
			continue;
		/* In this order, as below. */
		if (!keeper_has_death(w->pid))
			return w;
	}
	return NULL;
}

static bool
look_at_doubted(void *ctx)
{
	struct life *life = ctx;

	for (int i = 0; i < DOUBT_PLACES && life->doubt < PID_BUCKETS; i++) {
		struct worker *w = find_unseen(life);

		if (w != NULL) {
			worker_died(w, EXIT_STATUS_UNSEEN);
			return true;
		}
		life->doubt++;
	}
	return life->doubt < PID_BUCKETS;
}

/* Most are there, and whoever else has died meanwhile the keeper tells of: they can be
   asked when all others were heard. Who is told to go is looked at before (step.c). */
static bool
can_wait(const struct worker *w, const struct ledger_worker *r)
{
	return w->fsm.state == WORKER_READY && r->started != 0;
}

static void
look_later(struct worker *w)
{
	struct life *life = w->leader->life;

	w->leader->doubted = true;
	life->doubt = 0;
	loop_later(life->with.workers->loop, &life->doubts, look_at_doubted,
	    life);
}

/* Somebody has seen its death; or nobody, who could tell how it was. */
static bool
has_died(struct worker *w, const struct ledger_worker *r)
{
	if (w->pid == 0)
		return false;
	if ((r->flags & LEDGER_DEAD) != 0) {
		w->status = (struct exit_status){
			.signalled = (r->status & LEDGER_SIGNALLED) != 0,
			.core_dumped = (r->status & LEDGER_CORE_DUMPED) != 0,
			.code = (int)(r->status & 0xffff),
		};
		return true;
	}
	if (can_wait(w, r)) {
		look_later(w);
		return false;
	}
	/* In this order: it is told before it is gone. */
	if (!is_gone(r) || keeper_has_death(w->pid))
		return false;
	kill_left(r);
	w->status = EXIT_STATUS_UNSEEN;
	return true;
}

static void
go_on(struct worker *w)
{
	if (w->fsm.state == WORKER_DRAINING) {
		drainers_add(w);
	} else if (w->fsm.state == WORKER_STARTING) {
		readiness_watch(w);
		if (w->spec->conf->ready == CONF_READY_HEALTH)
			health_begin(w);
	} else if (w->fsm.state == WORKER_READY) {
		health_begin(w);
	} else if (w->fsm.state == WORKER_KILLED) {
		process_kill_group(w->pid, SIGKILL);
	}
	loop_timer_set(w->crew->all->loop, &w->leader->timer, w->fsm.deadline);
}

void
worker_go_on(struct worker *w)
{
	const struct ledger_worker *r = NULL;
	struct life_left *left = w->leader->life->left;
	size_t i = first_from(left, w->crew->name, w->number);

	if (is_of(left, i, w->crew->name) && left->v[i].r.number == w->number)
		r = &left->v[i].r;
	worker_log(LOG_LEVEL_DEBUG, w, "taken over, %s",
	    worker_state_name(w->fsm.state));
	steer_note(w->leader->life->with.steering, w);
	/* What was frozen for a look stands still. */
	if (w->fsm.state == WORKER_DRAINING)
		process_kill_group(w->pid, SIGCONT);
	if (r != NULL && has_died(w, r)) {
		worker_died(w, w->status);
		return;
	}
	if (w->fsm.state == WORKER_IDLE) {
		/* Whether it is, where all retire, is decided with that. */
		if (!w->crew->stopping && !w->crew->all->stopping)
			worker_start(w);
		return;
	}
	go_on(w);
	life_ledger_note(w);
}

void
life_dismiss(struct life *life, const struct ledger_worker *r)
{
	struct one *one = find(life->left, r);

	one->taken = true;
	if (r->pid != 0 && is_there(r)) {
		log_app(LOG_LEVEL_INFO, r->app, "killing pid %d, which nobody "
		    "wants any more", (int)r->pid);
		kill_left(r);
	}
	socket_close(&one->r.notify);
	fd_close(&one->r.trap);
	for (int i = 0; i < OUT_STREAMS; i++)
		fd_close(&one->r.out[i]);
	ledger_drop(life->ledger, LEDGER_WORKER, one->record);
}

void
life_look_back_give_up(struct life *life)
{
	if (life->left != NULL)
		free(life->left->v);
	free(life->left);
	life->left = NULL;
}

size_t
life_look_back_end(struct life *life)
{
	struct life_left *left = life->left;
	size_t n = 0;

	for (size_t i = 0; left != NULL && i < left->n; i++)
		if (!left->v[i].taken)
			life_dismiss(life, &left->v[i].r);
	if (left != NULL)
		n = left->n_taken;
	life_look_back_give_up(life);
	listeners_rejoined(life->with.listeners);
	adopt_keep_end(life->with.adopt);
	return n;
}
