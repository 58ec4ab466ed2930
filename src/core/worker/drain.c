#include "base/str.h"
#include "core/worker/drain.h"
#include "core/worker/obituary.h"

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
most(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/*
 * The kernel's times have steps of up to 10 ms. Where both spoke in the same
 * one, it is taken for a request and its quick answer, as nearly always: else
 * every idle connection of a fast server would look like a request. (The other
 * way round it would be a request that came right after an answer, and that
 * has been worked on for the whole of drain_idle.)
 */
static bool
client_spoke_last(const struct drain_conn *c)
{
	return c->received && (!c->sent || c->received_ms < c->sent_ms);
}

static bool
came_at_once(const struct drain_conn *c)
{
	return c->sent &&
	    c->sent_ms - c->received_ms <= c->rtt_ms + DRAIN_REACTION_MS;
}

/* For how long nothing may have moved on it, for it to be idle; -1: that tells
   nothing. */
static int64_t
quiet_for(const struct drain_conn *c, const struct drain_policy *p)
{
	if (p->idle_ms < 0 || c->unread > 0 || c->unacked > 0 || !c->timed)
		return -1;
	if (!client_spoke_last(c))
		return p->idle_ms;
	if (!came_at_once(c))
		return -1;
	return c->n_received <= c->n_sent ? p->idle_ms :
	    most(p->idle_ms, p->timeout_ms);
}

void
drain_count(struct drain_tally *tally, const struct drain_conn *conn,
    const struct drain_policy *policy)
{
	int64_t quiet_ms = least(conn->sent_ms, conn->received_ms);
	int64_t wanted_ms = quiet_for(conn, policy);

	if (wanted_ms < 0) {
		tally->busy++;
	} else if (quiet_ms >= wanted_ms) {
		tally->idle++;
	} else {
		tally->resting++;
		tally->rest_ms = most(tally->rest_ms, wanted_ms - quiet_ms);
	}
}

void
drain_count_flows(struct drain_tally *tally, int64_t known_ms,
    int64_t fresh_ms, const struct drain_policy *p)
{
	int64_t left_ms = 0;

	if (p->idle_ms < 0 && known_ms >= 0)
		tally->flowing = true;
	if (p->idle_ms >= 0 && known_ms >= 0)
		left_ms = most(left_ms, p->idle_ms - known_ms);
	if (fresh_ms >= 0)
		left_ms = most(left_ms, (p->idle_ms < 0 ? p->linger_ms :
		    least(p->idle_ms, p->linger_ms)) - fresh_ms);
	if (left_ms <= 0)
		return;
	tally->flowing = true;
	tally->flow_ms = most(tally->flow_ms, left_ms);
}

void
drain_begin(struct drain *d, struct mono now)
{
	*d = (struct drain){
		.began = now, .steered = MONO_NEVER, .quiet = MONO_NEVER,
		.step_ms = DRAIN_STEP_MIN_MS,
	};
}

void
drain_steered(struct drain *d, struct mono now)
{
	d->steered = now;
}

int64_t
drain_steered_ms(const struct drain *d, struct mono now)
{
	return mono_is_never(d->steered) ? 0 :
	    mono_ms_between(d->steered, now);
}

/* Until when handshakes may still bring connections. A client that never
   answers does not prolong it. */
static struct mono
linger_end(const struct drain *d, const struct drain_policy *p,
    const struct drain_facts *f)
{
	int64_t settle_ms = p->refused ? DRAIN_REFUSED_MS : DRAIN_SETTLE_MS;

	return mono_add_ms(d->steered, f->half_open == 0 ?
	    least(p->linger_ms, settle_ms) : p->linger_ms);
}

/* Does anything hold it up, and what? False: nothing. */
static bool
held_up(const struct drain *d, const struct drain_policy *p,
    const struct drain_facts *f, struct mono now, enum drain_why *ret_why)
{
	if (mono_before(now, linger_end(d, p, f)))
		*ret_why = DRAIN_WHY_LINGER;
	else if (f->queue > 0)
		*ret_why = DRAIN_WHY_QUEUE;
	else if (f->queue < 0 || !f->seen)
		*ret_why = DRAIN_WHY_UNSEEN;
	else if (f->open.busy > 0)
		*ret_why = DRAIN_WHY_BUSY;
	else if (f->open.resting > 0)
		*ret_why = DRAIN_WHY_RESTING;
	else if (f->open.flowing)
		*ret_why = DRAIN_WHY_FLOWS;
	else
		return false;
	return true;
}

/* The next look: soon at first, then more rarely; sooner where it is known when
   something ends by itself. */
static struct mono
next_look(struct drain *d, const struct drain_policy *p,
    const struct drain_facts *f, enum drain_why why, struct mono now)
{
	struct mono end = mono_add_ms(d->began, p->timeout_ms);
	int64_t step_ms = d->step_ms;
	struct mono again;

	d->step_ms = least(step_ms * 2, DRAIN_STEP_MAX_MS);
	if (why == DRAIN_WHY_RESTING)
		step_ms = least(step_ms, most(f->open.rest_ms, 1));
	if (why == DRAIN_WHY_FLOWS && f->open.flow_ms > 0)
		step_ms = least(step_ms, f->open.flow_ms);
	again = mono_add_ms(now, step_ms);
	if (why == DRAIN_WHY_AGREE)
		again = mono_add_ms(d->quiet, DRAIN_AGREE_MS);
	else if (why == DRAIN_WHY_LINGER &&
	    mono_before(linger_end(d, p, f), again))
		again = linger_end(d, p, f);
	return mono_before(end, again) ? end : again;
}

static struct drain_decision
done(const struct drain *d, enum drain_why why, struct mono now)
{
	return (struct drain_decision){
		.done = true, .why = why, .again = MONO_NEVER,
		.took_ms = mono_ms_between(d->began, now),
	};
}

/* By a handshake, of whatever age: one that began before steering changed, and
   takes its time, is not told from others where its age is not known. One that the
   look before has seen may have ended between this one's queues and its list. */
static bool
may_still_come(const struct drain *d, const struct drain_policy *p,
    const struct drain_facts *f)
{
	return (f->handshakes != 0 || d->shook) && p->may_seal && !f->sealed;
}

struct drain_decision
drain_decide(struct drain *d, const struct drain_policy *p,
    const struct drain_facts *f, struct mono now)
{
	struct mono end = mono_add_ms(d->began, p->timeout_ms);
	enum drain_why why = DRAIN_WHY_AGREE;
	bool sure = f->none && !f->blink;
	bool comes = may_still_come(d, p, f);

	d->shook = f->handshakes != 0 && !f->sealed;
	if (p->timeout_ms == 0)
		return done(d, DRAIN_WHY_AT_ONCE, now);
	if (held_up(d, p, f, now, &why))
		d->quiet = MONO_NEVER;
	else if (!sure && mono_is_never(d->quiet))
		d->quiet = now;
	else if (!sure &&
	    mono_before(now, mono_add_ms(d->quiet, DRAIN_AGREE_MS)))
		why = DRAIN_WHY_AGREE;
	else if (comes && mono_before(now, end))
		why = DRAIN_WHY_SEAL;
	else
		return done(d, f->open.idle > 0 || f->all_idle ?
		    DRAIN_WHY_IDLE : DRAIN_WHY_EMPTY, now);
	/* After that: what was drained at the last moment, was drained. */
	if (!mono_before(now, end))
		return done(d, DRAIN_WHY_TIMEOUT, now);
	return (struct drain_decision){
		.why = why, .again = why == DRAIN_WHY_SEAL ? now :
		    next_look(d, p, f, why, now),
		.took_ms = mono_ms_between(d->began, now),
	};
}

static void
put_connections(struct strbuf *sb, int64_t n, const char *what)
{
	strbuf_printf(sb, "%lld %sconnection%s", (long long)n, what,
	    n == 1 ? "" : "s");
}

/* What holds it up, after the words for how long. */
static void
put_open(struct strbuf *sb, const struct drain_facts *f)
{
	unsigned n = f->open.busy + f->open.resting;

	if (f->queue > 0) {
		strbuf_printf(sb, "%lld waiting in the queue",
		    (long long)f->queue);
		if (!f->seen || n > 0)
			strbuf_puts(sb, ", ");
	}
	if (!f->seen && f->late) {
		strbuf_puts(sb, "clusterd has had no time to look at its "
		    "connections");
	} else if (!f->seen) {
		strbuf_puts(sb, "its connections cannot be seen");
	} else if (n > 0) {
		put_connections(sb, n, "");
		strbuf_puts(sb, " still open");
	} else if (f->open.flowing) {
		strbuf_puts(sb, "datagrams of its flows still come");
	} else if (f->queue < 0) {
		strbuf_puts(sb, "its queue cannot be seen");
	} else if (f->queue == 0) {
		strbuf_puts(sb, "nothing is open any more");
	}
}

void
drain_words(struct strbuf *sb, const struct drain_decision *decision,
    const struct drain_facts *f)
{
	static const char *const waiting[DRAIN_N_WHYS] = {
		[DRAIN_WHY_LINGER] = "handshakes may be under way",
		[DRAIN_WHY_AGREE] = "it has just become idle",
		[DRAIN_WHY_SEAL] = "handshakes may be under way",
	};

	switch (decision->why) {
	case DRAIN_WHY_AT_ONCE:
		strbuf_puts(sb, "not drained, drain_timeout is 0");
		return;
	case DRAIN_WHY_EMPTY:
	case DRAIN_WHY_IDLE:
		strbuf_puts(sb, "drained in ");
		obituary_duration(sb, decision->took_ms);
		if (decision->why == DRAIN_WHY_EMPTY)
			return;
		strbuf_puts(sb, ", ");
		if (f->open.idle == 0) {
			strbuf_puts(sb, "what may be left is idle");
			return;
		}
		put_connections(sb, f->open.idle, "idle ");
		strbuf_puts(sb, f->open.idle == 1 ? " is left" : " are left");
		return;
	case DRAIN_WHY_TIMEOUT:
		strbuf_puts(sb, "drain_timeout after ");
		break;
	default:
		strbuf_puts(sb, "draining for ");
		break;
	}
	obituary_duration(sb, decision->took_ms);
	strbuf_puts(sb, ": ");
	if (waiting[decision->why] != NULL)
		strbuf_puts(sb, waiting[decision->why]);
	else
		put_open(sb, f);
}
