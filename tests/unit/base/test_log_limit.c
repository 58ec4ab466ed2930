/* Which lines of the log are too many. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log_limit.h"

static const char a[] = "a %d", b[] = "b";
static unsigned long told;
static unsigned times;

static void
tell(const struct log_limit_kind *kind)
{
	assert_true(kind->left_out > 0);
	told += kind->left_out;
	times++;
}

static struct mono
at(int64_t ms)
{
	return (struct mono){ .ns = (1000 + ms) * 1000000 };
}

static unsigned
pass(struct log_limit *l, const char *app, const char *fmt, int64_t ms,
    unsigned n)
{
	struct log_limit_kind *kind;
	unsigned passed = 0;

	for (unsigned i = 0; i < n; i++)
		passed += log_limit_pass(l, app, fmt, false, at(ms), tell,
		    &kind);
	return passed;
}

static int
setup(void **state)
{
	(void)state;
	told = times = 0;
	return 0;
}

static void
twenty_a_second(void **state)
{
	struct log_limit l = { 0 };

	(void)state;
	assert_true(mono_is_never(log_limit_due(&l)));
	assert_int_equal(pass(&l, "web", a, 0, 20), 20);
	assert_true(mono_is_never(log_limit_due(&l)));
	assert_int_equal(pass(&l, "web", a, 999, 1000), 0);
	assert_int_equal(log_limit_due(&l).ns, at(1000).ns);
	assert_int_equal(told, 0);
	assert_int_equal(pass(&l, "web", a, 1000, 30), 20);
	assert_int_equal(told, 1000);
	log_limit_tell(&l, at(1999), tell);
	assert_int_equal(told, 1000);
	log_limit_tell(&l, at(2000), tell);
	assert_int_equal(told, 1010);
	assert_int_equal(times, 2);
	assert_true(mono_is_never(log_limit_due(&l)));
	log_limit_tell(&l, MONO_NEVER, tell);
	assert_int_equal(times, 2);
}

static void
each_app_and_kind(void **state)
{
	struct log_limit l = { 0 };

	(void)state;
	assert_int_equal(pass(&l, "web", a, 0, 25), 20);
	assert_int_equal(pass(&l, "web", b, 0, 25), 20);
	assert_int_equal(pass(&l, "webs", a, 0, 25), 20);
	assert_int_equal(pass(&l, NULL, a, 0, 25), 20);
	assert_int_equal(pass(&l, "web", a, 0, 25), 0);
	log_limit_tell(&l, MONO_NEVER, tell);
	assert_int_equal(told, 4 * 5 + 25);
	assert_int_equal(times, 4);
}

/* So many apps say something in turn. */
static unsigned
pass_apps(struct log_limit *l, unsigned from, unsigned n, int64_t ms,
    unsigned each)
{
	unsigned passed = 0;
	char app[16];

	for (unsigned i = from; i < from + n; i++) {
		snprintf(app, sizeof(app), "app%u", i);
		passed += pass(l, app, a, ms, each);
	}
	return passed;
}

/* Nothing that was counted is forgotten. */
static void
room_is_made(void **state)
{
	const unsigned n = LOG_LIMIT_KINDS;
	struct log_limit l = { 0 };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(pass_apps(&l, i * n, n, i * 1000, 30), 20 * n);
	log_limit_tell(&l, MONO_NEVER, tell);
	assert_int_equal(told, 3 * 10 * n);
}

/* No room is made within a second: what is too much together counts as one. */
static void
others_are_one(void **state)
{
	const unsigned n = 2 * LOG_LIMIT_KINDS;
	struct log_limit l = { 0 };
	unsigned passed = 0;

	(void)state;
	for (int64_t ms = 0; ms < 1000; ms += 10)
		passed += pass_apps(&l, 0, n, ms, 1);
	assert_int_equal(passed, 20 * (LOG_LIMIT_KINDS + 1));
	assert_int_equal(log_limit_due(&l).ns, at(1000).ns);
	log_limit_tell(&l, at(1000), tell);
	assert_int_equal(told, 100 * n - passed);
	assert_int_equal(times, LOG_LIMIT_KINDS + 1);
	assert_int_equal(pass_apps(&l, n, LOG_LIMIT_KINDS + 20, 1000, 1),
	    LOG_LIMIT_KINDS + 20);
	assert_int_equal(pass_apps(&l, 3 * n, 1, 1000, 1), 0);
	log_limit_tell(&l, MONO_NEVER, tell);
	assert_int_equal(told, 100 * n - passed + 1);
}

/* One of each of so many apps; returns how many were left out. */
static unsigned
pass_vital(struct log_limit *l, unsigned n)
{
	struct log_limit_kind *kind;
	unsigned left_out = 0;
	char app[16];

	for (unsigned i = 0; i < n; i++) {
		snprintf(app, sizeof(app), "app%u", i);
		left_out += !log_limit_pass(l, app, b, true, at(0), tell,
		    &kind);
	}
	return left_out;
}

/* However much is said: of each app the first ones are told. */
static void
what_is_vital_is_not_left_out_for_others(void **state)
{
	struct log_limit l = { 0 };
	struct log_limit_kind *kind;

	(void)state;
	(void)pass_apps(&l, 0, 2 * LOG_LIMIT_KINDS, 0, 30);
	assert_int_equal(pass_vital(&l, 2 * LOG_LIMIT_VITAL), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(log_limit_pass(&l, "web", b, true, at(1), tell,
		    &kind));
	log_limit_tell(&l, MONO_NEVER, tell);
	told = 0;
	/* With a place of its own it is one like the others. */
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(log_limit_pass(&l, "web", b, true, at(1000),
		    tell, &kind), i < 20);
	log_limit_tell(&l, MONO_NEVER, tell);
	assert_int_equal(told, 10);
}

/* … nor are others, for what is. */
static void
nor_is_another_one_for_what_is_vital(void **state)
{
	struct log_limit l = { 0 };
	struct log_limit_kind *kind;

	(void)state;
	assert_int_equal(pass_vital(&l, LOG_LIMIT_VITAL + 100), 0);
	assert_int_equal(pass_apps(&l, 0, 100, 1, 1), 100);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(log_limit_pass(&l, "app0", b, true, at(1),
		    tell, &kind), i < 19);
	assert_int_equal(log_limit_due(&l).ns, at(1000).ns);
	log_limit_tell(&l, at(1000), tell);
	assert_int_equal(told, 11);
}

/* So many kinds, one after the other, each in each of `rounds`; which `ms` is. */
static unsigned
pass_kinds(struct log_limit *l, const char *app, unsigned n, unsigned rounds,
    int64_t ms)
{
	static const char kinds[LOG_LIMIT_VITAL];
	struct log_limit_kind *kind;
	unsigned passed = 0;

	for (unsigned i = 0; i < n * rounds; i++)
		passed += log_limit_pass(l, app, &kinds[i % n], true, at(ms),
		    tell, &kind);
	return passed;
}

/* An app that dies in ever other ways, in a second and in the next one, where its
   places are still there. */
static void
kinds_are_not_made_up(void **state)
{
	const unsigned n = LOG_LIMIT_APP_KINDS;
	struct log_limit l = { 0 };

	(void)state;
	assert_int_equal(pass_kinds(&l, "web", n, 30, 0), 20 * n);
	assert_int_equal(pass_kinds(&l, "web", n + 2, 1, 1), 2);
	assert_int_equal(pass_kinds(&l, "api", 3, 30, 1), 3 * 20);
	for (int64_t s = 1; s < 4; s++)
		assert_int_equal(pass_kinds(&l, "web", LOG_LIMIT_VITAL, 30,
		    s * 1000 + 500), 20 * (n + 1));
	/* What clusterd has of its own is as it is. */
	assert_int_equal(pass_kinds(&l, NULL, 2 * n, 30, 5000), 20 * 2 * n);
	told = 0;
	log_limit_tell(&l, MONO_NEVER, tell);
	assert_true(told > 0);
}

/* In one second: all places are had by apps that make up kinds, and the last app has
   one, with which it has to do. */
static void
an_app_for_which_there_is_no_other_place_does_with_its_own(void **state)
{
	const unsigned each = LOG_LIMIT_APP_KINDS + 1;
	struct log_limit l = { 0 };
	char app[16];

	(void)state;
	for (unsigned i = 0; i < LOG_LIMIT_VITAL / each; i++) {
		snprintf(app, sizeof(app), "app%u", i);
		assert_int_equal(pass_kinds(&l, app, 2 * each, 30, i), 20 * each);
	}
	assert_int_equal(pass_kinds(&l, "web", 2 * each, 30, 100),
	    20 * (LOG_LIMIT_VITAL % each));
	/* Of whom nothing was told yet. */
	assert_int_equal(pass_kinds(&l, "api", 1, 30, 101), 30);
}

static void
long_name(void **state)
{
	struct log_limit l = { 0 };
	char app[33];

	(void)state;
	memset(app, 'x', 32);
	app[32] = '\0';
	assert_int_equal(pass(&l, app, a, 0, 30), 20);
	assert_int_equal(pass(&l, app, a, 1, 30), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(twenty_a_second, setup),
		cmocka_unit_test_setup(each_app_and_kind, setup),
		cmocka_unit_test_setup(room_is_made, setup),
		cmocka_unit_test_setup(others_are_one, setup),
		cmocka_unit_test_setup(
		    what_is_vital_is_not_left_out_for_others, setup),
		cmocka_unit_test_setup(nor_is_another_one_for_what_is_vital,
		    setup),
		cmocka_unit_test_setup(kinds_are_not_made_up, setup),
		cmocka_unit_test_setup(
		    an_app_for_which_there_is_no_other_place_does_with_its_own,
		    setup),
		cmocka_unit_test_setup(long_name, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
