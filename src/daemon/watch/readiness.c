#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "core/conf/conf.h"
#include "core/worker/drain.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/watch/hint.h"
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

/* The first, where binds are trapped: most are loaded by then, and have yet to bind;
   who listens is looked at soon. */
#define GAP_TRAPPED_MS	4

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

/* What is known of a worker that starts. */
struct look {
	struct readiness *all;
	struct worker *worker;
	struct look_entry entry;	/* listed while it is looked at */
	int gap_ms;
	bool listens;			/* has called listen(2) on a lane */
	bool hinted;			/* hint_unseen() */
};

static struct look *
of_entry(struct look_entry *e)
{
	return (struct look *)((char *)e - offsetof(struct look, entry));
}

static bool
is_to_be_seen(const struct worker *w)
{
	const struct conf_app *conf = w->spec->conf;

	return conf->n_listens > 0 && (conf->ready == CONF_READY_AUTO ||
	    conf->ready == CONF_READY_ACCEPT || w->fsm.said);
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
	k->gap_ms = w->trapped && !k->listens && !w->fsm.said ?
	    GAP_TRAPPED_MS : GAP_MIN_MS;
	look_later(k, mono_now());
}

void
readiness_expect(struct worker *w)
{
	struct look *k = w->look;

	k->listens = true;
	if (k->entry.listed)
		look_soon(k);
}

void
readiness_end(struct worker *w)
{
	look_queue_remove(&w->look->all->looks, &w->look->entry);
}

void
readiness_forget(struct worker *w)
{
	readiness_end(w);
	w->look->listens = w->look->hinted = false;
}

/* False: nothing of importance was seen. */
static bool
look(const struct look *k, enum worker_event *ret_event)
{
	const struct worker *w = k->worker;
	uint64_t inos[2 * CONF_LISTENS_MAX];
	size_t n =
	    spec_lanes_inodes(w->spec, &w->holder, inos, 2 * CONF_LISTENS_MAX);
	struct fsids ids = inspect_begin(&w->spec->conf->creds);
	enum waiting seen = waiting_look(w->pid, inos, n);

	inspect_end(&ids);
	*ret_event = WORKER_EV_WAITS;
	/* Where it may not be looked at, that it has come to listen(2) is all
	   that can be known. */
	if (seen == WAITING_YES || (seen == WAITING_REFUSED && k->listens))
		return true;
	*ret_event = WORKER_EV_BLIND;
	return (seen == WAITING_REFUSED || seen == WAITING_BLIND) &&
	    w->fsm.said;
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
	struct mono begin = mono_now(), now = begin;
	struct look_entries *all = &r->looks.entries;
	struct look_entry *e, *next, *last = TAILQ_LAST(all, look_entries);
	bool more = last != NULL;

	for (e = TAILQ_FIRST(all); more; e = next) {
		struct look *k = of_entry(e);
		enum worker_event event;

		next = TAILQ_NEXT(e, link);
		more = e != last && now.ns - begin.ns < SPELL_NS;
		if (mono_before(now, e->due))
			continue;
		/* Behind those that were not looked at yet. */
		look_queue_rotate(&r->looks, e);
		if (look(k, &event)) {
			worker_post(k->worker, event);
			e->due = MONO_NEVER;
		} else {
			look_elsewhere(k);
			look_later(k, mono_now());
		}
		now = mono_now();
	}
	if (now.ns - begin.ns >= SPELL_NS)
		now.ns += (now.ns - begin.ns) * PAUSE_FACTOR;
	set_timer(r, now);
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

bool
readiness_look_now(struct worker *w, enum worker_event *ret_event)
{
	struct readiness *r = w->look->all;
	struct mono begin = mono_now();
	bool seen;

	if (!w->look->entry.listed)
		return false;
	if (r->turn != loop_turn_number(r->looks.loop)) {
		r->turn = loop_turn_number(r->looks.loop);
		r->spent_ns = 0;
	}
	if (r->spent_ns >= SPELL_NS)
		return false;
	seen = look(w->look, ret_event);
	if (!seen && has_accepted(w, SPELL_NS - r->spent_ns)) {
		*ret_event = WORKER_EV_WAITS;
		seen = true;
	}
	r->spent_ns += mono_now().ns - begin.ns;
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
