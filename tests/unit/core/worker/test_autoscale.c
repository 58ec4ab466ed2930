#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/str.h"
#include "core/worker/autoscale.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)

static const struct autoscale_rules usual = {
	.least = 2, .most = 8, .up_ms = SECOND, .down_ms = MINUTE,
};

static struct mono
at(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 0 }, ms);
}

/* An app under load, as time goes by. */
struct world {
	struct autoscale scale;
	struct autoscale_queue queue;
	int64_t ms;
	unsigned wanted;
	unsigned ups, downs;
	enum autoscale_why why;	/* of the last change … */
	int64_t changed;	/* … when it was */
	int64_t next_ms;
};

/* One look: so much of a CPU is asked for, in thousandths, by so many clients at a
   time, of whom a worker takes one. */
static void
look(struct world *w, const struct autoscale_rules *rules, uint64_t load,
    unsigned clients)
{
	uint64_t each = load / w->wanted > 1000 ? 1000 : load / w->wanted;
	struct autoscale_sample sample = {
		.wanted = w->wanted, .settled = true, .measured = w->wanted,
		.cpu = each * w->wanted, .spare = clients < w->wanted,
	};
	struct autoscale_decision d;

	autoscale_queue_note(&w->queue,
	    clients > w->wanted ? clients - w->wanted : 0, at(w->ms));
	sample.queue = w->queue;
	d = autoscale_decide(&w->scale, rules, &sample, at(w->ms));
	w->wanted = (unsigned)((int)w->wanted + d.by);
	w->ups += d.by > 0;
	w->downs += d.by < 0;
	if (d.by != 0) {
		w->why = d.why;
		w->changed = w->ms;
	}
	w->next_ms = d.next_ms;
	assert_in_range(w->wanted, rules->least, rules->most);
	assert_true(d.next_ms > 0);
}

static void
live(struct world *w, const struct autoscale_rules *rules, int64_t ms,
    uint64_t load, unsigned clients)
{
	for (int64_t end = w->ms + ms; w->ms < end; w->ms += w->next_ms)
		look(w, rules, load, clients);
}

static void
grows_when_busy(void **state)
{
	struct world w = { .wanted = 2 };

	(void)state;
	live(&w, &usual, 10 * SECOND, 1500, 0);
	assert_int_equal(w.ups, 0);
	live(&w, &usual, 1000, 1600, 0);
	assert_int_equal(w.ups, 0);
	live(&w, &usual, 400, 1600, 0);
	assert_int_equal(w.wanted, 3);
	assert_int_equal(w.why, AUTOSCALE_BUSY_CPU);
	live(&w, &usual, MINUTE, 1600, 0);
	assert_int_equal(w.wanted, 3);
	live(&w, &usual, MINUTE, 100000, 0);
	assert_int_equal(w.wanted, 8);
	/* Nothing is to be found out any sooner. */
	assert_int_equal(w.next_ms, AUTOSCALE_LOOK_MS);
}

static void
grows_when_connections_wait(void **state)
{
	struct world w = { .wanted = 2 };

	(void)state;
	live(&w, &usual, 800, 0, 3);
	assert_int_equal(w.wanted, 2);
	assert_int_equal(w.next_ms, AUTOSCALE_LOOK_SOON_MS);
	live(&w, &usual, 600, 0, 3);
	assert_int_equal(w.wanted, 3);
	assert_int_equal(w.why, AUTOSCALE_WAITING);
	live(&w, &usual, 10 * SECOND, 0, 3);
	assert_int_equal(w.wanted, 3);
}

/* At every other look somebody does: that is usual. */
static void
nobody_waits_for_long(void **state)
{
	struct world w = { .wanted = 3 };

	(void)state;
	while (w.ms < MINUTE) {
		live(&w, &usual, 1, 700, 4);
		live(&w, &usual, 1, 700, 0);
	}
	assert_int_equal(w.ups, 0);
	live(&w, &usual, 10 * SECOND, 700, 0);
	assert_int_equal(w.downs, 1);
}

static void
who_waits_elsewhere_is_not_helped(void **state)
{
	struct world w = { .wanted = 2 };
	struct autoscale_sample sample = {
		.wanted = 2, .settled = true, .measured = 2, .spare = true,
		.queue = { .waits = true },
	};

	(void)state;
	for (w.ms = 0; w.ms < MINUTE; w.ms += SECOND)
		assert_int_equal(autoscale_decide(&w.scale, &usual, &sample,
		    at(w.ms)).by, 0);
	sample.spare = false;
	assert_int_equal(autoscale_decide(&w.scale, &usual, &sample,
	    at(w.ms)).by, 1);
}

static void
shrinks_when_idle(void **state)
{
	struct world w = { .wanted = 5 };

	(void)state;
	live(&w, &usual, MINUTE, 100, 0);
	assert_int_equal(w.wanted, 5);
	live(&w, &usual, SECOND, 100, 0);
	assert_int_equal(w.wanted, 4);
	assert_int_equal(w.why, AUTOSCALE_IDLE_CPU);
	live(&w, &usual, 10 * MINUTE, 100, 0);
	assert_int_equal(w.wanted, 2);
	assert_int_equal(w.downs, 3);
	/* One less would have been half idle. */
	w = (struct world){ .wanted = 5 };
	live(&w, &usual, 10 * MINUTE, 2000, 0);
	assert_int_equal(w.wanted, 5);
	live(&w, &usual, 10 * MINUTE, 1990, 0);
	assert_int_equal(w.wanted, 4);
}

/* Whatever it is, it comes to rest. */
static void
steady_load_on_cpus(void **state)
{
	(void)state;
	for (uint64_t load = 0; load < 9000; load += 50) {
		struct world w = { .wanted = 2 };

		live(&w, &usual, 20 * MINUTE, load, 0);
		assert_int_equal(w.downs, 0);
		w = (struct world){ .wanted = 8 };
		live(&w, &usual, 20 * MINUTE, load, 0);
		assert_true(w.ups == 0 || w.downs == 0);
	}
}

/* Of blocking workers, each of which waits for a database: nobody knows that they
   all are needed. */
static void
steady_load_that_waits(void **state)
{
	struct world w = { .wanted = 2 };

	(void)state;
	live(&w, &usual, 10 * 60 * MINUTE, 10, 6);
	assert_true(w.wanted == 5 || w.wanted == 6);
	/* After 1, 2, 4 … minutes, and then about once an hour. */
	assert_in_range(w.downs, 6, 18);
	/* The load has gone: the first one takes its time, the others do not. */
	live(&w, &usual, (AUTOSCALE_PATIENCE_MAX + 6) * MINUTE, 10, 0);
	assert_int_equal(w.wanted, 2);
}

static void
load_that_comes_and_goes(void **state)
{
	(void)state;
	for (int64_t s = 5; s <= 600; s += 5) {
		struct world w = { .wanted = 2 };

		while (w.ms < 6 * 60 * MINUTE) {
			live(&w, &usual, s * SECOND, 4500, 0);
			live(&w, &usual, s * SECOND, 0, 0);
		}
		/* 6 CPUs' worth of workers, once; then hardly ever. */
		assert_true(w.ups >= 4);
		if (s <= 60)
			assert_int_equal(w.downs, 0);
		/* Never more often than once in the time. */
		assert_true((int64_t)w.downs * MINUTE <= w.ms / 2);
	}
}

/* It goes away for a little longer than the time: once is enough. */
static void
absence_that_is_a_little_too_long(void **state)
{
	struct world w = { .wanted = 2 };

	(void)state;
	while (w.ms < 6 * 60 * MINUTE) {
		live(&w, &usual, 30 * SECOND, 4500, 0);
		live(&w, &usual, 70 * SECOND, 0, 0);
	}
	assert_int_equal(w.downs, 1);
}

static void
who_starts_is_waited_for(void **state)
{
	struct autoscale s = { .wanted = 0 };
	struct autoscale_sample sample = {
		.wanted = 3, .measured = 3, .cpu = 3000,
		.queue = { .waits = true },
	};
	struct autoscale_decision d;

	(void)state;
	for (int64_t ms = 0; ms < MINUTE; ms += SECOND) {
		d = autoscale_decide(&s, &usual, &sample, at(ms));
		assert_int_equal(d.by, 0);
		assert_int_equal(d.next_ms, AUTOSCALE_LOOK_MS);
	}
	sample.settled = sample.starting = true;
	for (int64_t ms = 0; ms < MINUTE; ms += SECOND) {
		d = autoscale_decide(&s, &usual, &sample, at(ms));
		assert_int_equal(d.by, 0);
		assert_int_equal(d.next_ms, AUTOSCALE_LOOK_MS);
	}
	/* It counts from now. */
	sample.starting = false;
	d = autoscale_decide(&s, &usual, &sample, at(MINUTE));
	assert_int_equal(d.by, 0);
	d = autoscale_decide(&s, &usual, &sample, at(MINUTE + 999));
	assert_int_equal(d.by, 0);
	/* Scaled by hand: anew. */
	sample.wanted = 4;
	d = autoscale_decide(&s, &usual, &sample, at(MINUTE + 1000));
	assert_int_equal(d.by, 0);
	d = autoscale_decide(&s, &usual, &sample, at(MINUTE + 2000));
	assert_int_equal(d.by, 1);
}

/* Who does not come up at all need not be kept. */
static void
one_more_that_fails_goes(void **state)
{
	struct autoscale s = { .wanted = 0 };
	struct autoscale_sample sample = {
		.wanted = 3, .settled = true, .starting = true, .measured = 2,
		.cpu = 1000,
	};

	(void)state;
	for (int64_t ms = 0; ms < 2 * MINUTE; ms += SECOND)
		assert_int_equal(autoscale_decide(&s, &usual, &sample,
		    at(ms)).by, 0);
	sample.cpu = 999;
	for (int64_t ms = 0; ms < MINUTE; ms += SECOND)
		assert_int_equal(autoscale_decide(&s, &usual, &sample,
		    at(2 * MINUTE + ms)).by, 0);
	assert_int_equal(autoscale_decide(&s, &usual, &sample,
	    at(3 * MINUTE)).by, -1);
}

/* It waits for the one that takes its time to come up: who would give that up? */
static void
who_waits_for_one_that_starts(void **state)
{
	struct autoscale s = { .wanted = 0 };
	struct autoscale_sample sample = {
		.wanted = 3, .settled = true, .starting = true, .measured = 2,
		.queue = { .waits = true },
	};

	(void)state;
	for (int64_t ms = 1; ms < 10 * MINUTE; ms += SECOND)
		assert_int_equal(autoscale_decide(&s, &usual, &sample,
		    at(ms)).by, 0);
	sample.queue.waits = false;
	assert_int_equal(autoscale_decide(&s, &usual, &sample,
	    at(10 * MINUTE)).by, 0);
	assert_int_equal(autoscale_decide(&s, &usual, &sample,
	    at(11 * MINUTE)).by, -1);
}

/* After each rollout nothing is known of the new ones at first. Returns when it
   had one less, or 0. */
static int64_t
idle_between_rollouts(unsigned replaced)
{
	struct autoscale s = { .wanted = 0 };
	struct autoscale_sample sample = { .wanted = 5, .cpu = 100 };

	for (int64_t ms = 0; ms < 10 * MINUTE; ms += SECOND) {
		sample.settled = ms % (20 * SECOND) != 0;
		sample.measured = ms % (20 * SECOND) == SECOND ?
		    5 - replaced : 5;
		if (autoscale_decide(&s, &usual, &sample, at(ms)).by < 0)
			return ms;
	}
	return 0;
}

static void
who_is_restarted_again_and_again_is_idle(void **state)
{
	(void)state;
	assert_int_equal(idle_between_rollouts(1), MINUTE + SECOND);
	/* What was reloaded is another app. */
	assert_int_equal(idle_between_rollouts(5), 0);
}

static void
what_is_not_known(void **state)
{
	struct autoscale s = { .wanted = 0 };
	struct autoscale_sample sample = { .wanted = 3, .settled = true };

	(void)state;
	for (int64_t ms = 0; ms < 10 * MINUTE; ms += SECOND)
		assert_int_equal(autoscale_decide(&s, &usual, &sample,
		    at(ms)).by, 0);
}

static void
at_once(void **state)
{
	const struct autoscale_rules rules = { .least = 1, .most = 3 };
	struct world w = { .wanted = 1 };

	(void)state;
	look(&w, &rules, 0, 2);
	assert_int_equal(w.wanted, 2);
	w.ms += SECOND;
	look(&w, &rules, 0, 0);
	assert_int_equal(w.wanted, 1);
}

static void
many_are_looked_at_less_often(void **state)
{
	const struct autoscale_rules rules = {
		.least = 1, .most = 4000, .up_ms = SECOND, .down_ms = MINUTE,
	};
	struct world w = { .wanted = 1000 };

	(void)state;
	look(&w, &rules, 1000000, 2000);
	assert_int_equal(w.next_ms, 1000 * AUTOSCALE_EACH_MS);
}

static void
words(void **state)
{
	static const char *const expected[AUTOSCALE_REASONS] = {
		"connections waited for 1.2s", "workers were busy for 1.2s",
		"workers were idle for 1.2s",
	};
	static const char *const names[AUTOSCALE_REASONS] = {
		"waiting", "busy", "idle",
	};

	(void)state;
	for (int i = 0; i < AUTOSCALE_REASONS; i++) {
		struct autoscale_decision d = {
			.why = (enum autoscale_why)i, .for_ms = 1299,
		};
		struct strbuf sb = STRBUF_INIT;

		autoscale_put_words(&sb, &d);
		assert_string_equal(sb.text, expected[i]);
		strbuf_free(&sb);
		assert_string_equal(autoscale_why_name(d.why), names[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_when_busy),
		cmocka_unit_test(grows_when_connections_wait),
		cmocka_unit_test(nobody_waits_for_long),
		cmocka_unit_test(who_waits_elsewhere_is_not_helped),
		cmocka_unit_test(shrinks_when_idle),
		cmocka_unit_test(steady_load_on_cpus),
		cmocka_unit_test(steady_load_that_waits),
		cmocka_unit_test(load_that_comes_and_goes),
		cmocka_unit_test(absence_that_is_a_little_too_long),
		cmocka_unit_test(who_starts_is_waited_for),
		cmocka_unit_test(one_more_that_fails_goes),
		cmocka_unit_test(who_waits_for_one_that_starts),
		cmocka_unit_test(who_is_restarted_again_and_again_is_idle),
		cmocka_unit_test(what_is_not_known),
		cmocka_unit_test(at_once),
		cmocka_unit_test(many_are_looked_at_less_often),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
