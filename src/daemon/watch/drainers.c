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
#include "daemon/watch/look_at.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
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
   than this; where nobody has the CPU, it would not run much either. */
#define FREEZE_MS	1
#define FROZEN_MAX_MS	50
#define FROZEN_STARVED_MS 150

/* Between two attempts to find one without work who gets more all the time; and
   how many times as long as it took to look. For a farewell, that is the time that
   others had to wait: the next silence is over soon. */
#define AGAIN_MS	10
#define AGAIN_FACTOR	3

/* Until the next step of a look that is held up: others are looked at meanwhile. */
#define HELD_UP_MS	20

/* So often a look may be lost with who makes it. */
#define STALE_MAX	16

/* What is known of a worker that drains, if it does. */
struct drainage {
	struct drainers *all;
	struct worker *worker;
	struct look_entry entry;	/* listed while it drains */
	struct drain drain;
	struct drain_facts facts;	/* of the latest look */
	struct farewells farewells;
	struct connections look;	/* the one under way, if there is one: */
	bool looks;
	int64_t queue;			/* of the one under way, which began … */
	bool sealed;			/* … with all lanes sealed */
	bool seen;			/* there was one that came to an end */
	bool unsealable;		/* its lanes cannot be sealed */
	bool has_sealed;		/* they were by this drain: a seal of the
					   supervisor before may be of one that
					   was about to be stopped, or was */
	struct mono unseen;		/* since then it is held up; or never */
	struct mono looked;		/* when the latest look began, … */
	struct mono stepped;		/* … its latest step did, … */
	int64_t spent_ns;		/* … and what those before it took here */
	bool starved;			/* … and one of them for want of the CPU */
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

static bool
is_frozen_too_long(const struct drainage *x)
{
	return is_frozen(x) && mono_ms_between(x->frozen_since, mono_now()) >=
	    (x->starved ? FROZEN_STARVED_MS : FROZEN_MAX_MS);
}

static void
end_look(struct drainage *x)
{
	if (x->looks)
		connections_end(&x->look);
	x->looks = false;
	if (x->all->at == x)
		x->all->at = NULL;
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
after_gap(struct mono now, int64_t took_ms, int64_t least_ms)
{
	int64_t gap_ms = AGAIN_FACTOR * took_ms;

	return mono_add_ms(now, gap_ms > least_ms ? gap_ms : least_ms);
}

static void
try_later(struct drainage *x)
{
	struct mono now = mono_now();
	int64_t took_ms = mono_ms_between(x->looked, now);

	thaw(x);
	x->drain.quiet = MONO_NEVER;
	look_again(x, after_gap(now, took_ms, AGAIN_MS));
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
	const struct looker_whom whom = look_at_whom(x->worker);
	int n = farewells_look(&x->farewells, look, &whom, says_farewell(x));

	if (n > 0)
		worker_log(LOG_LEVEL_DEBUG, x->worker, "%d connection%s closed "
		    "between two requests", n, n == 1 ? "" : "s");
	else if (n < 0)
		worker_log(LOG_LEVEL_DEBUG, x->worker, "kept connections "
		    "cannot be closed between two requests: %s", strerror(-n));
}

/* Then, a silence may be over soon. */
static struct mono
next_look(const struct drainage *x, struct mono again)
{
	struct mono now = mono_now();
	int64_t took_ns = x->spent_ns + now.ns - x->stepped.ns;
	struct mono soon = after_gap(now, took_ns / 1000000, FAREWELL_STEP_MS);

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

static void
decide(struct drainage *x, const struct drain_facts *facts)
{
	const struct worker *w = x->worker;
	struct drain_decision d;

	x->facts = *facts;
	x->seen = true;
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
		its.queue = drain_sight_queue(y->worker);
		its.open = (struct drain_tally){ .busy = 0 };
		count_flows(y, &its.open);
		e->due = MONO_NEVER;
		end_look(y);
		decide(y, &its);
	}
}

/* The look has come to its end, well or not. */
static void
conclude(struct drainage *x, int code)
{
	struct worker *w = x->worker;
	const struct drain_policy policy = policy_of(x);
	struct drain_facts facts = {
		.queue = x->queue,
		.half_open = DRAIN_UNKNOWN,
		.handshakes = DRAIN_UNKNOWN,
		.sealed = x->sealed,
		.seen = code == 0,
	};

	if (code == 0) {
		facts.half_open = (int64_t)x->look.n_half_open;
		facts.handshakes = (int64_t)x->look.n_handshakes;
		facts.none = x->look.none;
		facts.blink = x->look.blink;
		facts.open = connections_tally(&x->look, &policy);
		say_farewell(x, &x->look);
		if (x->look.untimed)
			look_at_tell_untimed(w);
	} else {
		look_at_tell_unseen(w, code);
		facts.seen = drain_sight_open(w, &facts.open);
	}
	count_flows(x, &facts.open);
	end_look(x);
	decide(x, &facts);
	/* Of those who get more, one at a time stands still to be looked at. */
	if (facts.none && !drain_sight_gets_more(w, false))
		spread_none(x, &facts);
}

/* Others are looked at meanwhile; nobody stands still for that, but as long as for
   any look. */
static void
go_on_later(struct drainage *x)
{
	int64_t gap_ms = is_frozen(x) ? FREEZE_MS : HELD_UP_MS;

	x->all->at = NULL;
	if (is_frozen_too_long(x)) {
		end_look(x);
		try_later(x);
	} else {
		look_again(x, mono_add_ms(mono_now(), gap_ms));
	}
}

static void
go_on(struct drainage *x)
{
	int code;

	x->stepped = mono_now();
	x->look.later = !is_frozen(x);
	code = connections_step(&x->look, &x->worker->spec->conf->creds,
	    SPELL_MS);
	x->starved |= code == -EAGAIN;
	if (code == 1 || looker_is_held_up(code))
		x->spent_ns += mono_now().ns - x->stepped.ns;
	/* It advances, but not one that is lost again and again. */
	if (code == 1 && x->look.n_stale < STALE_MAX)
		x->unseen = MONO_NEVER;
	if (look_at_may_pass(x->worker, code, &x->unseen)) {
		go_on_later(x);
	} else if (code != 1) {
		if (looker_is_held_up(code) &&
		    connections_without_times(&x->look))
			code = 0;
		conclude(x, code);
	} else if (is_frozen_too_long(x)) {
		end_look(x);
		try_later(x);
	}
}

static void
begin_look(struct drainage *x)
{
	struct worker *w = x->worker;
	struct connections_of of[DRAIN_SIGHT_PORTS_MAX];
	size_t n = drain_sight_ports(w, of);
	int code;

	x->looked = x->stepped = mono_now();
	x->spent_ns = x->starved = 0;
	x->sealed = drain_sealed(w);
	x->queue = drain_sight_queue(w);
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
	x->all->at = x;
	x->looks = true;
	code = connections_begin(&x->look, of, n, &w->pid, 1,
	    drain_steered_ms(&x->drain, mono_now()), true);
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
	if (x->looks) {
		x->all->at = x;
		go_on(x);
	} else if (!is_frozen(x) || process_stands_still(x->worker->pid))
		begin_look(x);
	else if (!is_frozen_too_long(x))
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
	struct mono end = mono_add_ms(mono_now(), SPELL_MS);

	if (d->at != NULL)
		go_on(d->at);
	while (d->at == NULL && mono_before(mono_now(), end) && look_next(d))
		;
	set_timer(d);
}

/* ---- who drains ---- */

void
drainers_add(struct worker *w)
{
	struct drainage *x = w->drainage;
	struct mono now = mono_now();

	if (x->entry.listed)
		return;
	x->seen = x->unsealable = x->has_sealed = false;
	x->unseen = MONO_NEVER;
	drain_begin(&x->drain, now);
	drain_steered(&x->drain, now);
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
	end_look(x);
	/* Whoever stops it sends SIGCONT behind the stop signal. */
	if (is_frozen(x))
		d->frozen = NULL;
	farewells_free(&x->farewells);
	look_queue_remove(&d->looks, &x->entry);
	if (timed)
		set_timer(d);
}

void
drainers_look_again(struct drainers *d)
{
	const struct mono now = mono_now();
	struct look_entry *e;

	TAILQ_FOREACH(e, &d->looks.entries, link)
		if (of_entry(e)->looks && mono_before(now, e->due) &&
		    !mono_is_never(e->due) &&
		    looker_has_news_of(of_entry(e)->worker->pid))
			e->due = now;
	set_timer(d);
}

/* Nobody has come to look at it: what can be told at once. */
static struct drain_facts
facts_at_last(const struct worker *w)
{
	struct drain_facts facts = {
		.queue = drain_sight_queue(w),
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
	if (w->drainage == NULL)
		return;
	end_look(w->drainage);
	farewells_free(&w->drainage->farewells);
	free(w->drainage);
	w->drainage = NULL;
}

int
drainers_init(struct drainers *d, struct loop *loop)
{
	return look_queue_init(&d->looks, loop, look_due, d);
}

void
drainers_fini(struct drainers *d)
{
	look_queue_fini(&d->looks);
}
