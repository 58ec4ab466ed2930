#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/drain.h"
#include "core/worker/farewell.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/drain_seal.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/farewells.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/inspect.h"
#include "linux/process/process.h"
#include "linux/process/stands_still.h"

/* How long a look goes on before everything else gets its turn. */
#define SPELL_MS	2

/* How long a handshake may take whose end nobody can see. */
#define LINGER_MS	1000

/* At a stop no client comes again: a connection between two requests is idle
   when it has been quiet for a moment. */
#define STOP_IDLE_MS	200

/* A frozen worker is looked at as soon as it stands still, and not for longer
   than this. */
#define FREEZE_MS	1
#define FROZEN_MAX_MS	50

/* Between two attempts to find one without work who gets more all the time; and
   how many times as long as it took to look, also for a farewell. */
#define AGAIN_MS	10
#define AGAIN_FACTOR	3

/* For so long what the kernel has told goes for the next worker, too, or for as
   long as it took to tell it: what comes to a connection meanwhile is not seen. */
#define FRESH_MS	10
#define BATCH_MAX	256

/* What is known of a worker that drains, if it does. */
struct drainage {
	struct drainers *all;
	struct worker *worker;
	struct look_entry entry;	/* listed while it drains */
	TAILQ_ENTRY(drainage) link;
	bool batched;			/* in the batch: its queue was read
					   before the look, for which it … */
	struct mono was_due;		/* … was due then */
	struct drain drain;
	struct drain_facts facts;	/* of the latest look */
	struct farewells farewells;
	int64_t queue;			/* of the one under way, which began … */
	bool sealed;			/* … with all lanes sealed */
	bool seen;			/* there was one that came to an end */
	bool unsealable;		/* its lanes cannot be sealed */
	bool has_sealed;		/* they were by this drain: a seal of the
					   supervisor before may be of one that
					   was about to be stopped, or was */
	struct mono looked;		/* when the latest look began */
	struct mono frozen_since;	/* has SIGSTOP from us, for a look */
};

static struct drainage *
of_entry(struct look_entry *e)
{
	return (struct drainage *)((char *)e - offsetof(struct drainage, entry));
}

static bool
is_frozen(const struct drainage *x)
{
	return x->all->frozen == x;
}

static void
leave_batch(struct drainage *x)
{
	if (!x->batched)
		return;
	x->batched = false;
	TAILQ_REMOVE(&x->all->batch, x, link);
}

/* Those who are left of the batch are due as they were. */
static void
end_look(struct drainers *d)
{
	struct drainage *y;

	if (d->at == NULL)
		return;
	connections_end(&d->look);
	d->at = NULL;
	while ((y = TAILQ_FIRST(&d->batch)) != NULL) {
		leave_batch(y);
		y->entry.due = y->was_due;
	}
}

/* The timer for whoever is due first, or for the look that goes on. */
static void
set_timer(struct drainers *d)
{
	struct look_entry *first = d->at == NULL && d->frozen == NULL ?
	    look_queue_first(&d->looks) : NULL;

	look_queue_wake(&d->looks, d->at != NULL ? mono_now() :
	    d->frozen != NULL ? d->frozen->entry.due :
	    first != NULL ? first->due : MONO_NEVER);
}

static void
look_again(struct drainage *x, struct mono due)
{
	x->entry.due = due;
	set_timer(x->all);
}

/* ---- standing still ---- */

static void
freeze(struct drainage *x)
{
	struct mono now = mono_now();

	x->all->frozen = x;
	x->frozen_since = now;
	process_kill_group(x->worker->pid, SIGSTOP);
	look_again(x, mono_add_ms(now, FREEZE_MS));
}

static void
thaw(struct drainage *x)
{
	if (!is_frozen(x))
		return;
	x->all->frozen = NULL;
	process_kill_group(x->worker->pid, SIGCONT);
}

/* No sooner than after a gap, and than others have had their time. */
static struct mono
after_gap(const struct drainage *x, int64_t least_ms)
{
	struct mono now = mono_now();
	int64_t gap_ms = AGAIN_FACTOR * mono_ms_between(x->looked, now);

	return mono_add_ms(now, gap_ms > least_ms ? gap_ms : least_ms);
}

static void
try_later(struct drainage *x)
{
	thaw(x);
	x->drain.quiet = MONO_NEVER;
	look_again(x, after_gap(x, AGAIN_MS));
}

/* ---- a look ---- */

static struct drain_policy
policy_of(const struct drainage *x)
{
	const struct worker *w = x->worker;
	struct drain_policy policy = {
		.timeout_ms = mono_ms_between(x->drain.began,
		    w->fsm.deadline),
		.idle_ms = w->spec->conf->drain_idle_ms,
		.linger_ms = LINGER_MS,
		.refused = drain_sight_refused(w),
	};

	policy.may_seal = !policy.refused && !x->unsealable &&
	    !drain_sight_gets_more(w, false);

	if (w->crew->dismissed && policy.idle_ms > STOP_IDLE_MS)
		policy.idle_ms = STOP_IDLE_MS;
	return policy;
}

static void
count_flows(const struct drainage *x, struct drain_tally *tally)
{
	const struct drain_policy policy = policy_of(x);

	drain_sight_flows(x->worker, &policy, tally);
}

static bool
says_farewell(const struct drainage *x)
{
	const struct worker *w = x->worker;
	const struct drain_policy policy = policy_of(x);

	/* With drain_idle = off nothing that is open is to be touched. */
	return policy.idle_ms >= 0 && farewell_is_due(
	    mono_ms_between(x->drain.began, mono_now()), policy.timeout_ms,
	    w->crew->dismissed);
}

/* Clients that go on using their connections would be cut at the end. */
static void
say_farewell(struct drainage *x, const struct connections *look)
{
	int n = farewells_look(&x->farewells, look, says_farewell(x));

	if (n > 0)
		worker_log(LOG_LEVEL_DEBUG, x->worker, "%d connection%s to be "
		    "closed between two requests", n, n == 1 ? "" : "s");
	else if (n < 0)
		worker_log(LOG_LEVEL_DEBUG, x->worker, "kept connections "
		    "cannot be closed between two requests: %s", strerror(-n));
}

/* Then, a silence may be over soon. */
static struct mono
next_look(const struct drainage *x, struct mono again)
{
	struct mono soon = after_gap(x, FAREWELL_STEP_MS);

	return says_farewell(x) && mono_before(soon, again) ? soon : again;
}

/* What holds it up is gone for the moment. */
static bool
is_free_now(const struct drain_facts *facts)
{
	return facts->seen && facts->queue == 0 && facts->open.busy == 0 &&
	    facts->open.resting == 0 && !facts->open.flowing;
}

static void
end_drain(struct drainage *x, const struct drain_decision *d,
    const struct drain_facts *facts)
{
	struct strbuf words = STRBUF_INIT;

	drain_words(&words, d, facts);
	worker_log(LOG_LEVEL_INFO, x->worker, "%s",
	    words.failed ? "drained" : words.text);
	strbuf_free(&words);
	worker_post(x->worker, WORKER_EV_DRAINED);
}

static void
decide_frozen(struct drainage *x, const struct drain_facts *facts)
{
	const struct drain_decision d = {
		.done = true,
		.why = facts->open.idle > 0 ? DRAIN_WHY_IDLE : DRAIN_WHY_EMPTY,
		.took_ms = mono_ms_between(x->drain.began, mono_now()),
	};

	if (is_free_now(facts))
		end_drain(x, &d, facts);
	else
		try_later(x);
}

/* What is left to do, before a last look, to those that are drained. */
static struct drain_decision
ask(struct drainage *x, const struct drain_facts *facts)
{
	struct drain_policy policy = policy_of(x);
	struct drain_decision d = drain_decide(&x->drain, &policy, facts,
	    mono_now());

	if (d.why != DRAIN_WHY_SEAL) {
		if (!d.done && x->has_sealed)
			drain_unseal(x->worker);
		x->has_sealed = x->has_sealed && d.done;
		return d;
	}
	if (drain_seal(x->worker)) {
		x->has_sealed = true;
		return d;
	}
	x->unsealable = true;
	policy.may_seal = false;
	return drain_decide(&x->drain, &policy, facts, mono_now());
}

/* Of who shares its lane nobody can tell: the next connection may be its own. */
static void
note_finished(struct drainage *x, bool finished)
{
	struct worker *w = x->worker;

	if (finished && !w->finished && !drain_sight_gets_more(w, false)) {
		w->finished = true;
		w->crew->all->events->finished(w);
	} else if (!finished && w->finished) {
		w->finished = false;
	}
}

static void
decide(struct drainage *x, const struct drain_facts *facts)
{
	const struct worker *w = x->worker;
	struct drain_decision d;

	x->facts = *facts;
	x->seen = true;
	note_finished(x, is_free_now(facts));
	if (is_frozen(x)) {
		decide_frozen(x, facts);
		return;
	}
	d = ask(x, facts);
	if (d.done && d.why == DRAIN_WHY_TIMEOUT)
		/* The worker's own deadline is the same. */
		look_again(x, MONO_NEVER);
	else if (drain_sight_gets_more(w, true) && is_free_now(facts))
		freeze(x);	/* the moment does not come again soon */
	else if (drain_sight_gets_more(w, true))
		try_later(x);
	else if (d.why == DRAIN_WHY_SEAL)
		/* Before all others: their looks may take longer than the
		   seal is kept. */
		look_again(x, (struct mono){ .ns = 0 });
	else if (!d.done)
		look_again(x, next_look(x, d.again));
	else if (drain_sight_gets_more(w, false))
		freeze(x);
	else
		end_drain(x, &d, facts);
}

/*
 * To look takes the kernel's table of connections, which is long where many
 * drain, and then others have to wait for their turn. Where all connections of
 * the lanes are counted, it need not be asked who has none. Handshakes are not
 * counted: those that nobody has seen have an end by then.
 */
static bool
has_none(const struct drainage *x)
{
	struct drain_tally open;

	return x->queue == 0 &&
	    drain_steered_ms(&x->drain, mono_now()) >= LINGER_MS &&
	    drain_sight_open(x->worker, &open) && open.busy == 0 &&
	    drain_sight_open_is_all(x->worker);
}

/* It goes for all others that drain with the same listeners, of which there may
   be hundreds at a stop. */
static void
spread_none(const struct drainage *x, const struct drain_facts *facts)
{
	struct look_entry *e;

	TAILQ_FOREACH(e, &x->all->looks.entries, link) {
		struct drainage *y = of_entry(e);
		struct drain_facts its = *facts;

		if (y == x || y->worker->spec != x->worker->spec ||
		    mono_is_never(e->due))
			continue;
		its.sealed = drain_sealed(y->worker);
		its.queue = drain_sight_queue(y->worker, &y->all->diag);
		its.open = (struct drain_tally){ .busy = 0 };
		count_flows(y, &its.open);
		e->due = MONO_NEVER;
		decide(y, &its);
	}
}

/* Can it go on with the next of the batch? */
static bool
look_at_next(struct drainers *d)
{
	struct drainage *y = TAILQ_FIRST(&d->batch);
	int64_t fresh_ms = mono_ms_between(d->began, d->listed);

	if (y == NULL || mono_ms_between(d->listed, mono_now()) >
	    (fresh_ms > FRESH_MS ? fresh_ms : FRESH_MS) ||
	    connections_again(&d->look, &y->worker->pid, 1) < 0)
		return false;
	leave_batch(y);
	d->at = y;
	return true;
}

/* The look has come to its end, well or not. */
static void
conclude(struct drainage *x, int code)
{
	struct worker *w = x->worker;
	struct drainers *d = x->all;
	const struct drain_policy policy = policy_of(x);
	struct drain_facts facts = {
		.queue = x->queue,
		.half_open = DRAIN_UNKNOWN,
		.handshakes = DRAIN_UNKNOWN,
		.sealed = x->sealed,
		.seen = code == 0,
	};

	if (code == 0) {
		facts.half_open = (int64_t)d->look.n_half_open;
		facts.handshakes = (int64_t)d->look.n_handshakes;
		facts.none = d->look.none;
		facts.blink = d->look.blink;
		facts.open = connections_tally(&d->look, &policy);
		say_farewell(x, &d->look);
	} else {
		worker_log(w->crew->unseen_told ? LOG_LEVEL_DEBUG :
		    LOG_LEVEL_WARNING, w, "its connections cannot be seen: "
		    "%s%s", strerror(-code), w->crew->unseen_told ? "" :
		    " (said once)");
		w->crew->unseen_told = true;
		facts.seen = drain_sight_open(w, &facts.open);
	}
	count_flows(x, &facts.open);
	d->unlisted = mono_is_never(d->listed);
	if (d->unlisted || code == -ENOMEM || facts.none || !look_at_next(d))
		end_look(d);
	decide(x, &facts);
	/* Of those who get more, one at a time stands still to be looked at. */
	if (facts.none && !drain_sight_gets_more(w, false))
		spread_none(x, &facts);
}

static void
go_on(struct drainage *x)
{
	struct drainers *d = x->all;
	struct fsids ids = inspect_begin(&x->worker->spec->conf->creds);
	int64_t left_ms = mono_ms_between(mono_now(), d->spell_ends);
	int code = connections_step(&d->look, left_ms > 0 ? left_ms : 0);

	inspect_end(&ids);
	if (mono_is_never(d->listed) && connections_listed(&d->look))
		d->listed = mono_now();
	if (code != 1) {
		conclude(x, code);
	} else if (is_frozen(x) && mono_ms_between(x->frozen_since,
	    mono_now()) >= FROZEN_MAX_MS) {
		end_look(d);
		try_later(x);
	}
}

static bool
are_same(const struct connections_of *a, const struct connections_of *b,
    size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (a[i].family != b[i].family || a[i].port != b[i].port ||
		    a[i].ino != b[i].ino || a[i].file != b[i].file)
			return false;
	return true;
}

/* Whose lanes are sealed comes first: clients wait for that to end. */
static void
join_batch(struct drainage *y)
{
	struct drainers *d = y->all;

	y->batched = true;
	y->was_due = y->entry.due;
	y->entry.due = MONO_NEVER;
	if (y->has_sealed)
		TAILQ_INSERT_HEAD(&d->batch, y, link);
	else
		TAILQ_INSERT_TAIL(&d->batch, y, link);
}

/* Whoever is due, and has its connections on the same ports; those that nobody
   has to look for aside. Returns since when new connections go elsewhere, of the
   last of them. */
static int64_t
gather(struct drainage *x, const struct connections_of *of, size_t n)
{
	struct drainers *d = x->all;
	struct mono now = mono_now();
	int64_t steered_ms = drain_steered_ms(&x->drain, now);
	struct look_entry *e;
	size_t batched = 0;

	/* Nor where a look has just come to nothing: it may each time. */
	if (d->unlisted || drain_sight_gets_more(x->worker, false))
		return steered_ms;
	TAILQ_FOREACH(e, &d->looks.entries, link) {
		struct drainage *y = of_entry(e);
		struct connections_of its[DRAIN_SIGHT_PORTS_MAX];

		if (batched == BATCH_MAX)
			break;
		if (y == x || y->worker->spec != x->worker->spec ||
		    mono_before(now, e->due) ||
		    drain_sight_ports(y->worker, its) != n ||
		    !are_same(its, of, n))
			continue;
		y->looked = now;
		y->sealed = drain_sealed(y->worker);
		y->queue = drain_sight_queue(y->worker, &d->diag);
		if (has_none(y))
			continue;
		join_batch(y);
		batched++;
		if (drain_steered_ms(&y->drain, now) < steered_ms)
			steered_ms = drain_steered_ms(&y->drain, now);
	}
	return steered_ms;
}

static void
begin_look(struct drainage *x)
{
	struct worker *w = x->worker;
	struct drainers *d = x->all;
	struct connections_of of[DRAIN_SIGHT_PORTS_MAX];
	size_t n = drain_sight_ports(w, of);
	struct fsids ids;
	int code = 0;

	x->looked = mono_now();
	x->sealed = drain_sealed(w);
	if (n > 0 && d->diag.fd < 0)
		code = sockdiag_open(&d->diag);
	x->queue = drain_sight_queue(w, &d->diag);
	if (n == 0 || has_none(x)) {	/* datagrams alone, or not even these */
		struct drain_facts facts = {
			.queue = x->queue, .seen = true, .none = true,
			.sealed = x->sealed,
			.handshakes = n == 0 ? 0 : x->seen ?
			    x->facts.handshakes : DRAIN_UNKNOWN,
		};

		count_flows(x, &facts.open);
		decide(x, &facts);
		return;
	}
	memset(&d->look, 0, sizeof(d->look));
	d->began = x->looked;
	d->listed = MONO_NEVER;
	d->at = x;
	if (code == 0) {
		int64_t steered_ms = gather(x, of, n);

		ids = inspect_begin(&w->spec->conf->creds);
		code = connections_begin(&d->look, &d->diag, of, n, &w->pid, 1,
		    steered_ms);
		inspect_end(&ids);
	}
	if (code < 0)
		conclude(x, code);
	else
		go_on(x);
}

/* A frozen one is looked at when it stands still, and goes on if it does not
   come to that. */
static void
look_at(struct drainage *x)
{
	if (!is_frozen(x) || process_stands_still(x->worker->pid))
		begin_look(x);
	else if (mono_ms_between(x->frozen_since, mono_now()) < FROZEN_MAX_MS)
		look_again(x, mono_add_ms(mono_now(), FREEZE_MS));
	else
		try_later(x);
}

/* At whoever is due, if anybody is. */
static bool
look_next(struct drainers *d)
{
	struct look_entry *first = d->frozen != NULL ? &d->frozen->entry :
	    look_queue_first(&d->looks);

	if (first == NULL || mono_before(mono_now(), first->due))
		return false;
	first->due = MONO_NEVER;
	look_at(of_entry(first));
	return true;
}

/* At as many as there is time for. */
static void
look_due(void *ctx)
{
	struct drainers *d = ctx;

	d->spell_ends = mono_add_ms(mono_now(), SPELL_MS);
	do {
		if (d->at != NULL)
			go_on(d->at);
		else if (!look_next(d))
			break;
	} while (mono_before(mono_now(), d->spell_ends));
	set_timer(d);
}

/* ---- who drains ---- */

/* Where that is counted, it need not wait for a look; and of Unix sockets, of
   which it is not, nobody may be asked while another look goes on. */
static bool
has_nothing_yet(const struct drainage *x)
{
	struct worker *w = x->worker;
	struct drain_facts facts = { .queue = 0 };

	facts.seen = drain_sight_open(w, &facts.open);
	if (!facts.seen)
		return false;
	facts.queue = drain_sight_queue(w, &x->all->diag);
	count_flows(x, &facts.open);
	return is_free_now(&facts);
}

void
drainers_add(struct worker *w)
{
	struct drainage *x = w->drainage;
	struct mono now = mono_now();

	if (x->entry.listed)
		return;
	x->seen = x->unsealable = x->has_sealed = false;
	drain_begin(&x->drain, now);
	drain_steered(&x->drain, now);
	note_finished(x, has_nothing_yet(x));
	look_queue_add(&x->all->looks, &x->entry);
	look_queue_set(&x->all->looks, &x->entry, now,
	    drain_sight_refused(w) ? DRAIN_REFUSED_MS : DRAIN_STEP_MIN_MS);
}

void
drainers_remove(struct worker *w)
{
	struct drainage *x = w->drainage;
	struct drainers *d = x->all;
	bool timed;

	if (!x->entry.listed)
		return;
	/* Is the timer for it? To find out for whom it is else takes long where
	   thousands end. */
	timed = d->at == x || is_frozen(x) ||
	    !mono_before(d->looks.timer.due, x->entry.due);
	leave_batch(x);
	if (d->at == x)
		end_look(d);
	/* Whoever stops it sends SIGCONT behind the stop signal. */
	if (is_frozen(x))
		d->frozen = NULL;
	farewells_free(&x->farewells);
	look_queue_remove(&d->looks, &x->entry);
	if (timed)
		set_timer(d);
}

/* Nobody has come to look at it: what can be told at once. */
static struct drain_facts
facts_at_last(const struct worker *w)
{
	struct drain_facts facts = {
		.queue = drain_sight_queue(w, &w->drainage->all->diag),
		.half_open = DRAIN_UNKNOWN,
	};

	facts.seen = drain_sight_open(w, &facts.open);
	facts.late = !facts.seen;
	return facts;
}

void
drainers_log_timeout(const struct worker *w)
{
	const struct drainage *x = w->drainage;
	const struct drain_facts facts = x->seen ? x->facts : facts_at_last(w);
	const bool empty = !x->seen && is_free_now(&facts);
	const struct drain_decision d = {
		.done = true,
		.why = empty ? DRAIN_WHY_EMPTY : DRAIN_WHY_TIMEOUT,
		.took_ms = mono_ms_between(x->drain.began, mono_now()),
	};
	struct strbuf words = STRBUF_INIT;

	drain_words(&words, &d, &facts);
	worker_log(empty ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, w, "%s",
	    words.failed ? "drain_timeout" : words.text);
	strbuf_free(&words);
}

int
drainers_join(struct drainers *d, struct worker *w)
{
	struct drainage *x = calloc(1, sizeof(*x));

	if (x == NULL)
		return -ENOMEM;
	x->all = d;
	x->worker = w;
	w->drainage = x;
	return 0;
}

void
drainers_leave(struct worker *w)
{
	if (w->drainage != NULL)
		farewells_free(&w->drainage->farewells);
	free(w->drainage);
	w->drainage = NULL;
}

int
drainers_init(struct drainers *d, struct loop *loop)
{
	d->diag = (struct sockdiag)SOCKDIAG_INIT;
	TAILQ_INIT(&d->batch);
	return look_queue_init(&d->looks, loop, look_due, d);
}

void
drainers_fini(struct drainers *d)
{
	end_look(d);
	sockdiag_close(&d->diag);
	look_queue_fini(&d->looks);
}
