#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/num.h"
#include "core/conf/conf.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/orphans.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/keeper/keeper_share.h"
#include "linux/process/helper.h"
#include "linux/process/process.h"

#define SWEEP_MS 50

/* Of a turn, in which so many environments are read as there is time for; others
   have the loop in between. One look that cannot be made in parts ends then. */
#define BUDGET_NS	INT64_C(2000000)
#define PAUSE_MS	4

/* At our own end, no helper that can be killed is left behind. */
#define END_MS		1000

/* Of whom nobody knows whose it was: the defaults of an app. */
#define UNKNOWN_SIGNAL	SIGTERM
#define UNKNOWN_MS	10000

struct orphan {
	TAILQ_ENTRY(orphan) entry;
	struct orphan *chain;	/* of those with a similar pid */
	pid_t pid;		/* our child, not reaped, or the keeper's */
	uint64_t identity;	/* of such a one; else 0 */
	struct legacy *legacy;	/* NULL: of nobody known */
	bool kept;
	bool killed;
	struct mono kill_at;
};

/* Where it is, or would be: they are in order. */
static size_t
stranger_place(const struct orphans *o, pid_t pid)
{
	size_t from = 0, to = o->n_strangers;

	while (from < to) {
		size_t at = from + (to - from) / 2;

		if (o->strangers[at] < pid)
			from = at + 1;
		else
			to = at;
	}
	return from;
}

static bool
is_stranger(const struct orphans *o, pid_t pid)
{
	size_t at = stranger_place(o, pid);

	return at < o->n_strangers && o->strangers[at] == pid;
}

void
orphans_spare(struct orphans *o, pid_t pid)
{
	size_t at = stranger_place(o, pid);
	pid_t *v = reallocarray(o->strangers, o->n_strangers + 1, sizeof(*v));

	if (v == NULL)
		return;
	o->strangers = v;
	memmove(v + at + 1, v + at, (o->n_strangers - at) * sizeof(*v));
	v[at] = pid;
	o->n_strangers++;
}

void
orphans_note_strangers(struct orphans *o)
{
	pid_t *pids;
	size_t n;

	o->keeps = keeper_spares_orphans();
	if (process_children(&pids, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++)
		orphans_spare(o, pids[i]);
	free(pids);
}

/* It was to end with its supervisor: if nothing ends it, nobody waits for that. */
static void
spare_helper(void *ctx, pid_t pid)
{
	/* Only an unreaped child's number is its own. */
	if (!process_is_fostered(pid)) {
		keeper_forget_helper(pid);
		return;
	}
	process_kill(pid, SIGKILL);
	orphans_spare(ctx, pid);
}

void
orphans_note_helpers(struct orphans *o)
{
	keeper_each_helper(spare_helper, o);
}

struct mono
orphans_budget(void)
{
	struct mono end = mono_now();

	end.ns += BUDGET_NS;
	return end;
}

bool
orphans_each(struct orphans *o,
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

uint64_t
orphans_serial_of(const struct orphans *o, pid_t pid)
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

/* ---- whose it is ---- */

/*
 * False: it belongs to a worker that lives, or nobody knows whose it was. Each
 * worker has a session of its own, so a group that is known says enough. To read a
 * process's environment waits for a lock that it has while its memory changes, and
 * so for a CPU for it.
 */
static bool
is_left_behind(const struct orphans *o, pid_t pid, struct legacy **ret_legacy)
{
	struct process_stat st;
	uint64_t serial;

	if (!process_stat(pid, &st) || st.state == 'Z' ||
	    st.group == getpgrp() || workers_find(o->workers, st.group) != NULL)
		return false;
	*ret_legacy = legacies_find(&o->legacies, 0, st.group);
	if (*ret_legacy != NULL)
		return true;
	serial = orphans_serial_of(o, pid);
	if (serial == 0 || serial_lives(o, serial))
		return false;
	*ret_legacy = legacies_find(&o->legacies, serial, st.group);
	return true;
}

void
orphans_begin(struct orphans *o, const struct worker *w)
{
	o->keeps |= w->spec->conf->orphans == CONF_ORPHANS_KEEP;
	/* Else no sweep would find any of them, nor drop what it has not. */
	if (process_proc_is_ours())
		legacies_add(&o->legacies, w);
}

static void
drop_legacies(struct orphans *o)
{
	const struct orphan *x;

	TAILQ_FOREACH(x, &o->known, entry)
		if (x->legacy != NULL)
			legacies_note_found(x->legacy);
	legacies_drop(&o->legacies);
}

/* ---- what becomes of it ---- */

static struct orphan **
find_place(struct orphans *o, pid_t pid)
{
	struct orphan **p = &o->by_pid[(unsigned)pid % ORPHANS_CHAINS];

	while (*p != NULL && (*p)->pid != pid)
		p = &(*p)->chain;
	return p;
}

static struct orphan *
find_known(struct orphans *o, pid_t pid)
{
	return *find_place(o, pid);
}

static void
forget_known(struct orphans *o, pid_t pid)
{
	struct orphan **p = find_place(o, pid);
	struct orphan *x = *p;

	if (x == NULL)
		return;
	*p = x->chain;
	TAILQ_REMOVE(&o->known, x, entry);
	free(x);
}

static void
forget_stranger(struct orphans *o, pid_t pid)
{
	size_t at = stranger_place(o, pid);

	if (!is_stranger(o, pid))
		return;
	o->n_strangers--;
	memmove(o->strangers + at, o->strangers + at + 1,
	    (o->n_strangers - at) * sizeof(*o->strangers));
}

void
orphans_reaped(struct orphans *o, pid_t pid)
{
	forget_known(o, pid);
	o->disturbed = true;
	forget_stranger(o, pid);
}

bool
orphans_forget_ended(struct orphans *o)
{
	struct orphan *x, *next;
	bool any = false;

	for (x = TAILQ_FIRST(&o->known); x != NULL; x = next) {
		next = TAILQ_NEXT(x, entry);
		if (x->identity == 0 || !process_has_ended(x->pid, x->identity))
			continue;
		any = true;
		orphans_reaped(o, x->pid);
	}
	return any;
}

static void
tell(const struct legacy *l, pid_t pid, const char *deed, const char *why)
{
	char name[32];

	process_name(pid, name, sizeof(name));
	if (l == NULL || l->app == NULL)
		log_own_often(LOG_LEVEL_INFO, "%s pid %d (%s)%s", deed, (int)pid,
		    name, why);
	else
		log_often(LOG_LEVEL_INFO, &(struct log_about){
		    .app = l->app, .instance = (long)l->instance,
		    .pid = l->pid,
		}, "%s pid %d (%s), which it left behind%s", deed, (int)pid,
		    name, why);
}

static void
kill_with_group(pid_t pid)
{
	/* It is our unreaped child, so the number is its own. */
	if (getpgid(pid) == pid)
		process_kill_group(pid, SIGKILL);
	process_kill(pid, SIGKILL);
}

/* Who is no child of ours may have died, and another one have its number. */
static bool
is_gone(const struct orphan *x)
{
	return x->identity != 0 && process_has_ended(x->pid, x->identity);
}

static void
kill_orphan(struct orphan *x)
{
	x->killed = true;
	x->kill_at = MONO_NEVER;
	if (is_gone(x))
		return;
	if (x->legacy != NULL && getpgid(x->pid) == x->legacy->pid)
		process_kill_group(x->legacy->pid, SIGKILL);
	kill_with_group(x->pid);
}

static void
send_signal(const struct orphan *x)
{
	/* Its worker's group has had it. */
	if (x->legacy != NULL && getpgid(x->pid) == x->legacy->pid)
		return;
	process_kill(x->pid, x->legacy != NULL ? x->legacy->signo :
	    UNKNOWN_SIGNAL);
	process_kill(x->pid, SIGCONT);
}

/* Whose it was a supervisor before has known. */
static bool
is_maybe_kept(pid_t pid)
{
	return keeper_spares_orphans() && process_is_fostered(pid);
}

/* It is seen for the first time. */
static void
take(struct orphans *o, pid_t pid, struct legacy *l)
{
	struct orphan *x = calloc(1, sizeof(*x));

	if (x == NULL) {
		kill_with_group(pid);
		return;
	}
	*x = (struct orphan){
		.pid = pid, .legacy = l,
		.kept = l != NULL ? l->keep : is_maybe_kept(pid),
		.kill_at = MONO_NEVER,
		.identity = process_foster_parent() != 0 ?
		    process_identity(pid) : 0,
	};
	TAILQ_INSERT_TAIL(&o->known, x, entry);
	*find_place(o, pid) = x;
	if (x->kept) {
		tell(l, pid, "leaving alone", " (orphans = keep)");
		return;
	}
	tell(l, pid, "stopping", l == NULL ? ", of which nobody knows whose it "
	    "was" : "");
	x->kill_at = mono_add_ms(mono_now(), l != NULL ? l->timeout_ms :
	    UNKNOWN_MS);
	send_signal(x);
}

static void
kill_due(void *ctx)
{
	struct orphans *o = ctx;
	struct mono next = MONO_NEVER, now = mono_now(), end = orphans_budget();
	struct orphan *x;

	TAILQ_FOREACH(x, &o->known, entry) {
		if (!mono_before(now, x->kill_at)) {
			if (!mono_before(mono_now(), end)) {
				next = mono_add_ms(now, PAUSE_MS);
				break;
			}
			if (!is_gone(x))
				tell(x->legacy, x->pid, "killing",
				    ": still there after stop_timeout");
			kill_orphan(x);
		}
		if (mono_before(x->kill_at, next))
			next = x->kill_at;
	}
	if (o->loop != NULL)
		loop_timer_set(o->loop, &o->due, next);
}

/* ---- a sweep ---- */

/* At the end nobody else is there whose it could be; but a helper of ours, which
   nobody has to hear of. */
static void
take_unknown(struct orphans *o, pid_t pid)
{
	struct process_stat st;

	if (!process_stat(pid, &st) || st.state == 'Z')
		return;
	if (st.group == getpgrp())
		process_kill(pid, SIGKILL);
	else
		take(o, pid, NULL);
}

static bool
sweep_one(struct orphans *o, pid_t pid, void *ctx)
{
	struct orphan *x = find_known(o, pid);
	struct legacy *l = NULL;

	(void)ctx;
	if (x != NULL)
		l = x->legacy;
	else if (is_left_behind(o, pid, &l))
		take(o, pid, l);
	else if (o->takes_all)
		take_unknown(o, pid);
	if (l != NULL)
		legacies_note_found(l);
	return true;
}

/* A part of it; false: that was all. A pid that was taken anew meanwhile is no
   child of ours, or is looked at like any other. */
static bool
sweep_part(struct orphans *o)
{
	struct mono end = orphans_budget();
	pid_t pid;

	while (mono_before(mono_now(), end)) {
		if (!child_scan_next(&o->scan, &pid))
			return false;
		if (pid != 0 && workers_find(o->workers, pid) == NULL &&
		    !is_stranger(o, pid) && process_is_child(pid))
			sweep_one(o, pid, NULL);
	}
	return true;
}

/* Who is in none of the lists of children has been reaped; but a list whose
   children go while it is read may lack some. */
static void
end_sweep(struct orphans *o, bool listed)
{
	child_scan_end(&o->scan);
	if (listed && !o->disturbed)
		drop_legacies(o);
	kill_due(o);
	if (o->again)
		orphans_sweep_soon(o);
	o->again = false;
}

static void
begin_sweep(struct orphans *o)
{
	legacies_begin(&o->legacies);
	o->disturbed = false;
}

/* Begin one, or go on with it; false: that was all. */
static bool
sweep(struct orphans *o)
{
	bool listed = true;

	if (o->sweeping) {
		o->sweeping = sweep_part(o);
	} else {
		begin_sweep(o);
		/* In parts, if there is a timer for the next ones. */
		if (o->loop != NULL && child_scan_begin(&o->scan) == 0)
			o->sweeping = sweep_part(o);
		else	/* all of them, once */
			listed = orphans_each(o, sweep_one, NULL);
	}
	if (o->sweeping) {
		loop_timer_start(o->loop, &o->sweep, PAUSE_MS);
		return true;
	}
	end_sweep(o, listed);
	return false;
}

static void
sweep_due(void *ctx)
{
	struct orphans *o = ctx;

	o->swept = !sweep(o) && o->ending;
}

/* A sweep looks at every child, so one serves all the deaths of this time. */
void
orphans_sweep_soon(struct orphans *o)
{
	/* One that is under way may be past them. */
	if (o->sweeping)
		o->again = true;
	else
		loop_timer_start(o->loop, &o->sweep, SWEEP_MS);
}

/* ---- the end ---- */

static bool
kill_one(struct orphans *o, pid_t pid, void *ctx)
{
	struct orphan *x = find_known(o, pid);

	(void)ctx;
	if (x != NULL && !x->kept && !x->killed)
		kill_orphan(x);
	else if (x == NULL && !o->keeps)
		kill_with_group(pid);
	return true;
}

struct rest {
	size_t n;
	size_t n_killed;
};

static bool
count_one(struct orphans *o, pid_t pid, void *ctx)
{
	const struct orphan *x = find_known(o, pid);
	struct rest *rest = ctx;

	if (x != NULL ? x->kept : o->keeps)
		return true;
	rest->n++;
	rest->n_killed += x == NULL || x->killed;
	return true;
}

/* There are some, and no list of them. As process 1 we can kill them all the
   same: our end would do it too. */
static enum orphans_left
kill_unlisted(const struct orphans *o)
{
	if (!process_has_children() || o->n_strangers > 0)
		return ORPHANS_NONE;
	if (keeper_pid() == 1)
		(void)kill(-1, SIGKILL);
	return ORPHANS_KILLED;
}

/* One sweep after each change: what it finds in several turns, it has said when
   the last of them is over. */
static bool
is_swept(struct orphans *o)
{
	bool swept;

	/* One from before has spared some. */
	if (!o->ending) {
		child_scan_end(&o->scan);
		o->sweeping = false;
	}
	o->ending = true;
	swept = o->swept || (!o->sweeping && !sweep(o));
	o->swept = false;
	return swept;
}

static enum orphans_left
end_all(struct orphans *o, bool (*fn)(struct orphans *, pid_t, void *))
{
	struct rest rest = { .n = 0 };

	if (!is_swept(o))
		return ORPHANS_STOP;
	if (fn != NULL)
		orphans_each(o, fn, NULL);
	if (!orphans_each(o, count_one, &rest))
		return kill_unlisted(o);
	return rest.n == 0 ? ORPHANS_NONE : rest.n_killed == rest.n ?
	    ORPHANS_KILLED : ORPHANS_STOP;
}

enum orphans_left
orphans_stop_all(struct orphans *o)
{
	/* One without a trace may be of an app that lets them live. */
	o->takes_all = !o->keeps;
	return end_all(o, NULL);
}

enum orphans_left
orphans_kill_all(struct orphans *o)
{
	return end_all(o, kill_one);
}

int
orphans_init(struct orphans *o, struct loop *loop, struct workers *workers)
{
	o->loop = loop;
	o->workers = workers;
	TAILQ_INIT(&o->known);
	if (loop_timer_init(loop, &o->due, kill_due, o) < 0)
		return -ENOMEM;
	return loop_timer_init(loop, &o->sweep, sweep_due, o);
}

void
orphans_fini(struct orphans *o)
{
	free(o->strangers);
	/* There was no _init(). */
	if (o->loop == NULL)
		return;
	while (!TAILQ_EMPTY(&o->known))
		forget_known(o, TAILQ_FIRST(&o->known)->pid);
	helpers_await_end(mono_add_ms(mono_now(), END_MS));
	legacies_free(&o->legacies);
	child_scan_end(&o->scan);
	loop_timer_fini(o->loop, &o->sweep);
	loop_timer_fini(o->loop, &o->due);
}
