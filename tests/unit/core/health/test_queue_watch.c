#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/health/queue_watch.h"

#define TIMEOUT_MS 5000

static struct queue_watch w;

static int
setup(void **state)
{
	(void)state;
	w = (struct queue_watch){ .known = false };
	return 0;
}

static enum queue_news
see(int64_t ms, uint32_t waiting)
{
	const struct queue_sight sight = { .waiting = waiting };

	return queue_watch_see(&w, &sight, TIMEOUT_MS,
	    (struct mono){ .ns = ms * 1000000 });
}

static enum queue_news
see_counted(int64_t ms, uint32_t waiting, uint64_t came)
{
	const struct queue_sight sight = {
		.waiting = waiting, .counted = true, .came = came,
	};

	return queue_watch_see(&w, &sight, TIMEOUT_MS,
	    (struct mono){ .ns = ms * 1000000 });
}

static enum queue_news
see_moved(int64_t ms, uint32_t waiting, unsigned moves)
{
	const struct queue_sight sight = {
		.waiting = waiting, .moves = moves,
	};

	return queue_watch_see(&w, &sight, TIMEOUT_MS,
	    (struct mono){ .ns = ms * 1000000 });
}

static void
an_empty_queue_is_well(void **state)
{
	(void)state;
	assert_int_equal(see(0, 0), QUEUE_TAKES);
	assert_int_equal(see(100000, 0), QUEUE_TAKES);
}

static void
nobody_is_accepted(void **state)
{
	(void)state;
	/* However many come: none has gone. */
	assert_int_equal(see(1000, 1), QUEUE_WAITS);
	assert_int_equal(see(3000, 2), QUEUE_WAITS);
	assert_int_equal(see(5999, 2), QUEUE_WAITS);
	assert_int_equal(see(6000, 3), QUEUE_HANGS);
	/* One failure in each time-out. */
	assert_int_equal(see(6500, 3), QUEUE_WAITS);
	assert_int_equal(see(11000, 3), QUEUE_HANGS);
	assert_int_equal(see(11500, 2), QUEUE_TAKES);
	assert_int_equal(see(16000, 2), QUEUE_WAITS);
	assert_int_equal(see(16500, 2), QUEUE_HANGS);
	assert_int_equal(see(16501, 0), QUEUE_TAKES);
}

/* A supervisor that gets no CPU time, or was stopped. */
static void
what_was_out_of_sight(void **state)
{
	(void)state;
	assert_int_equal(see(0, 1), QUEUE_WAITS);
	assert_int_equal(see(5001, 1), QUEUE_WAITS);
	assert_int_equal(see(10000, 1), QUEUE_WAITS);
	assert_int_equal(see(10001, 1), QUEUE_HANGS);
	/* A count tells all the same. */
	assert_int_equal(see_counted(20000, 1, 10), QUEUE_WAITS);
	assert_int_equal(see_counted(30000, 1, 10), QUEUE_HANGS);
	assert_int_equal(see_counted(40000, 1, 11), QUEUE_TAKES);
}

static void
those_who_are_counted(void **state)
{
	(void)state;
	/* A full queue, as long as ever, of which one is taken each time. */
	assert_int_equal(see_counted(0, 100, 1000), QUEUE_WAITS);
	for (int i = 1; i <= 20; i++)
		assert_int_equal(see_counted(i * 1000, 100,
		    1000 + (unsigned)i), QUEUE_TAKES);
	/* None is, although it has become shorter. */
	assert_int_equal(see_counted(22000, 100, 1020), QUEUE_WAITS);
	assert_int_equal(see_counted(25000, 101, 1021), QUEUE_HANGS);
	/* The count begins anew: nothing can be told by it. */
	assert_int_equal(see_counted(26000, 100, 0), QUEUE_WAITS);
	assert_int_equal(see_counted(27000, 100, 101), QUEUE_TAKES);
	/* It is not known for a while. */
	assert_int_equal(see(28000, 100), QUEUE_WAITS);
	assert_int_equal(see(29000, 99), QUEUE_TAKES);
}

static void
those_who_were_moved_were_not_accepted(void **state)
{
	(void)state;
	assert_int_equal(see_moved(0, 3, 7), QUEUE_WAITS);
	assert_int_equal(see_moved(5000, 3, 7), QUEUE_HANGS);
	assert_int_equal(see_moved(5100, 0, 8), QUEUE_EMPTIED);
	/* Somebody has come after that, and is served. */
	assert_int_equal(see_moved(6000, 0, 8), QUEUE_TAKES);
	assert_int_equal(see_moved(7000, 2, 8), QUEUE_WAITS);
	assert_int_equal(see_moved(11000, 1, 9), QUEUE_WAITS);
	assert_int_equal(see_moved(15999, 1, 9), QUEUE_WAITS);
	assert_int_equal(see_moved(16000, 1, 9), QUEUE_HANGS);
}

static void
pauses(void **state)
{
	(void)state;
	assert_int_equal(queue_watch_pause_ms(10), 5);
	assert_int_equal(queue_watch_pause_ms(800), 100);
	assert_int_equal(queue_watch_pause_ms(5000), 500);
	assert_int_equal(queue_watch_pause_ms(INT64_C(3600000)), 500);
}

static void
words(void **state)
{
	struct verdict v;

	(void)state;
	queue_watch_say(1, 5000, &v);
	assert_int_equal(v.kind, VERDICT_BAD);
	assert_string_equal(v.words, "1 connection waits, and none was "
	    "accepted in 5s");
	queue_watch_say(12, 250, &v);
	assert_string_equal(v.words, "12 connections wait, and none was "
	    "accepted in 250ms");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_queue_is_well, setup),
		cmocka_unit_test_setup(nobody_is_accepted, setup),
		cmocka_unit_test_setup(what_was_out_of_sight, setup),
		cmocka_unit_test_setup(those_who_are_counted, setup),
		cmocka_unit_test_setup(those_who_were_moved_were_not_accepted,
		    setup),
		cmocka_unit_test(pauses),
		cmocka_unit_test(words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
