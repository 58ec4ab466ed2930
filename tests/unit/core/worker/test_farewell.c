#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/worker/farewell.h"

/* A connection as looks find it; who has spoken how often, and how long ago. */
static struct drain_conn
conn_of(uint32_t n_received, uint32_t n_sent, int64_t received_ms,
    int64_t sent_ms)
{
	return (struct drain_conn){
		.timed = true, .received = n_received > 0, .sent = n_sent > 0,
		.n_received = n_received, .n_sent = n_sent,
		.received_ms = received_ms, .sent_ms = sent_ms,
	};
}

static struct drain_conn
silence(uint32_t n_received, uint32_t n_sent)
{
	return conn_of(n_received, n_sent, 30, 30);
}

static void
what_is_a_silence(void **state)
{
	struct drain_conn conn = silence(1, 1);

	(void)state;
	assert_true(farewell_is_silent(&conn));
	/* The answer may have come long after the request. */
	conn = conn_of(1, 1, 900, 10);
	assert_true(farewell_is_silent(&conn));
	conn.sent_ms = 9;
	assert_false(farewell_is_silent(&conn));
	conn.sent_ms = 12;
	conn.rtt_ms = 3;
	assert_false(farewell_is_silent(&conn));
	/* A request is being worked on, or not even read. */
	conn = conn_of(2, 1, 20, 40);
	assert_false(farewell_is_silent(&conn));
	conn = silence(1, 1);
	conn.unread = 1;
	assert_false(farewell_is_silent(&conn));
	/* The last answer waits for the client's next request to be acknowledged
	   with it; a long one may not even be written. */
	conn = silence(1, 1);
	conn.unacked = FAREWELL_UNACKED;
	assert_true(farewell_is_silent(&conn));
	conn.unacked++;
	assert_false(farewell_is_silent(&conn));
	/* Nobody knows. */
	conn = silence(1, 1);
	conn.timed = false;
	assert_false(farewell_is_silent(&conn));
	conn = conn_of(1, 0, 30, 30);
	assert_false(farewell_is_silent(&conn));
	conn = conn_of(0, 1, 30, 30);
	assert_false(farewell_is_silent(&conn));
}

static bool
look(struct farewell *f, struct drain_conn conn)
{
	return farewell_look(f, &conn);
}

static void
requests_and_answers_are_learnt(void **state)
{
	struct farewell f = { .ino = 1 };

	(void)state;
	assert_false(look(&f, silence(1, 1)));
	assert_false(look(&f, silence(2, 2)));
	assert_true(look(&f, silence(3, 3)));
	/* Never while something is under way. */
	assert_false(look(&f, conn_of(4, 3, 5, 40)));
	assert_true(look(&f, silence(4, 4)));
}

/* That nothing happens tells nothing. */
static void
one_silence_is_one(void **state)
{
	struct farewell f = { .ino = 1 };

	(void)state;
	for (int i = 0; i < 100; i++)
		assert_false(look(&f, silence(1, 1)));
	assert_false(look(&f, silence(2, 2)));
	for (int i = 0; i < 100; i++)
		assert_false(look(&f, silence(2, 2)));
	assert_true(look(&f, silence(3, 3)));
}

static void
a_server_that_goes_on_by_itself_is_left_alone(void **state)
{
	struct farewell f = { .ino = 1 };

	(void)state;
	assert_false(look(&f, silence(1, 1)));
	assert_false(look(&f, silence(2, 2)));
	/* The answer to the second goes on. */
	assert_false(look(&f, silence(2, 3)));
	for (uint32_t n = 3; n < 50; n++)
		assert_false(look(&f, silence(n, n + 1)));
}

/* Requests that look after look finds being worked on: no silence was seen. */
static void
without_a_silence_nothing_is_learnt(void **state)
{
	struct farewell f = { .ino = 1 };

	(void)state;
	for (uint32_t n = 1; n < 50; n++)
		assert_false(look(&f, conn_of(n + 1, n, 1, 5)));
	assert_false(look(&f, silence(50, 50)));
}

static void
when_it_is_time(void **state)
{
	(void)state;
	assert_false(farewell_is_due(7999, 10000, false));
	assert_true(farewell_is_due(8000, 10000, false));
	assert_false(farewell_is_due(749, 1000, false));
	assert_true(farewell_is_due(750, 1000, false));
	assert_false(farewell_is_due(499, 10000, true));
	assert_true(farewell_is_due(500, 10000, true));
	assert_true(farewell_is_due(100, 400, true));
	assert_false(farewell_is_due(99, 400, true));
}

/* It was not told when it was used, because somebody held that up. */
static void
an_untimed_look_tells_nothing(void **state)
{
	struct farewell f = { .ino = 1 };

	(void)state;
	assert_false(look(&f, silence(1, 1)));
	for (int i = 0; i < 5; i++)
		assert_false(look(&f, (struct drain_conn){ .unread = 0 }));
	assert_false(look(&f, silence(1, 1)));
	assert_false(look(&f, silence(2, 2)));
	assert_true(look(&f, silence(3, 3)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_untimed_look_tells_nothing),
		cmocka_unit_test(what_is_a_silence),
		cmocka_unit_test(requests_and_answers_are_learnt),
		cmocka_unit_test(one_silence_is_one),
		cmocka_unit_test(a_server_that_goes_on_by_itself_is_left_alone),
		cmocka_unit_test(without_a_silence_nothing_is_learnt),
		cmocka_unit_test(when_it_is_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
