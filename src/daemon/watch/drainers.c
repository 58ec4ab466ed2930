#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "core/worker/drain.h"
#include "core/worker/farewell.h"
#include "daemon/spec/app_spec.h"
#include "daemon/watch/drain_batch_priv.h"
#include "daemon/watch/drain_freeze_priv.h"
#include "daemon/watch/drain_seal.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/watch/drainage_priv.h"
#include "daemon/watch/drainers.h"
#include "daemon/watch/farewells.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/process/stands_still.h"

/* How long a look goes on before everything else gets its turn. */
#define SPELL_MS	2

/* At a stop no client comes again: a connection between two requests is idle
   when it has been quiet for a moment. */
#define STOP_IDLE_MS	200

/* Between two attempts to find one without work who gets more all the time; and
   how many times as long as it took to look, also for a farewell. */
#define AGAIN_MS	10
#define AGAIN_FACTOR	3

/* Where more than so many drain, whoever is due waits for a list with others. */
#define FEW		4

static bool
is_frozen(const struct drainage *x)
{
	return drain_freeze_is(&x->all->freeze, x);
}

/* When it is to be looked at: clients wait for whoever is sealed, and the last look
   is to be in time. */
static struct mono
turn_of(const struct drainers *d, const struct drainage *x)
{
	struct mono next;

	if (x->has_sealed || mono_is_never(x->entry.due))
		return x->entry.due;
	next = drain_batch_next_list(&d->batch, x, d->n <= FEW);
	return mono_before(x->entry.due, next) &&
	    mono_before(next, x->worker->fsm.deadline) ? next : x->entry.due;
}

static struct drainage *
first_of(const struct drainers *d, struct mono *ret_turn)
{
	struct drainage *first = NULL;
	struct look_entry *e;

	*ret_turn = MONO_NEVER;
	TAILQ_FOREACH(e, &d->looks.entries, link) {
		struct mono turn = turn_of(d, drainage_of(e));

		if (!mono_before(turn, *ret_turn))
			continue;
		first = drainage_of(e);
		*ret_turn = turn;
	}
	return first;
}

/* The timer for whoever comes first, or for the look that goes on. */
static void
set_timer(struct drainers *d)
{
	struct mono turn;

	/* It is set when all have had their turn. */
	if (d->looking)
		return;
	if (d->batch.at != NULL)
		turn = mono_now();
	else if (d->freeze.who != NULL)
		turn = d->freeze.who->entry.due;
	else
		(void)first_of(d, &turn);
	look_queue_wake(&d->looks, turn);
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
	look_again(x, drain_freeze_begin(&x->all->freeze, x));
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
	drain_freeze_thaw(&x->all->freeze, x);
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
		.linger_ms = DRAINAGE_LINGER_MS,
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
	int n = farewells_look(&x->farewells, look, x->worker->pid,
	    says_farewell(x));

	if (n > 0)
		worker_log_often(LOG_LEVEL_DEBUG, x->worker, "%d connection%s "
		    "closed between two requests", n, n == 1 ? "" : "s");
	else if (n < 0)
		worker_log_often(LOG_LEVEL_DEBUG, x->worker, "kept connections "
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

	/* Who came just before is still its own. */
	if (drain_leave_flows(x->worker) &&
	    drain_sight_queue(x->worker, &x->all->batch.diag) > 0) {
		try_later(x);
		return;
	}
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

/* It goes for all others that drain with the same listeners, of which there may
   be hundreds at a stop. */
static void
spread_none(const struct drainage *x, const struct drain_facts *facts)
{
	struct look_entry *e;

	TAILQ_FOREACH(e, &x->all->looks.entries, link) {
		struct drainage *y = drainage_of(e);
		struct drain_facts its = *facts;

		if (y == x || y->worker->spec != x->worker->spec ||
		    mono_is_never(e->due))
			continue;
		its.sealed = drain_sealed(y->worker);
		its.queue = drain_sight_queue(y->worker, &y->all->batch.diag);
		its.open = (struct drain_tally){ .busy = 0 };
		count_flows(y, &its.open);
		e->due = MONO_NEVER;
		decide(y, &its);
	}
}

/* What the list says, of which the look at this one is a part. */
static struct drain_facts
facts_listed(const struct drainage *x)
{
	const struct connections *look = &x->all->batch.look;

	return (struct drain_facts){
		.queue = x->queue,
		.half_open = (int64_t)look->n_half_open,
		.handshakes = (int64_t)look->n_handshakes,
		.sealed = x->sealed,
		.seen = true,
		.none = look->none,
		.blink = look->blink,
	};
}

/* The policy by which an idle connection is idle for each of the batch. */
static struct drain_policy
strictest(const struct drain_batch *b)
{
	struct drain_policy policy = policy_of(b->at);
	const struct drainage *y;

	TAILQ_FOREACH(y, &b->others, link) {
		const struct drain_policy its = policy_of(y);

		if (policy.idle_ms >= 0 && (its.idle_ms < 0 ||
		    its.idle_ms > policy.idle_ms))
			policy.idle_ms = its.idle_ms;
		if (its.timeout_ms > policy.timeout_ms)
			policy.timeout_ms = its.timeout_ms;
	}
	return policy;
}

/* All connections are idle, so its own are. */
static void
decide_idle(struct drainage *y, struct drain_facts facts)
{
	struct drain_tally open;

	facts.all_idle = !drain_sight_open(y->worker, &open);
	if (!facts.all_idle)
		facts.open.idle = open.busy;
	count_flows(y, &facts.open);
	decide(y, &facts);
}

/*
 * Where nobody has one that is in use, it need not be asked who has which, which
 * takes longer than the list where hundreds stop. Of a few it is asked: it can be
 * said then how many each of them has left.
 */
static bool
conclude_together(struct drainers *d)
{
	struct drain_batch *b = &d->batch;
	struct drainage *x = b->at, *y;
	struct drain_policy policy;
	struct drain_facts facts;

	if (b->n_others < FEW || b->look.none || b->judged ||
	    !connections_listed(&b->look))
		return false;
	b->judged = true;
	policy = strictest(b);
	if (!connections_are_idle(&b->look, &policy))
		return false;
	while ((y = drain_batch_take(b)) != NULL)
		decide_idle(y, facts_listed(y));
	facts = facts_listed(x);
	drain_batch_end(b);
	decide_idle(x, facts);
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
	};

	if (code == 0) {
		facts = facts_listed(x);
		facts.open = connections_tally(&d->batch.look, &policy);
		say_farewell(x, &d->batch.look);
	} else {
		worker_log(w->crew->unseen_told ? LOG_LEVEL_DEBUG :
		    LOG_LEVEL_WARNING, w, "its connections cannot be seen: "
		    "%s%s", strerror(-code), w->crew->unseen_told ? "" :
		    " (said once)");
		w->crew->unseen_told = true;
		facts.seen = drain_sight_open(w, &facts.open);
	}
	count_flows(x, &facts.open);
	drain_batch_go_to_next(&d->batch, code != -ENOMEM && !facts.none);
	decide(x, &facts);
	/* Of those who get more, one at a time stands still to be looked at. */
	if (facts.none && !drain_sight_gets_more(w, false))
		spread_none(x, &facts);
}

static void
go_on(struct drainage *x)
{
	struct drainers *d = x->all;
	int64_t left_ms = mono_ms_between(mono_now(), d->spell_ends);
	int code = drain_batch_step(&d->batch, left_ms > 0 ? left_ms : 0);

	if (code >= 0 && conclude_together(d))
		return;
	if (code != 1) {
		conclude(x, code);
	} else if (is_frozen(x) && drain_freeze_is_over(x)) {
		drain_batch_end(&d->batch);
		drain_freeze_be_patient(x);
		try_later(x);
	}
}

static void
begin_look(struct drainage *x)
{
	struct worker *w = x->worker;
	struct drainers *d = x->all;
	struct connections_of of[DRAIN_SIGHT_PORTS_MAX];
	size_t n = drain_sight_ports(w, of);
	int code = 0;

	x->looked = mono_now();
	x->sealed = drain_sealed(w);
	if (n > 0 && d->batch.diag.fd < 0)
		code = sockdiag_open(&d->batch.diag);
	x->queue = drain_sight_queue(w, &d->batch.diag);
	/* Datagrams alone, or not even these. */
	if (n == 0 || drain_batch_needs_no_look(x)) {
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
	drain_batch_begin(&d->batch, x);
	if (code == 0)
		code = drain_batch_ask(&d->batch, of, n);
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
	if (!is_frozen(x) || process_stands_still(x->worker->pid)) {
		begin_look(x);
	} else if (!drain_freeze_is_over(x)) {
		look_again(x, drain_freeze_again());
	} else {
		drain_freeze_be_patient(x);
		try_later(x);
	}
}

/* At whoever is due, if anybody is. */
static bool
look_next(struct drainers *d)
{
	struct drainage *first = d->freeze.who;
	struct mono turn;

	if (first != NULL)
		turn = first->entry.due;
	else
		first = first_of(d, &turn);
	if (first == NULL || mono_before(mono_now(), turn))
		return false;
	first->entry.due = MONO_NEVER;
	look_queue_rotate(&d->looks, &first->entry);
	look_at(first);
	return true;
}

/* At as many as there is time for. */
static void
look_due(void *ctx)
{
	struct drainers *d = ctx;

	d->spell_ends = mono_add_ms(mono_now(), SPELL_MS);
	d->looking = true;
	do {
		if (d->batch.at != NULL)
			go_on(d->batch.at);
		else if (!look_next(d))
			break;
	} while (mono_before(mono_now(), d->spell_ends));
	d->looking = false;
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
	facts.queue = drain_sight_queue(w, &x->all->batch.diag);
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
	drain_freeze_reset(x);
	drain_begin(&x->drain, now);
	drain_steered(&x->drain, now);
	note_finished(x, has_nothing_yet(x));
	look_queue_add(&x->all->looks, &x->entry);
	x->all->n++;
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
	   thousands end; and of those that wait for a list it is for all. */
	timed = d->batch.at == x || is_frozen(x) || d->n == 1 ||
	    (!mono_before(d->looks.timer.due, x->entry.due) &&
	    !mono_before(x->entry.due, turn_of(d, x)));
	drain_batch_leave(&d->batch, x);
	if (d->batch.at == x)
		drain_batch_end(&d->batch);
	/* Whoever stops it sends SIGCONT behind the stop signal. */
	drain_freeze_leave(&d->freeze, x);
	farewells_free(&x->farewells);
	look_queue_remove(&d->looks, &x->entry);
	d->n--;
	if (timed)
		set_timer(d);
}

/* Nobody has come to look at it: what can be told at once. */
static struct drain_facts
facts_at_last(const struct worker *w)
{
	struct drain_facts facts = {
		.queue = drain_sight_queue(w, &w->drainage->all->batch.diag),
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
	drain_batch_init(&d->batch, &d->looks);
	return look_queue_init(&d->looks, loop, look_due, d);
}

void
drainers_fini(struct drainers *d)
{
	drain_batch_fini(&d->batch);
	look_queue_fini(&d->looks);
}
