#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "core/conf/conf.h"
#include "core/worker/drain.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/watch/hint.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/inspect.h"
#include "linux/process/waiting.h"
#include "linux/socket/connections.h"
#include "linux/socket/sockdiag.h"

/* Between two looks at the same worker: from the first to the last. */
#define GAP_MIN_MS	1
#define GAP_MAX_MS	100

/* Who is not seen to wait by then may listen elsewhere. */
#define ELSEWHERE_MS	1000

/* Looking stops for a while when it has taken this long, and resumes when
   PAUSE_FACTOR times as long has passed: workers that start by the thousand
   must not keep the loop from everything else. */
#define SPELL_NS	(3 * INT64_C(1000000))
#define PAUSE_FACTOR	3

/* So many steps for its connections are taken, if need be, when the time for them is
   over: others may have had the processor meanwhile, and whoever starts has little
   to look at. */
#define STEPS_LATE	16

/* Who has held up a look is not looked at sooner than after this, and each time after
   twice as long, as looks at others wait meanwhile. */
#define HELD_UP_MS	1000
#define HELD_UP_MAX_MS	(64 * HELD_UP_MS)

/* How long a turn waits for the answers to looks at once, all in all. */
#define AT_ONCE_MS	3

#define INOS_MAX	(2 * CONF_LISTENS_MAX)

/* What is known of a worker that starts. */
struct look {
	struct readiness *all;
	struct worker *worker;
	struct look_entry entry;	/* listed while it is looked at */
	int gap_ms;
	bool listens;			/* has called listen(2) on a lane */
	bool hinted;			/* hint_unseen() */
	bool asked;			/* looks have it … */
	bool at_once;			/* … and somebody waits for it: … */
	bool important;			/* … then something was seen: … */
	enum worker_event event;	/* … this */
	int held_up_ms;			/* it has held up a look, and the next time
					   is left alone for so long; 0: it has not */
};

static struct look *
of_entry(struct look_entry *e)
{
	return (struct look *)((char *)e - offsetof(struct look, entry));
}

static bool
goes_by_sight(const struct conf_app *conf)
{
	return conf->n_listens > 0 && (conf->ready == CONF_READY_AUTO ||
	    conf->ready == CONF_READY_ACCEPT);
}

static bool
is_to_be_seen(const struct worker *w)
{
	return goes_by_sight(w->spec->conf) ||
	    (w->spec->conf->n_listens > 0 && w->fsm.said);
}

void
readiness_prepare(struct readiness *r, const struct config *config)
{
	for (size_t i = 0; i < config->n_apps; i++) {
		if (!goes_by_sight(&config->apps[i]))
			continue;
		looks_prepare(r->by);
		return;
	}
}

/* Less and less often. */
static void
look_later(struct look *k, struct mono now)
{
	look_queue_set(&k->all->looks, &k->entry, now, k->gap_ms);
	k->gap_ms += (k->gap_ms + 1) / 2;
	if (k->gap_ms > GAP_MAX_MS)
		k->gap_ms = GAP_MAX_MS;
}

/* Where binds are not trapped, it is seen only now that it listens elsewhere:
   after a second or so. */
static void
look_elsewhere(struct look *k)
{
	struct worker *w = k->worker;

	if (k->hinted || w->spec->conf->handoff != CONF_HANDOFF_ENV ||
	    mono_ms_between(w->fsm.executed, mono_now()) < ELSEWHERE_MS)
		return;
	k->hinted = true;
	hint_unseen(w);
}

static void
look_soon(struct look *k)
{
	k->gap_ms = GAP_MIN_MS;
	look_later(k, mono_now());
}

void
readiness_watch(struct worker *w)
{
	struct look *k = w->look;

	if (k->entry.listed || !is_to_be_seen(w))
		return;
	look_queue_add(&k->all->looks, &k->entry);
	look_soon(k);
}

void
readiness_expect(struct worker *w)
{
	struct look *k = w->look;

	k->listens = true;
	/* Who is being looked at is looked at again soon after the answer. */
	if (k->asked)
		k->gap_ms = GAP_MIN_MS;
	else if (k->entry.listed)
		look_soon(k);
}

static void
forget_question(struct look *k)
{
	if (k->all->by != NULL)
		looks_forget(k->all->by, k);
	k->asked = false;
}

void
readiness_end(struct worker *w)
{
	struct look *k = w->look;

	forget_question(k);
	look_queue_remove(&k->all->looks, &k->entry);
}

void
readiness_forget(struct worker *w)
{
	readiness_end(w);
	w->look->listens = w->look->hinted = false;
	w->look->held_up_ms = 0;
}

/* ---- a look ---- */

/* False: nothing of importance was seen. */
static bool
means(const struct look *k, enum waiting seen, enum worker_event *ret_event)
{
	const struct worker *w = k->worker;

	*ret_event = WORKER_EV_WAITS;
	/* Where it may not be looked at, that it has come to listen(2) is all
	   that can be known. */
	if (seen == WAITING_YES || (seen == WAITING_REFUSED && k->listens))
		return true;
	*ret_event = WORKER_EV_BLIND;
	return (seen == WAITING_REFUSED || seen == WAITING_BLIND) &&
	    w->fsm.said;
}

/* Clients of who waits already are lost if it counts as one that does not: who has
   come to listen(2), or has clients in its lanes, may wait. */
static bool
may_wait(const struct look *k)
{
	struct sockdiag none = SOCKDIAG_INIT;

	return k->listens || drain_sight_queue(k->worker, &none) > 0;
}

/* Somebody waits for an answer, and there is none. */
static void
take_unseen(struct look *k)
{
	if (k->important || !may_wait(k))
		return;
	k->important = true;
	k->event = WORKER_EV_WAITS;
}

static void
tell_held_up(struct look *k)
{
	if (k->held_up_ms == 0)
		worker_log_often(LOG_LEVEL_WARNING, k->worker, "whether it waits "
		    "for connections cannot be seen: a look at it does not come to "
		    "an end");
}

static int
held_up_pause(struct look *k)
{
	int ms = k->held_up_ms > 0 ? k->held_up_ms : HELD_UP_MS;

	k->held_up_ms = ms < HELD_UP_MAX_MS ? 2 * ms : HELD_UP_MAX_MS;
	return ms;
}

/* Of one that cannot be looked at, as far as anybody can tell. -EBUSY: because of
   another one, of which it was told; it is looked at before that one is again. */
static void
take_held_up(struct look *k, int code)
{
	if (code == -ETIMEDOUT)
		tell_held_up(k);
	k->important = means(k, WAITING_REFUSED, &k->event);
	k->gap_ms = code == -ETIMEDOUT ? held_up_pause(k) : GAP_MAX_MS;
}

static void
take(struct look *k)
{
	if (k->important) {
		if (!k->at_once)
			worker_post(k->worker, k->event);
		k->entry.due = MONO_NEVER;
	} else {
		look_elsewhere(k);
		look_later(k, mono_now());
	}
}

static size_t
inodes(const struct look *k, uint64_t inos[INOS_MAX])
{
	return spec_lanes_inodes(k->worker->spec, &k->worker->holder, inos,
	    INOS_MAX);
}

static void
look_here(struct look *k, const uint64_t *inos, size_t n)
{
	const struct worker *w = k->worker;
	struct fsids ids = inspect_begin(&w->spec->conf->creds);

	k->important = means(k, waiting_look(w->pid, inos, n), &k->event);
	inspect_end(&ids);
	take(k);
}

static void answered(void *ctx, int code, enum waiting seen, int64_t took_ns);

/* Or ask for it. */
static void
look(struct look *k)
{
	struct worker *w = k->worker;
	uint64_t inos[INOS_MAX];
	size_t n = inodes(k, inos);
	int code = k->all->by == NULL ? -ENOTSUP : looks_waiting(k->all->by,
	    &(struct looks_whom){
		.whose = w->crew->number, .pid = w->pid,
		.creds = &w->spec->conf->creds,
		.answered = answered, .ctx = k,
	    }, inos, n);

	k->important = false;
	k->asked = code == 0;
	if (code == 0) {
		k->entry.due = MONO_NEVER;
	} else if (code == -EBUSY) {
		take_held_up(k, code);
		if (k->at_once)
			take_unseen(k);
		take(k);
	} else {
		look_here(k, inos, n);
	}
}

/* The timer for the first that is due, but not before `earliest`. */
static void
set_timer(struct readiness *r, struct mono earliest)
{
	const struct look_entry *first = look_queue_first(&r->looks);
	struct mono due = first != NULL ? first->due : MONO_NEVER;

	look_queue_wake(&r->looks, mono_before(due, earliest) ? earliest : due);
}

static void
look_at_starters(struct readiness *r)
{
	struct mono begin = mono_now(), now = begin, earliest;
	struct look_entries *all = &r->looks.entries;
	struct look_entry *e, *next, *last = TAILQ_LAST(all, look_entries);
	bool more = last != NULL && !mono_before(begin, r->not_before);

	for (e = TAILQ_FIRST(all); more; e = next) {
		struct look *k = of_entry(e);

		next = TAILQ_NEXT(e, link);
		more = e != last && now.ns - begin.ns < SPELL_NS;
		if (k->asked || mono_before(now, e->due))
			continue;
		/* An answer brings us back, if anybody waits for one. */
		if (r->by != NULL && looks_are_many(r->by)) {
			set_timer(r, mono_add_ms(now, GAP_MAX_MS));
			return;
		}
		/* Behind those that were not looked at yet. */
		look_queue_rotate(&r->looks, e);
		look(k);
		now = mono_now();
	}
	if (now.ns - begin.ns >= SPELL_NS)
		now.ns += (now.ns - begin.ns) * PAUSE_FACTOR;
	earliest = mono_before(now, r->not_before) ? r->not_before : now;
	set_timer(r, earliest);
}

/* What the child has looked for counts as if it had been us. */
static void
note_time(struct readiness *r, int64_t took_ns)
{
	r->looked_ns += took_ns;
	if (r->looked_ns < SPELL_NS)
		return;
	r->not_before = mono_now();
	r->not_before.ns += r->looked_ns * PAUSE_FACTOR;
	r->looked_ns = 0;
}

static void
answered(void *ctx, int code, enum waiting seen, int64_t took_ns)
{
	struct look *k = ctx;
	struct readiness *r = k->all;

	k->asked = false;
	if (code == 0)
		k->important = means(k, seen, &k->event);
	else if (code == -ETIMEDOUT || code == -EBUSY)
		take_held_up(k, code);
	if (code < 0 && k->at_once)
		take_unseen(k);
	take(k);
	note_time(r, took_ns);
	set_timer(r, r->not_before);
}

static void
look_due(void *ctx)
{
	look_at_starters(ctx);
}

/* Has it one open that it has accepted, as far as they are counted? The count first:
   who is accepted meanwhile is in the queue no more, and who comes meanwhile is not
   counted. False: not, or they are not. */
static bool
is_counted_to_serve(const struct worker *w, bool *ret_counted)
{
	struct drain_tally open = { .busy = 0 };
	struct sockdiag none = SOCKDIAG_INIT;
	int64_t queue;

	*ret_counted = drain_sight_open(w, &open);
	if (!*ret_counted || open.busy == 0)
		return false;
	queue = drain_sight_queue(w, &none);
	return queue != DRAIN_UNKNOWN && queue < open.busy;
}

/* 0: to the end. */
static int
look_through(struct connections *look, int64_t budget_ms)
{
	int code = connections_step(look, budget_ms);

	for (int i = 0; i < STEPS_LATE && code > 0; i++)
		code = connections_step(look, 0);
	return code;
}

/* … as one of its descriptors, if that can be found out in so long? */
static bool
is_seen_to_serve(const struct worker *w, int64_t budget_ms)
{
	struct connections_of of[DRAIN_SIGHT_PORTS_MAX];
	struct connections look = { .v = NULL };
	struct sockdiag diag = SOCKDIAG_INIT;
	size_t n = drain_sight_ports(w, of);
	struct fsids ids;
	bool serves;

	if (n == 0 || sockdiag_open(&diag) < 0)
		return false;
	ids = inspect_begin(&w->spec->conf->creds);
	serves = connections_begin(&look, &diag, of, n, &w->pid, 1, 0) == 0 &&
	    look_through(&look, budget_ms) == 0 && look.n > 0;
	inspect_end(&ids);
	connections_end(&look);
	sockdiag_close(&diag);
	return serves;
}

/* Who has accepted somebody serves, whatever else it is doing at this moment. */
static bool
has_accepted(const struct worker *w, int64_t left_ns)
{
	bool counted;

	if (is_counted_to_serve(w, &counted))
		return true;
	return !counted && is_seen_to_serve(w, 1 + left_ns / 1000000);
}

/* Of the turn's time for that: who looks may be held up for long, and who asks next
   would find the same. */
static int
await(struct look *k)
{
	struct readiness *r = k->all;
	struct mono begin = mono_now();
	int code = looks_await(r->by, k, AT_ONCE_MS - r->awaited_ns / 1000000);

	r->awaited_ns += mono_now().ns - begin.ns;
	return code;
}

/* What was asked before counts, too: it is still to be looked at. */
static bool
look_at_once(struct look *k, enum worker_event *ret_event)
{
	k->at_once = true;
	k->important = false;
	if (!k->asked)
		look(k);
	/* We do not look in its stead: this may be who holds it up. */
	if (k->asked && await(k) < 0)
		take_unseen(k);
	k->at_once = false;
	if (k->important)
		*ret_event = k->event;
	return k->important;
}

bool
readiness_look_now(struct worker *w, enum worker_event *ret_event)
{
	struct look *k = w->look;
	struct readiness *r = k->all;
	struct mono begin = mono_now();
	int64_t awaited_ns;
	bool seen;

	if (!k->entry.listed)
		return false;
	if (r->turn != loop_turn_number(r->looks.loop)) {
		r->turn = loop_turn_number(r->looks.loop);
		r->spent_ns = r->awaited_ns = 0;
	}
	if (r->spent_ns >= SPELL_NS)
		return false;
	awaited_ns = r->awaited_ns;
	seen = look_at_once(k, ret_event);
	/* To wait is not to look: the next one is looked at all the same. */
	begin.ns += r->awaited_ns - awaited_ns;
	if (!seen && has_accepted(w, SPELL_NS - r->spent_ns)) {
		*ret_event = WORKER_EV_WAITS;
		seen = true;
	}
	r->spent_ns += mono_now().ns - begin.ns;
	set_timer(r, r->not_before);
	return seen;
}

int
readiness_join(struct readiness *r, struct worker *w)
{
	struct look *k = calloc(1, sizeof(*k));

	if (k == NULL)
		return -ENOMEM;
	k->all = r;
	k->worker = w;
	w->look = k;
	return 0;
}

void
readiness_leave(struct worker *w)
{
	free(w->look);
	w->look = NULL;
}

int
readiness_init(struct readiness *r, struct loop *loop)
{
	return look_queue_init(&r->looks, loop, look_due, r);
}

void
readiness_fini(struct readiness *r)
{
	look_queue_fini(&r->looks);
}
