#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/str.h"
#include "core/worker/drain.h"

static const struct drain_policy defaults = {
	.timeout_ms = 10000, .idle_ms = 5000, .linger_ms = 1000,
};

static struct mono
at(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 86400 * INT64_C(1000000000) },
	    ms);
}

/* ---- where new clients are refused ---- */

/* There is no change of places to wait for, but handshakes there may be. */
static void
refused_clients_need_no_time_to_settle(void **state)
{
	struct drain_policy policy = defaults;
	struct drain_facts facts = { .seen = true };
	struct drain_decision d;
	struct drain drain;

	(void)state;
	policy.refused = true;
	drain_begin(&drain, at(0));
	drain_steered(&drain, at(0));
	d = drain_decide(&drain, &policy, &facts, at(5));
	assert_false(d.done);
	assert_int_equal(d.why, DRAIN_WHY_AGREE);
	d = drain_decide(&drain, &policy, &facts, at(5 + DRAIN_AGREE_MS));
	assert_true(d.done);
	assert_int_equal(d.why, DRAIN_WHY_EMPTY);

	/* Of no connection anybody knows: it needs no second look. */
	drain_begin(&drain, at(0));
	drain_steered(&drain, at(0));
	facts.none = true;
	d = drain_decide(&drain, &policy, &facts, at(DRAIN_REFUSED_MS - 1));
	assert_false(d.done);
	d = drain_decide(&drain, &policy, &facts, at(DRAIN_REFUSED_MS));
	assert_true(d.done);
	assert_int_equal(d.why, DRAIN_WHY_EMPTY);
	/* But if one could be missed. */
	drain_begin(&drain, at(0));
	drain_steered(&drain, at(0));
	facts.blink = true;
	d = drain_decide(&drain, &policy, &facts, at(5));
	assert_false(d.done);
	assert_int_equal(d.why, DRAIN_WHY_AGREE);
	d = drain_decide(&drain, &policy, &facts, at(5 + DRAIN_AGREE_MS));
	assert_true(d.done);
	facts.none = facts.blink = false;

	drain_begin(&drain, at(0));
	drain_steered(&drain, at(0));
	facts.half_open = 1;
	d = drain_decide(&drain, &policy, &facts, at(500));
	assert_false(d.done);
	assert_int_equal(d.why, DRAIN_WHY_LINGER);
	/* Without, the same look is too early. */
	policy.refused = false;
	facts.half_open = 0;
	drain_begin(&drain, at(0));
	drain_steered(&drain, at(0));
	d = drain_decide(&drain, &policy, &facts, at(5));
	assert_int_equal(d.why, DRAIN_WHY_LINGER);
}

/* Where all are idle, it is not known how many are its own, and needs no number. */
static void
all_are_idle(void **state)
{
	const struct drain_facts facts = { .seen = true, .all_idle = true };
	struct drain_decision d;
	struct drain drain;

	(void)state;
	drain_begin(&drain, at(0));
	drain_steered(&drain, at(0));
	d = drain_decide(&drain, &defaults, &facts, at(DRAIN_SETTLE_MS));
	assert_false(d.done);
	assert_int_equal(d.why, DRAIN_WHY_AGREE);
	d = drain_decide(&drain, &defaults, &facts,
	    at(DRAIN_SETTLE_MS + DRAIN_AGREE_MS));
	assert_true(d.done);
	assert_int_equal(d.why, DRAIN_WHY_IDLE);
}

/* ---- one connection ---- */

/* How long ago each spoke; -1: never, and it was opened 9 s ago. */
static struct drain_conn
conn_of(int64_t sent_ms, int64_t received_ms)
{
	return (struct drain_conn){
		.timed = true,
		.sent = sent_ms >= 0, .received = received_ms >= 0,
		.sent_ms = sent_ms >= 0 ? sent_ms : 9000,
		.received_ms = received_ms >= 0 ? received_ms : 9000,
	};
}

/* What one connection alone counts as. */
enum hold {
	IDLE,
	RESTING,
	BUSY,
};

static void
expect_hold(struct drain_conn conn, int64_t idle_ms, enum hold hold,
    int64_t rest_ms)
{
	struct drain_policy policy = defaults;
	struct drain_tally tally = { .idle = 0 };

	policy.idle_ms = idle_ms;
	drain_count(&tally, &conn, &policy);
	assert_int_equal(tally.idle, hold == IDLE);
	assert_int_equal(tally.resting, hold == RESTING);
	assert_int_equal(tally.busy, hold == BUSY);
	assert_int_equal(tally.rest_ms, rest_ms);
}

static void
who_spoke_last(void **state)
{
	(void)state;
	/* A keep-alive connection after an answer. */
	expect_hold(conn_of(5000, 5100), 5000, IDLE, 0);
	expect_hold(conn_of(4999, 5100), 5000, RESTING, 1);
	expect_hold(conn_of(0, 40), 5000, RESTING, 5000);
	/* … whose answer came in the same tick as the request. */
	expect_hold(conn_of(5000, 5000), 5000, IDLE, 0);
	/* A request that is being worked on, for however long. */
	expect_hold(conn_of(5100, 5000), 5000, BUSY, 0);
	expect_hold(conn_of(90000, 80000), 5000, BUSY, 0);
	expect_hold(conn_of(-1, 80000), 5000, BUSY, 0);
	/* … in the first tick of the connection. */
	expect_hold(conn_of(-1, 9000), 5000, BUSY, 0);
	/* The server greets, and nobody answers. */
	expect_hold(conn_of(7000, -1), 5000, IDLE, 0);
	expect_hold(conn_of(100, -1), 5000, RESTING, 4900);
	/* Never used, for 9 s. */
	expect_hold(conn_of(-1, -1), 5000, IDLE, 0);
	expect_hold(conn_of(-1, -1), 10000, RESTING, 1000);
}

/* HTTP/2's SETTINGS ACK and the like, against a request. */
static void
acknowledgement_is_no_request(void **state)
{
	struct drain_conn conn = conn_of(6010, 6000);

	(void)state;
	conn.n_sent = conn.n_received = 2;
	expect_hold(conn, 5000, IDLE, 0);
	expect_hold(conn, 6001, RESTING, 1);
	/* At once is within a round trip. */
	conn.sent_ms = 6020;
	expect_hold(conn, 5000, IDLE, 0);
	conn.sent_ms = 6021;
	expect_hold(conn, 5000, BUSY, 0);
	conn.rtt_ms = 1;
	expect_hold(conn, 5000, IDLE, 0);
	/* What is unread is no acknowledgement yet. */
	conn.unread = 9;
	expect_hold(conn, 5000, BUSY, 0);
	conn.unread = 0;
	expect_hold(conn, -1, BUSY, 0);
	/* One word too many: perhaps a request right behind an answer. */
	conn.n_received = 3;
	expect_hold(conn, 5000, RESTING, 4000);
	conn = conn_of(10010, 10000);
	conn.n_received = 1;
	expect_hold(conn, 5000, IDLE, 0);
	expect_hold(conn, 20000, RESTING, 10000);
	/* The server has said nothing that could be acknowledged. */
	conn = conn_of(-1, 9000);
	conn.n_received = 1;
	expect_hold(conn, 5000, BUSY, 0);
}

static void
what_is_under_way_is_busy(void **state)
{
	struct drain_conn conn = conn_of(60000, 60000);

	(void)state;
	expect_hold(conn, 5000, IDLE, 0);
	conn.unread = 1;
	expect_hold(conn, 5000, BUSY, 0);
	conn.unread = 0;
	conn.unacked = 1;
	expect_hold(conn, 5000, BUSY, 0);
	conn.unacked = 0;
	/* Of a Unix socket nobody knows who spoke last. */
	conn.timed = false;
	expect_hold(conn, 5000, BUSY, 0);
	conn.timed = true;
	/* drain_idle = off, and 0. */
	expect_hold(conn, -1, BUSY, 0);
	expect_hold(conn_of(-1, -1), -1, BUSY, 0);
	expect_hold(conn_of(0, 0), 0, IDLE, 0);
	expect_hold(conn_of(21, 0), 0, BUSY, 0);
}

static void
expect_flows(int64_t known_ms, int64_t fresh_ms, int64_t idle_ms, bool flowing,
    int64_t flow_ms)
{
	const struct drain_policy policy = {
		.timeout_ms = 10000, .idle_ms = idle_ms, .linger_ms = 1000,
	};
	struct drain_tally tally = { .busy = 0 };

	drain_count_flows(&tally, known_ms, fresh_ms, &policy);
	assert_int_equal(tally.flowing, flowing);
	assert_int_equal(tally.flow_ms, flow_ms);
	assert_int_equal(tally.busy + tally.resting + tally.idle, 0);
}

static void
flows_are_over_after_a_while(void **state)
{
	(void)state;
	/* None, ever. */
	expect_flows(-1, -1, 5000, false, 0);
	expect_flows(-1, -1, -1, false, 0);
	expect_flows(0, -1, 5000, true, 5000);
	expect_flows(4999, -1, 5000, true, 1);
	expect_flows(5000, -1, 5000, false, 0);
	/* One datagram may be all of it. */
	expect_flows(-1, 0, 5000, true, 1000);
	expect_flows(-1, 999, 5000, true, 1);
	expect_flows(-1, 1000, 5000, false, 0);
	expect_flows(-1, 0, 200, true, 200);
	expect_flows(4500, 100, 5000, true, 900);
	expect_flows(100, 4500, 5000, true, 4900);
	/* drain_idle = 0, and off. */
	expect_flows(0, 0, 0, false, 0);
	expect_flows(100000, -1, -1, true, 0);
	expect_flows(100000, 10, -1, true, 990);
	expect_flows(-1, 2000, -1, false, 0);
}

static void
flows_hold_up_a_drain(void **state)
{
	struct drain_facts f = { .seen = true };
	struct drain_decision decision;
	struct strbuf words = STRBUF_INIT;
	struct drain d;
	struct mono now = { .ns = 0 };
	const struct drain_policy policy = {
		.timeout_ms = 10000, .idle_ms = 5000, .linger_ms = 1000,
	};

	(void)state;
	drain_begin(&d, now);
	drain_steered(&d, now);
	now = mono_add_ms(now, 2000);
	drain_count_flows(&f.open, 4997, -1, &policy);
	decision = drain_decide(&d, &policy, &f, now);
	assert_false(decision.done);
	assert_int_equal(decision.why, DRAIN_WHY_FLOWS);
	assert_int_equal(mono_ms_between(now, decision.again), 3);
	now = mono_add_ms(now, 9000);
	decision = drain_decide(&d, &policy, &f, now);
	assert_true(decision.done);
	drain_words(&words, &decision, &f);
	assert_string_equal(words.text, "drain_timeout after 11.0s: datagrams "
	    "of its flows still come");
	strbuf_free(&words);
}

static void
tally_waits_for_the_last(void **state)
{
	const struct drain_conn conns[] = {
		conn_of(4000, 4100), conn_of(1000, 1100), conn_of(3000, 9000),
		conn_of(6000, 7000), conn_of(2000, 1000), conn_of(-1, -1),
	};
	struct drain_tally tally = { .idle = 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(conns) / sizeof(*conns); i++)
		drain_count(&tally, &conns[i], &defaults);
	assert_int_equal(tally.idle, 2);
	assert_int_equal(tally.resting, 3);
	assert_int_equal(tally.busy, 1);
	assert_int_equal(tally.rest_ms, 4000);
}

/* ---- the course of a drain ---- */

static const struct drain_facts quiet = { .half_open = 0, .seen = true };
static const struct drain_facts blind_handshakes = {
	.half_open = DRAIN_UNKNOWN, .seen = true,
};

static struct drain_decision
look(struct drain *d, const struct drain_policy *p,
    const struct drain_facts *f, int64_t ms)
{
	return drain_decide(d, p, f, at(ms));
}

/* Run with facts that do not change, always at the time that is asked for. */
static struct drain_decision
run(const struct drain_policy *p, const struct drain_facts *f, unsigned *looks)
{
	struct drain d;
	struct drain_decision decision;
	struct mono now = at(0);

	drain_begin(&d, now);
	drain_steered(&d, now);
	for (*looks = 1;; ++*looks) {
		decision = drain_decide(&d, p, f, now);
		if (decision.done)
			return decision;
		assert_true(mono_before(now, decision.again));
		assert_in_range(*looks, 1, 10000);
		now = decision.again;
	}
}

static void
expect_end(const struct drain_policy *p, const struct drain_facts *f,
    enum drain_why why, int64_t ms)
{
	unsigned looks;
	struct drain_decision decision = run(p, f, &looks);

	assert_int_equal(decision.why, why);
	assert_int_equal(decision.took_ms, ms);
}

static void
timeout_of_zero_is_at_once(void **state)
{
	struct drain_policy p = defaults;
	struct drain_facts f = { .queue = 7, .half_open = 7 };

	(void)state;
	p.timeout_ms = 0;
	expect_end(&p, &f, DRAIN_WHY_AT_ONCE, 0);
	expect_end(&p, &quiet, DRAIN_WHY_AT_ONCE, 0);
}

static void
lingers_for_handshakes(void **state)
{
	struct drain_policy p = defaults;
	struct drain_facts f = quiet;

	(void)state;
	/* None is under way: only what is being handled at this moment. */
	expect_end(&p, &quiet, DRAIN_WHY_EMPTY,
	    DRAIN_SETTLE_MS + DRAIN_AGREE_MS);
	/* Nobody knows, or there are: the whole time, and no longer. */
	expect_end(&p, &blind_handshakes, DRAIN_WHY_EMPTY,
	    1000 + DRAIN_AGREE_MS);
	f.half_open = 100;
	expect_end(&p, &f, DRAIN_WHY_EMPTY, 1000 + DRAIN_AGREE_MS);
	p.linger_ms = 0;
	expect_end(&p, &f, DRAIN_WHY_EMPTY, DRAIN_AGREE_MS);
}

static void
linger_begins_with_the_steering(void **state)
{
	struct drain d;
	struct drain_decision decision;

	(void)state;
	drain_begin(&d, at(0));
	assert_int_equal(drain_steered_ms(&d, at(100)), 0);
	decision = look(&d, &defaults, &quiet, 0);
	assert_int_equal(decision.why, DRAIN_WHY_LINGER);
	decision = look(&d, &defaults, &quiet, 5000);
	assert_int_equal(decision.why, DRAIN_WHY_LINGER);
	drain_steered(&d, at(5000));
	assert_int_equal(drain_steered_ms(&d, at(5100)), 100);
	decision = look(&d, &defaults, &blind_handshakes, 5999);
	assert_int_equal(decision.why, DRAIN_WHY_LINGER);
	assert_int_equal(decision.again.ns, at(6000).ns);
	decision = look(&d, &defaults, &blind_handshakes, 6000);
	assert_int_equal(decision.why, DRAIN_WHY_AGREE);
}

static void
two_looks_must_agree(void **state)
{
	struct drain_facts queued = quiet, busy = quiet;
	struct drain d;

	(void)state;
	queued.queue = 1;
	busy.open.busy = 1;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_int_equal(look(&d, &defaults, &quiet, 100).why,
	    DRAIN_WHY_AGREE);
	/* It had been accepted, and had no descriptor yet. */
	assert_int_equal(look(&d, &defaults, &busy, 110).why, DRAIN_WHY_BUSY);
	assert_int_equal(look(&d, &defaults, &quiet, 120).why,
	    DRAIN_WHY_AGREE);
	/* Too soon to count. */
	assert_int_equal(look(&d, &defaults, &quiet, 129).again.ns,
	    at(130).ns);
	assert_int_equal(look(&d, &defaults, &queued, 130).why,
	    DRAIN_WHY_QUEUE);
	assert_false(look(&d, &defaults, &quiet, 140).done);
	assert_true(look(&d, &defaults, &quiet, 150).done);
}

/* A handshake that takes longer than the linger may end between the last look
   and the end of the worker. */
static void
sealed_before_the_last_look(void **state)
{
	struct drain_policy policy = defaults;
	struct drain_facts late = quiet, sealed = quiet;
	struct drain_decision decision;
	struct drain d;

	(void)state;
	policy.may_seal = true;
	late.half_open = sealed.half_open = 1;
	late.handshakes = sealed.handshakes = 1;
	sealed.sealed = true;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_int_equal(look(&d, &policy, &late, 900).why, DRAIN_WHY_LINGER);
	assert_int_equal(look(&d, &policy, &late, 1000).why, DRAIN_WHY_AGREE);
	decision = look(&d, &policy, &late, 1010);
	assert_false(decision.done);
	assert_int_equal(decision.why, DRAIN_WHY_SEAL);
	assert_int_equal(decision.again.ns, at(1010).ns);
	/* One has come before that. */
	sealed.queue = 1;
	assert_int_equal(look(&d, &policy, &sealed, 1011).why,
	    DRAIN_WHY_QUEUE);
	sealed.queue = 0;
	assert_int_equal(look(&d, &policy, &late, 1200).why, DRAIN_WHY_AGREE);
	assert_int_equal(look(&d, &policy, &late, 1210).why, DRAIN_WHY_SEAL);
	decision = look(&d, &policy, &sealed, 1211);
	assert_true(decision.done);
	assert_int_equal(decision.why, DRAIN_WHY_EMPTY);

	/* Where one look is enough, it is another one that counts; where that
	   cannot be told, one may be under way. */
	late.none = sealed.none = true;
	late.half_open = sealed.half_open = DRAIN_UNKNOWN;
	late.handshakes = sealed.handshakes = DRAIN_UNKNOWN;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_int_equal(look(&d, &policy, &late, 1000).why, DRAIN_WHY_SEAL);
	assert_true(look(&d, &policy, &sealed, 1000).done);

	/* Of one that may be older than is known. */
	late = quiet;
	late.handshakes = 1;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_int_equal(look(&d, &policy, &late, 100).why, DRAIN_WHY_AGREE);
	assert_int_equal(look(&d, &policy, &late, 110).why, DRAIN_WHY_SEAL);

	/* It is drained at the last moment, too. */
	late.none = true;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	decision = look(&d, &policy, &late, policy.timeout_ms);
	assert_true(decision.done);
	assert_int_equal(decision.why, DRAIN_WHY_EMPTY);

	/* Where nobody else serves, it would be for nothing. */
	policy.may_seal = false;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_true(look(&d, &policy, &late, 1000).done);
}

static void
ends_as_what_is_open_ends(void **state)
{
	struct drain_facts f = quiet;

	(void)state;
	f.open.idle = 3;
	expect_end(&defaults, &f, DRAIN_WHY_IDLE,
	    DRAIN_SETTLE_MS + DRAIN_AGREE_MS);
	f.open.busy = 1;
	expect_end(&defaults, &f, DRAIN_WHY_TIMEOUT, 10000);
	f.open.busy = 0;
	f.queue = 1;
	expect_end(&defaults, &f, DRAIN_WHY_TIMEOUT, 10000);
	f.queue = DRAIN_UNKNOWN;
	expect_end(&defaults, &f, DRAIN_WHY_TIMEOUT, 10000);
	f.queue = 0;
	f.seen = false;
	expect_end(&defaults, &f, DRAIN_WHY_TIMEOUT, 10000);
}

static void
looks_when_the_last_has_rested(void **state)
{
	struct drain_facts f = quiet;
	struct drain_decision decision;
	struct drain d;

	(void)state;
	f.open.resting = 2;
	f.open.rest_ms = 7;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	for (int64_t ms = 1000; ms < 3000; ms += 100)
		decision = look(&d, &defaults, &f, ms);
	assert_int_equal(decision.why, DRAIN_WHY_RESTING);
	assert_int_equal(decision.again.ns, at(2907).ns);
	/* One that is busy as well: no point in that. */
	f.open.busy = 1;
	assert_int_equal(look(&d, &defaults, &f, 3000).again.ns,
	    at(3200).ns);
}

static void
looks_more_and_more_rarely(void **state)
{
	struct drain_facts f = quiet;
	struct drain d;
	struct mono now = at(0);
	int64_t step = 0;
	unsigned looks = 0;

	(void)state;
	f.open.busy = 1;
	drain_begin(&d, now);
	drain_steered(&d, now);
	for (;;) {
		struct drain_decision decision = drain_decide(&d, &defaults,
		    &f, now);
		int64_t ms;

		looks++;
		if (decision.done)
			break;
		ms = mono_ms_between(now, decision.again);
		assert_in_range(ms, 1, DRAIN_STEP_MAX_MS);
		/* But for the linger's end and the very end. */
		if (decision.again.ns != at(DRAIN_SETTLE_MS).ns &&
		    decision.again.ns != at(10000).ns) {
			assert_true(ms >= step);
			step = ms;
		}
		now = decision.again;
	}
	assert_int_equal(step, DRAIN_STEP_MAX_MS);
	/* 50 at that pace, and a few quick ones. */
	assert_in_range(looks, 50, 60);
}

/* What was drained when the time was over, was drained. */
static void
timeout_at_its_edge(void **state)
{
	struct drain_facts busy = quiet;
	struct drain d;

	(void)state;
	busy.open.busy = 1;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_false(look(&d, &defaults, &quiet, 9990).done);
	assert_int_equal(look(&d, &defaults, &quiet, 10000).why,
	    DRAIN_WHY_EMPTY);
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	assert_false(look(&d, &defaults, &quiet, 9991).done);
	assert_int_equal(look(&d, &defaults, &quiet, 10000).why,
	    DRAIN_WHY_TIMEOUT);
	drain_begin(&d, at(0));
	assert_false(look(&d, &defaults, &busy, 9999).done);
	/* A look that came late. */
	assert_int_equal(look(&d, &defaults, &busy, 99999).why,
	    DRAIN_WHY_TIMEOUT);
}

static void
huge_times_do_not_overflow(void **state)
{
	struct drain_policy p = {
		.timeout_ms = INT64_MAX, .idle_ms = INT64_MAX,
		.linger_ms = INT64_MAX,
	};
	struct drain_facts f = quiet;
	struct drain d;
	struct drain_decision decision;

	(void)state;
	f.half_open = DRAIN_UNKNOWN;
	f.open.busy = 1;
	drain_begin(&d, at(0));
	drain_steered(&d, at(0));
	for (int64_t ms = 0; ms < 100000; ms += 1000) {
		decision = look(&d, &p, &f, ms);
		assert_false(decision.done);
		assert_int_equal(decision.why, DRAIN_WHY_LINGER);
	}
	expect_hold(conn_of(-1, -1), INT64_MAX, RESTING,
	    INT64_MAX - 9000);
}

/* ---- words ---- */

static void
expect_words(bool is_done, enum drain_why why, int64_t took_ms,
    struct drain_facts f, const char *expected)
{
	struct drain_decision decision = {
		.done = is_done, .why = why, .took_ms = took_ms,
	};
	struct strbuf sb = STRBUF_INIT;

	drain_words(&sb, &decision, &f);
	assert_string_equal(sb.text, expected);
	strbuf_free(&sb);
}

static void
words(void **state)
{
	struct drain_facts f = quiet;

	(void)state;
	expect_words(true, DRAIN_WHY_AT_ONCE, 0, f,
	    "not drained, drain_timeout is 0");
	expect_words(true, DRAIN_WHY_EMPTY, 1234, f, "drained in 1.2s");
	f.open.idle = 1;
	expect_words(true, DRAIN_WHY_IDLE, 6100, f,
	    "drained in 6.1s, 1 idle connection is left");
	f.open.idle = 12;
	expect_words(true, DRAIN_WHY_IDLE, 30, f,
	    "drained in 30ms, 12 idle connections are left");
	f.open.idle = 0;
	f.all_idle = true;
	expect_words(true, DRAIN_WHY_IDLE, 30, f,
	    "drained in 30ms, what may be left is idle");
	f.all_idle = false;
	f.open.idle = 12;
	f.open.busy = 1;
	expect_words(true, DRAIN_WHY_TIMEOUT, 10000, f,
	    "drain_timeout after 10.0s: 1 connection still open");
	f.open.resting = 2;
	expect_words(true, DRAIN_WHY_TIMEOUT, 10000, f,
	    "drain_timeout after 10.0s: 3 connections still open");
	expect_words(false, DRAIN_WHY_BUSY, 800, f,
	    "draining for 800ms: 3 connections still open");
	f.queue = 2;
	expect_words(true, DRAIN_WHY_TIMEOUT, 10000, f,
	    "drain_timeout after 10.0s: 2 waiting in the queue, 3 connections "
	    "still open");
	f.open.busy = f.open.resting = 0;
	expect_words(false, DRAIN_WHY_QUEUE, 50, f,
	    "draining for 50ms: 2 waiting in the queue");
	f.seen = false;
	expect_words(true, DRAIN_WHY_TIMEOUT, 10000, f,
	    "drain_timeout after 10.0s: 2 waiting in the queue, its "
	    "connections cannot be seen");
	f.late = true;
	expect_words(true, DRAIN_WHY_TIMEOUT, 10000, f,
	    "drain_timeout after 10.0s: 2 waiting in the queue, clusterd has "
	    "had no time to look at its connections");
	f.late = false;
	f.queue = DRAIN_UNKNOWN;
	expect_words(false, DRAIN_WHY_UNSEEN, 50, f,
	    "draining for 50ms: its connections cannot be seen");
	f.seen = true;
	expect_words(false, DRAIN_WHY_UNSEEN, 50, f,
	    "draining for 50ms: its queue cannot be seen");
	expect_words(false, DRAIN_WHY_LINGER, 0, f,
	    "draining for 0ms: handshakes may be under way");
	expect_words(false, DRAIN_WHY_AGREE, 20, f,
	    "draining for 20ms: it has just become idle");
	f = quiet;
	expect_words(true, DRAIN_WHY_TIMEOUT, 500, f,
	    "drain_timeout after 500ms: nothing is open any more");
}

/* ---- random histories ---- */

enum { CONNS = 12 };

struct client {
	bool queued;		/* not accepted yet */
	bool open;
	bool sent, received;
	int64_t opened, last_sent, last_received;	/* ms */
	uint32_t unread, unacked, n_sent, n_received;
};

struct model {
	uint32_t seed;
	int64_t now, steered;	/* ms; steered -1: not yet */
	int64_t last_handshake;
	int64_t rtt;
	bool half_open_known;
	bool sealed;
	bool calm;		/* clients ask for nothing more */
	struct client clients[CONNS];
};

static unsigned
roll(struct model *m, unsigned n)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (m->seed >> 8) % n;
}

static bool
owes(const struct client *c)
{
	return c->received && (!c->sent || c->last_sent < c->last_received);
}

/* Something happens to one connection. */
static void
happen(struct model *m)
{
	struct client *c = &m->clients[roll(m, CONNS)];

	if (!c->open) {
		/* Only handshakes from before the change still arrive. */
		if (m->steered < 0 || (m->now < m->last_handshake &&
		    !m->sealed))
			*c = (struct client){
				.open = true, .queued = true,
				.opened = m->now,
			};
	} else if (!m->calm && roll(m, 3) == 0) {
		c->received = true;
		c->last_received = m->now;
		c->n_received++;
		c->unread += 10;
	} else if (c->queued) {
		c->queued = false;
	} else if (c->unread > 0 && roll(m, 2) == 0) {
		c->unread = 0;
	} else if (c->unread == 0 && owes(c) && roll(m, 2) == 0) {
		c->sent = true;
		c->last_sent = m->now;
		c->n_sent += 1 + roll(m, 2);
		c->unacked = roll(m, 2) * 100;
	} else if (c->unacked > 0) {
		c->unacked = 0;
	} else if (roll(m, 8) == 0) {
		c->open = false;
	}
}

static struct drain_facts
facts_of(struct model *m, const struct drain_policy *p)
{
	struct drain_facts f = { .seen = true };

	for (int i = 0; i < CONNS; i++) {
		const struct client *c = &m->clients[i];
		int64_t age = m->now - c->opened;

		f.queue += c->open && c->queued;
		if (c->open && !c->queued)
			drain_count(&f.open, &(struct drain_conn){
				.timed = true, .unread = c->unread,
				.unacked = c->unacked,
				.sent = c->sent, .received = c->received,
				.sent_ms = c->sent ? m->now - c->last_sent :
				    age,
				.received_ms = c->received ?
				    m->now - c->last_received : age,
				.n_sent = c->n_sent,
				.n_received = c->n_received,
				.rtt_ms = m->rtt,
			}, p);
	}
	f.half_open = !m->half_open_known ? DRAIN_UNKNOWN :
	    m->now < m->last_handshake;
	f.handshakes = f.half_open;
	f.sealed = m->sealed;
	if (roll(m, 50) == 0)
		f.seen = false;
	return f;
}

/* By the contract's words and not by the code's: may it be stopped now? */
static bool
harmless(const struct model *m, const struct drain_policy *p)
{
	for (int i = 0; i < CONNS; i++) {
		const struct client *c = &m->clients[i];
		int64_t moved = c->opened;

		if (!c->open)
			continue;
		if (c->sent && c->last_sent > moved)
			moved = c->last_sent;
		if (c->received && c->last_received > moved)
			moved = c->last_received;
		if (c->queued || c->unread > 0 || c->unacked > 0 ||
		    p->idle_ms < 0 || m->now - moved < p->idle_ms)
			return false;
		if (!owes(c))
			continue;
		if (!c->sent || c->last_received - c->last_sent >
		    m->rtt + DRAIN_REACTION_MS)
			return false;
		if (c->n_received > c->n_sent &&
		    m->now - moved < p->timeout_ms)
			return false;
	}
	return true;
}

static enum drain_why
history(uint32_t number)
{
	static const int64_t timeouts[] = { 0, 1, 500, 3000, 10000, 20000 };
	static const int64_t idles[] = { -1, 0, 50, 1000, 5000 };
	static const int64_t lingers[] = { 0, 10, 1000 };
	struct model m = {
		.seed = number * 2654435761u + 1, .steered = -1,
	};
	struct drain_policy p = {
		.timeout_ms = timeouts[roll(&m, 6)],
		.idle_ms = idles[roll(&m, 5)],
		.linger_ms = lingers[roll(&m, 3)],
		.may_seal = roll(&m, 2) != 0,
	};
	/* How lively it is, until when; whether the server still answers
	   then; when steering changes; how late looks come. */
	unsigned pace = 1 + roll(&m, 60);
	int64_t lively = roll(&m, 2) * (int64_t)roll(&m, 6000);
	bool works = roll(&m, 4) != 0;
	int64_t steer = roll(&m, 4) == 0 ? (int64_t)roll(&m, 2000) : 0;
	int64_t late = roll(&m, 8) == 0 ? (int64_t)roll(&m, 50) : 0;
	/* So much longer than granted a handshake takes. */
	int64_t longer = roll(&m, 4) == 0 ? (int64_t)roll(&m, 3000) : 0;
	int64_t last_wait = -1, next = 0;
	struct drain_decision decision;
	struct drain d;

	m.half_open_known = roll(&m, 2) != 0;
	m.rtt = roll(&m, 40);
	/* A life before, at a random pace. */
	for (m.now = -8000; m.now < 0; m.now++)
		if (roll(&m, pace) < 3)
			happen(&m);
	drain_begin(&d, at(0));
	for (;; m.now++) {
		struct drain_facts f;

		m.calm = m.now >= lively;
		if ((!m.calm || works) && roll(&m, pace) < 3)
			happen(&m);
		if (m.now == steer) {
			m.steered = m.now;
			m.last_handshake = m.now + longer +
			    (int64_t)roll(&m, (unsigned)p.linger_ms + 1);
			drain_steered(&d, at(m.now));
		}
		if (m.now < next + late)
			continue;
		f = facts_of(&m, &p);
		decision = look(&d, &p, &f, m.now);
		assert_int_equal(decision.took_ms, m.now);
		if (decision.done)
			break;
		/* It always ends, and never looks back or far ahead. */
		assert_true(m.now < p.timeout_ms);
		m.sealed = decision.why == DRAIN_WHY_SEAL;
		assert_true(m.sealed ? p.may_seal &&
		    decision.again.ns == at(m.now).ns :
		    decision.again.ns > at(m.now).ns);
		assert_true(decision.again.ns <=
		    at(m.now + DRAIN_STEP_MAX_MS).ns);
		assert_true(decision.again.ns <= at(p.timeout_ms).ns);
		if (!harmless(&m, &p))
			last_wait = m.now;
		next = mono_ms_between(at(0), decision.again);
	}
	switch (decision.why) {
	case DRAIN_WHY_AT_ONCE:
		assert_int_equal(p.timeout_ms, 0);
		break;
	case DRAIN_WHY_TIMEOUT:
		assert_true(m.now >= p.timeout_ms);
		break;
	default:
		assert_true(decision.why == DRAIN_WHY_EMPTY ||
		    decision.why == DRAIN_WHY_IDLE);
		/* After the linger, when nothing is lost, seen twice. */
		assert_true(m.steered >= 0);
		assert_true(m.now >= m.last_handshake || m.sealed ||
		    (longer > 0 && !p.may_seal));
		if (!m.half_open_known)
			assert_true(m.now >= m.steered + p.linger_ms);
		assert_true(harmless(&m, &p));
		assert_true(m.now >= last_wait + DRAIN_AGREE_MS);
		break;
	}
	return decision.why;
}

static void
random_histories(void **state)
{
	unsigned seen[DRAIN_N_WHYS] = { 0 };

	(void)state;
	for (uint32_t i = 0; i < 3000; i++)
		seen[history(i)]++;
	/* All ends happened, often: it was about something. */
	assert_true(seen[DRAIN_WHY_AT_ONCE] > 100);
	assert_true(seen[DRAIN_WHY_EMPTY] > 100);
	assert_true(seen[DRAIN_WHY_IDLE] > 100);
	assert_true(seen[DRAIN_WHY_TIMEOUT] > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_clients_need_no_time_to_settle),
		cmocka_unit_test(all_are_idle),
		cmocka_unit_test(who_spoke_last),
		cmocka_unit_test(acknowledgement_is_no_request),
		cmocka_unit_test(what_is_under_way_is_busy),
		cmocka_unit_test(flows_are_over_after_a_while),
		cmocka_unit_test(flows_hold_up_a_drain),
		cmocka_unit_test(tally_waits_for_the_last),
		cmocka_unit_test(timeout_of_zero_is_at_once),
		cmocka_unit_test(lingers_for_handshakes),
		cmocka_unit_test(linger_begins_with_the_steering),
		cmocka_unit_test(two_looks_must_agree),
		cmocka_unit_test(sealed_before_the_last_look),
		cmocka_unit_test(ends_as_what_is_open_ends),
		cmocka_unit_test(looks_when_the_last_has_rested),
		cmocka_unit_test(looks_more_and_more_rarely),
		cmocka_unit_test(timeout_at_its_edge),
		cmocka_unit_test(huge_times_do_not_overflow),
		cmocka_unit_test(words),
		cmocka_unit_test(random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
