#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/worker/trial.h"

#define CANARY_MS	1000
#define TIMEOUT_MS	4000

static struct mono
at(int64_t ms)
{
	return mono_add_ms((struct mono){ .ns = 1000000000 }, ms);
}

/* At `ms` after it was ready so many wait, and so many have come before. */
static enum trial_verdict
see(struct trial *t, int64_t ms, uint32_t waiting, uint64_t came)
{
	const struct trial_sight sight = { .waiting = waiting, .came = came };
	const struct trial_terms terms = {
		.canary_ms = CANARY_MS, .ready_timeout_ms = TIMEOUT_MS,
		.since = at(0),
	};

	trial_see(t, 7, &sight, at(ms));
	return trial_decide(t, &terms, at(ms));
}

static void
nobody_comes(void **state)
{
	struct trial t = { .serial = 0 };

	(void)state;
	assert_int_equal(see(&t, 0, 0, 0), TRIAL_NEW);
	assert_int_equal(see(&t, CANARY_MS - 1, 0, 0), TRIAL_NEW);
	assert_int_equal(see(&t, CANARY_MS, 0, 0), TRIAL_PASSED);
	assert_false(t.taken || t.kept);
}

static void
fewer_wait_than_before(void **state)
{
	struct trial t = { .serial = 0 };

	(void)state;
	assert_int_equal(see(&t, 0, 0, 0), TRIAL_NEW);
	assert_int_equal(see(&t, 10, 2, 0), TRIAL_WAITS);
	assert_int_equal(see(&t, 20, 3, 0), TRIAL_WAITS);
	assert_int_equal(see(&t, 30, 2, 0), TRIAL_SERVES);
	/* From then on it may have as many as it likes. */
	assert_int_equal(see(&t, 500, 9, 0), TRIAL_SERVES);
	assert_int_equal(see(&t, CANARY_MS, 9, 0), TRIAL_PASSED);
	assert_int_equal(see(&t, 10 * TIMEOUT_MS, 9, 0), TRIAL_PASSED);
	assert_false(t.kept);
}

/* Where the kernel counts, one that was too fast to be seen is known of. */
static void
more_have_come_than_wait(void **state)
{
	struct trial t = { .serial = 0 };

	(void)state;
	/* Of the one before it, who left 5 behind. */
	assert_int_equal(see(&t, 0, 5, 100), TRIAL_WAITS);
	assert_int_equal(see(&t, 10, 6, 101), TRIAL_WAITS);
	/* One that comes between the two looks waits, and is not counted. */
	assert_int_equal(see(&t, 20, 8, 102), TRIAL_WAITS);
	t = (struct trial){ .serial = 0 };
	assert_int_equal(see(&t, 0, 0, 100), TRIAL_NEW);
	assert_int_equal(see(&t, 10, 0, 101), TRIAL_SERVES);
	t = (struct trial){ .serial = 0 };
	assert_int_equal(see(&t, 0, 0, 100), TRIAL_NEW);
	assert_int_equal(see(&t, 10, 1, 102), TRIAL_SERVES);
}

/* Where it does not, of one that has a client for long, and the next one waits. */
static void
one_with_a_connection_has_taken_it(void **state)
{
	const struct trial_sight sight = { .waiting = 1, .serves = true };
	struct trial t = { .serial = 0 };

	(void)state;
	assert_int_equal(see(&t, 100, 1, 0), TRIAL_WAITS);
	trial_see(&t, 7, &sight, at(120));
	assert_true(t.taken);
	assert_int_equal(see(&t, 100 + TIMEOUT_MS, 1, 0), TRIAL_PASSED);
	assert_false(t.kept);
}

static void
first_one_is_kept_waiting(void **state)
{
	struct trial t = { .serial = 0 };

	(void)state;
	assert_int_equal(see(&t, 100, 1, 0), TRIAL_WAITS);
	assert_int_equal(see(&t, 100 + TRIAL_STALL_MS - 1, 1, 0),
	    TRIAL_WAITS);
	assert_false(t.kept);
	assert_int_equal(see(&t, 100 + TRIAL_STALL_MS, 1, 0), TRIAL_STALLS);
	assert_true(t.kept);
	/* Its time is over, which helps nobody who waits. */
	assert_int_equal(see(&t, CANARY_MS, 1, 0), TRIAL_STALLS);
	assert_int_equal(see(&t, 100 + TIMEOUT_MS - 1, 1, 0), TRIAL_STALLS);
	assert_int_equal(see(&t, 100 + TIMEOUT_MS, 1, 0), TRIAL_FAILS);
	/* At last he is served. */
	assert_int_equal(see(&t, 200 + TIMEOUT_MS, 0, 0), TRIAL_PASSED);
	assert_true(t.kept);
}

static void
another_process_begins_anew(void **state)
{
	const struct trial_sight none = { .waiting = 0 };
	struct trial t = { .serial = 0 };

	(void)state;
	see(&t, 0, 1, 0);
	see(&t, TRIAL_STALL_MS, 1, 0);
	assert_int_equal(see(&t, TRIAL_STALL_MS + 1, 0, 0), TRIAL_SERVES);
	trial_see(&t, 8, &none, at(200));
	assert_false(t.taken || t.waits);
	/* What its like did it may do too. */
	assert_true(t.kept);
}

static void
without_a_canary_there_is_no_trial(void **state)
{
	const struct trial_terms terms = {
		.canary_ms = 0, .ready_timeout_ms = 1, .since = at(0),
	};
	struct trial t = { .serial = 0 };

	(void)state;
	see(&t, 0, 1, 0);
	see(&t, TRIAL_STALL_MS, 1, 0);
	assert_int_equal(trial_decide(&t, &terms, at(TRIAL_STALL_MS)),
	    TRIAL_PASSED);
}

/* Every history of five looks with up to two who wait: whoever was taken was
   seen to be. */
static void
every_short_history(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 243; code++) {
		struct trial t = { .serial = 0 };
		unsigned before = 0, rest = code;
		bool fewer = false;

		for (int i = 0; i < 5; i++, rest /= 3) {
			unsigned now = rest % 3;
			enum trial_verdict v = see(&t, 100 * i, now, 0);

			fewer |= now < before;
			before = now;
			assert_int_equal(t.taken, fewer);
			assert_int_equal(v == TRIAL_SERVES, fewer);
			assert_int_equal(v == TRIAL_NEW, !fewer && now == 0);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_comes),
		cmocka_unit_test(fewer_wait_than_before),
		cmocka_unit_test(more_have_come_than_wait),
		cmocka_unit_test(one_with_a_connection_has_taken_it),
		cmocka_unit_test(first_one_is_kept_waiting),
		cmocka_unit_test(another_process_begins_anew),
		cmocka_unit_test(without_a_canary_there_is_no_trial),
		cmocka_unit_test(every_short_history),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
