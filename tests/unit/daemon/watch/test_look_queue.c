#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/watch/look_queue.h"

/* Linked with --wrap: the time is what the test says. */
struct mono __wrap_mono_now(void);

static struct mono now = { .ns = 1000000000 };
static unsigned looks;
static struct look_queue q;
static struct loop *loop;

struct mono
__wrap_mono_now(void)
{
	return now;
}

static void
look(void *ctx)
{
	struct look_entry *first;

	assert_ptr_equal(ctx, &q);
	looks++;
	first = look_queue_first(&q);
	if (first != NULL && !mono_before(now, first->due))
		first->due = MONO_NEVER;
	first = look_queue_first(&q);
	look_queue_wake(&q, first != NULL ? first->due : MONO_NEVER);
}

static int
set_up(void **state)
{
	(void)state;
	looks = 0;
	return loop_new(&loop, NULL) == 0 &&
	    look_queue_init(&q, loop, look, &q) == 0 ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	look_queue_fini(&q);
	loop_free(loop);
	return 0;
}

static void
turn_at(int64_t ms)
{
	now.ns += ms * 1000000;
	loop_turn(loop);
}

static void
whoever_is_due_first_is_looked_at_first(void **state)
{
	struct look_entry a, b;

	(void)state;
	look_queue_add(&q, &a);
	look_queue_add(&q, &b);
	assert_null(look_queue_first(&q));
	look_queue_set(&q, &a, now, 20);
	look_queue_set(&q, &b, now, 10);
	assert_ptr_equal(look_queue_first(&q), &b);
	turn_at(10);
	assert_int_equal(looks, 1);
	assert_ptr_equal(look_queue_first(&q), &a);
	turn_at(10);
	assert_int_equal(looks, 2);
	assert_null(look_queue_first(&q));
	assert_true(mono_is_never(q.timer.due));
	look_queue_remove(&q, &a);
	look_queue_remove(&q, &b);
}

static void
a_later_one_does_not_put_the_timer_off(void **state)
{
	struct look_entry a, b;

	(void)state;
	look_queue_add(&q, &a);
	look_queue_add(&q, &b);
	look_queue_set(&q, &a, now, 5);
	look_queue_set(&q, &b, now, 50);
	turn_at(5);
	assert_int_equal(looks, 1);
	look_queue_remove(&q, &b);
	look_queue_remove(&q, &a);
}

static void
one_that_is_not_listed_may_be_removed(void **state)
{
	struct look_entry a = { .listed = false };

	(void)state;
	look_queue_remove(&q, &a);
	look_queue_add(&q, &a);
	assert_true(a.listed);
	look_queue_remove(&q, &a);
	assert_false(a.listed);
	look_queue_remove(&q, &a);
	assert_true(TAILQ_EMPTY(&q.entries));
}

static void
one_that_was_looked_at_comes_behind(void **state)
{
	struct look_entry a, b;

	(void)state;
	look_queue_add(&q, &a);
	look_queue_add(&q, &b);
	look_queue_set(&q, &a, now, 5);
	look_queue_set(&q, &b, now, 5);
	assert_ptr_equal(look_queue_first(&q), &a);
	look_queue_rotate(&q, &a);
	assert_ptr_equal(look_queue_first(&q), &b);
	look_queue_remove(&q, &a);
	look_queue_remove(&q, &b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    whoever_is_due_first_is_looked_at_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_later_one_does_not_put_the_timer_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    one_that_is_not_listed_may_be_removed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    one_that_was_looked_at_comes_behind, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
