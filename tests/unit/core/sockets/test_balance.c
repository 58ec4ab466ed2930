#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "core/sockets/balance.h"

static const enum conf_balance all_asked[] = {
	CONF_BALANCE_AUTO, CONF_BALANCE_SHARED, CONF_BALANCE_ROUND_ROBIN,
	CONF_BALANCE_LEAST_CONNECTIONS, CONF_BALANCE_RANDOM,
	CONF_BALANCE_SOURCE,
};
#define N_ASKED	(sizeof(all_asked) / sizeof(all_asked[0]))

static const enum balance_accepts all_accepts[] = {
	BALANCE_ACCEPTS_UNKNOWN, BALANCE_ACCEPTS_BLOCKING,
	BALANCE_ACCEPTS_AT_ONCE,
};
#define N_ACCEPTS (sizeof(all_accepts) / sizeof(all_accepts[0]))

/* Whatever the machine can do and the program was seen to do. */
static void
expect_always(enum conf_balance asked, enum address_kind kind,
    enum balance expected)
{
	for (size_t i = 0; i < N_ACCEPTS; i++) {
		assert_int_equal(balance_choose(asked, kind, false,
		    all_accepts[i]), expected);
		assert_int_equal(balance_choose(asked, kind, true,
		    all_accepts[i]), expected);
	}
}

static void
what_is_asked_for_is_had_over_tcp(void **state)
{
	(void)state;
	expect_always(CONF_BALANCE_SHARED, ADDRESS_TCP, BALANCE_SHARED);
	expect_always(CONF_BALANCE_ROUND_ROBIN, ADDRESS_TCP,
	    BALANCE_ROUND_ROBIN);
	expect_always(CONF_BALANCE_LEAST_CONNECTIONS, ADDRESS_TCP,
	    BALANCE_LEAST_CONNECTIONS);
	expect_always(CONF_BALANCE_RANDOM, ADDRESS_TCP, BALANCE_RANDOM);
	expect_always(CONF_BALANCE_SOURCE, ADDRESS_TCP, BALANCE_SOURCE);
}

static void
auto_counts_where_it_may(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ACCEPTS; i++)
		assert_int_equal(balance_choose(CONF_BALANCE_AUTO, ADDRESS_TCP,
		    true, all_accepts[i]), BALANCE_LEAST_CONNECTIONS);
}

static void
auto_shares_where_a_busy_worker_would_hold_clients_up(void **state)
{
	(void)state;
	assert_int_equal(balance_choose(CONF_BALANCE_AUTO, ADDRESS_TCP, false,
	    BALANCE_ACCEPTS_BLOCKING), BALANCE_SHARED);
	assert_int_equal(balance_choose(CONF_BALANCE_AUTO, ADDRESS_TCP, false,
	    BALANCE_ACCEPTS_AT_ONCE), BALANCE_RANDOM);
	assert_int_equal(balance_choose(CONF_BALANCE_AUTO, ADDRESS_TCP, false,
	    BALANCE_ACCEPTS_UNKNOWN), BALANCE_RANDOM);
}

static void
unix_listeners_are_shared(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ASKED; i++)
		expect_always(all_asked[i], ADDRESS_UNIX, BALANCE_SHARED);
}

/* All that a datagram tells is where it comes from. */
static void
datagrams_go_by_flow(void **state)
{
	(void)state;
	expect_always(CONF_BALANCE_AUTO, ADDRESS_UDP, BALANCE_FLOW);
	expect_always(CONF_BALANCE_ROUND_ROBIN, ADDRESS_UDP, BALANCE_FLOW);
	expect_always(CONF_BALANCE_LEAST_CONNECTIONS, ADDRESS_UDP,
	    BALANCE_FLOW);
	expect_always(CONF_BALANCE_RANDOM, ADDRESS_UDP, BALANCE_FLOW);
	expect_always(CONF_BALANCE_SOURCE, ADDRESS_UDP, BALANCE_SOURCE);
	expect_always(CONF_BALANCE_SHARED, ADDRESS_UDP, BALANCE_SHARED);
}

static bool
is_open(enum conf_balance balance, enum conf_handoff handoff, bool can_count,
    enum balance_accepts accepts)
{
	const struct conf_app app = {
		.balance = balance, .handoff = handoff,
	};

	return balance_is_open(&app, can_count, accepts);
}

static void
only_auto_without_privilege_waits_for_the_program(void **state)
{
	(void)state;
	assert_true(is_open(CONF_BALANCE_AUTO, CONF_HANDOFF_AUTO, false,
	    BALANCE_ACCEPTS_UNKNOWN));
	assert_true(is_open(CONF_BALANCE_AUTO, CONF_HANDOFF_ADOPT, false,
	    BALANCE_ACCEPTS_UNKNOWN));
	/* It never binds by itself. */
	assert_false(is_open(CONF_BALANCE_AUTO, CONF_HANDOFF_ENV, false,
	    BALANCE_ACCEPTS_UNKNOWN));
	assert_false(is_open(CONF_BALANCE_AUTO, CONF_HANDOFF_AUTO, true,
	    BALANCE_ACCEPTS_UNKNOWN));
	assert_false(is_open(CONF_BALANCE_AUTO, CONF_HANDOFF_AUTO, false,
	    BALANCE_ACCEPTS_BLOCKING));
	assert_false(is_open(CONF_BALANCE_AUTO, CONF_HANDOFF_AUTO, false,
	    BALANCE_ACCEPTS_AT_ONCE));
	for (size_t i = 0; i < N_ASKED; i++)
		if (all_asked[i] != CONF_BALANCE_AUTO)
			assert_false(is_open(all_asked[i], CONF_HANDOFF_AUTO,
			    false, BALANCE_ACCEPTS_UNKNOWN));
}

/* Whatever is not open comes to the same, whatever is learnt later. */
static void
what_is_decided_stays(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ASKED; i++) {
		for (int can = 0; can < 2; can++) {
			if (is_open(all_asked[i], CONF_HANDOFF_AUTO, can,
			    BALANCE_ACCEPTS_UNKNOWN))
				continue;
			for (size_t k = 0; k < N_ACCEPTS; k++)
				assert_int_equal(
				    balance_choose(all_asked[i], ADDRESS_TCP,
				    can, all_accepts[k]),
				    balance_choose(all_asked[i], ADDRESS_TCP,
				    can, BALANCE_ACCEPTS_UNKNOWN));
		}
	}
}

static void
two_need_privileges(void **state)
{
	(void)state;
	assert_true(balance_is_privileged(BALANCE_ROUND_ROBIN));
	assert_true(balance_is_privileged(BALANCE_LEAST_CONNECTIONS));
	assert_false(balance_is_privileged(BALANCE_SHARED));
	assert_false(balance_is_privileged(BALANCE_RANDOM));
	assert_false(balance_is_privileged(BALANCE_SOURCE));
	assert_false(balance_is_privileged(BALANCE_FLOW));
}

/* Without privileges, `auto` needs none. */
static void
auto_can_always_be_had(void **state)
{
	static const enum address_kind kinds[] = {
		ADDRESS_TCP, ADDRESS_UDP, ADDRESS_UNIX,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (size_t k = 0; k < N_ACCEPTS; k++)
			assert_false(balance_is_privileged(balance_choose(
			    CONF_BALANCE_AUTO, kinds[i], false,
			    all_accepts[k])));
}

static void
names(void **state)
{
	(void)state;
	assert_string_equal(balance_name(BALANCE_SHARED), "shared");
	assert_string_equal(balance_name(BALANCE_ROUND_ROBIN), "round-robin");
	assert_string_equal(balance_name(BALANCE_LEAST_CONNECTIONS),
	    "least-connections");
	assert_string_equal(balance_name(BALANCE_RANDOM), "random");
	assert_string_equal(balance_name(BALANCE_SOURCE), "source");
	assert_string_equal(balance_name(BALANCE_FLOW), "flow");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_asked_for_is_had_over_tcp),
		cmocka_unit_test(auto_counts_where_it_may),
		cmocka_unit_test(
		    auto_shares_where_a_busy_worker_would_hold_clients_up),
		cmocka_unit_test(unix_listeners_are_shared),
		cmocka_unit_test(datagrams_go_by_flow),
		cmocka_unit_test(
		    only_auto_without_privilege_waits_for_the_program),
		cmocka_unit_test(what_is_decided_stays),
		cmocka_unit_test(two_need_privileges),
		cmocka_unit_test(auto_can_always_be_had),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
