/* Which listeners are seen to in a turn: no more than there is time for, those
   with news first, and none is left out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/sockets/lanes_live.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/steer/steer.h"
#include "daemon/steer/steer_watch.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

#define N 20

/* For one of them; a turn has two milliseconds for those with news, and half of
   one for the others. */
#define COST_NS 300000
#define MOST 7
#define FEW 2
#define BUDGET_NS 2000000

/* Linked with --wrap: the time is what the test says, and the kernel is left in
   peace. */
struct mono __wrap_mono_now(void);
bool __wrap_lanes_live_apply(struct listener *l, struct mono now);
struct mono __wrap_steer_watch(const struct workers *workers,
    struct listener *l, struct mono now);

static struct mono now;
static struct loop *loop;
static struct listeners all;
static struct workers workers;
static struct steering st;
static struct lane lanes[N][2];
static struct lane *slots[N][2];
static struct listener listeners[N];
static unsigned visits[N], n_visits;
static unsigned applied;
static struct listener *first_visit, *unsettled, *teller;
static int64_t cost_of_unsettled;
static struct mono watch_until;

struct mono
__wrap_mono_now(void)
{
	return now;
}

bool
__wrap_lanes_live_apply(struct listener *l, struct mono when)
{
	(void)when;
	applied++;
	now.ns += l == unsettled ? cost_of_unsettled : COST_NS;
	return l != unsettled;
}

struct mono
__wrap_steer_watch(const struct workers *w, struct listener *l,
    struct mono when)
{
	(void)w;
	(void)when;
	if (n_visits++ == 0)
		first_visit = l;
	visits[l - listeners]++;
	if (l == teller)
		listener_tell(&listeners[0]);
	return watch_until;
}

static void
forget(void)
{
	memset(visits, 0, sizeof(visits));
	n_visits = applied = 0;
	first_visit = NULL;
}

static int
set_up(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	now = (struct mono){ .ns = 1000000000 };
	watch_until = MONO_NEVER;
	unsettled = teller = NULL;
	cost_of_unsettled = COST_NS;
	forget();
	if (loop_new(&loop, &err) < 0)
		return -1;
	memset(&all, 0, sizeof(all));
	memset(&st, 0, sizeof(st));
	memset(listeners, 0, sizeof(listeners));
	memset(lanes, 0, sizeof(lanes));
	workers.stopping = false;
	workers_init(&workers, loop, NULL, 0);
	for (size_t i = N; i-- > 0; ) {
		struct listener *l = &listeners[i];

		for (size_t k = 0; k < 2; k++) {
			lanes[i][k].listener = l;
			slots[i][k] = &lanes[i][k];
		}
		l->all = &all;
		l->app = (char *)"app";
		l->instance = -1;
		l->lanes.v = slots[i];
		l->lanes.n = 2;
		l->next = all.first;
		all.first = l;
	}
	return steer_init(&st, loop, &all, &workers);
}

static int
tear_down(void **state)
{
	(void)state;
	steer_fini(&st);
	loop_free(loop);
	return 0;
}

/* Until all are seen to; a turn begins with what makes it necessary. */
static unsigned
turns_of(void (*begin)(void))
{
	unsigned n = 0;

	do {
		unsigned before = n_visits;

		loop_turn(loop);
		begin();
		steer_turn_if_due(&st);
		assert_in_range(n_visits - before, 1, MOST + FEW);
		assert_in_range(++n, 1, 2 * N);
		for (size_t i = 0; i < N && visits[i] > 0; i++)
			if (i == N - 1)
				return n;
	} while (st.due);
	return n;
}

static void
nothing(void)
{
}

static void
change(void)
{
	steer_turn(&st);
	/* Nobody sleeps over it. */
	assert_true(st.due);
}

static void
a_turn_has_its_end(void **state)
{
	(void)state;
	steer_turn(&st);
	assert_int_equal(n_visits, FEW);
	assert_int_equal(turns_of(nothing), N / FEW - 1);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(visits[i], 1);
	assert_false(st.due);
	assert_true(mono_is_never(st.look.due));
}

/* There is a change in each turn, and time for a few of them. */
static void
none_is_left_out(void **state)
{
	(void)state;
	steer_turn(&st);
	assert_in_range(turns_of(change), 1, N / FEW);
}

/* Of so many that there is no time for all. */
static void
the_same_have_news(void)
{
	for (size_t i = 0; i < N / 2; i++)
		listener_tell(&listeners[i]);
	steer_turn(&st);
}

static void
no_news_are_always_the_last(void **state)
{
	unsigned n;

	(void)state;
	steer_turn(&st);
	/* Of those whom nothing is heard of there is one in each turn. */
	n = turns_of(the_same_have_news);
	assert_in_range(n, N / 2, N / 2 + FEW);
	for (size_t i = 0; i < N / 2; i++)
		assert_in_range(visits[i], n * MOST / (N / 2),
		    n * MOST / (N / 2) + FEW);
}

/* Whoever waits for those with news is told when there are none left. */
static void
it_is_behind_until_all_news_are_seen_to(void **state)
{
	(void)state;
	assert_false(steer_is_behind(&st));
	steer_turn(&st);
	/* They have none, they may have been overlooked. */
	assert_true(st.due);
	assert_false(steer_is_behind(&st));
	for (size_t i = 0; i < N; i++)
		listener_tell(&listeners[i]);
	for (unsigned left = N; left > MOST; left -= MOST) {
		forget();
		loop_turn(loop);
		steer_turn_if_due(&st);
		assert_true(steer_is_behind(&st));
		assert_in_range(n_visits, MOST, MOST + 1);
	}
	workers.stopping = true;
	assert_false(steer_is_behind(&st));
	workers.stopping = false;
	loop_turn(loop);
	steer_turn_if_due(&st);
	assert_false(steer_is_behind(&st));
}

static void
next_turn(void)
{
	loop_timer_set(loop, &st.look, now);
	loop_turn(loop);
	forget();
}

static void
news_come_first(void **state)
{
	(void)state;
	steer_turn(&st);
	(void)turns_of(nothing);
	next_turn();
	/* Of this one alone, … */
	listener_tell(&listeners[N - 1]);
	assert_true(st.due);
	steer_turn_if_due(&st);
	assert_int_equal(n_visits, 1);
	assert_ptr_equal(first_visit, &listeners[N - 1]);
	assert_false(st.due);
	/* … and before the others. */
	next_turn();
	listener_tell(&listeners[N - 1]);
	steer_turn(&st);
	assert_ptr_equal(first_visit, &listeners[N - 1]);
	assert_int_equal(n_visits, 1 + FEW);
}

/* Of one that has been visited already. */
static void
news_of_a_visit_are_not_lost(void **state)
{
	(void)state;
	steer_turn(&st);
	(void)turns_of(nothing);
	next_turn();
	teller = &listeners[1];
	listener_tell(teller);
	steer_turn_if_due(&st);
	teller = NULL;
	assert_int_equal(visits[0], 0);
	assert_true(st.due);
	loop_turn(loop);
	steer_turn_if_due(&st);
	assert_int_equal(visits[0], 1);
	assert_false(st.due);
}

static void
who_is_to_be_looked_at_again_is(void **state)
{
	(void)state;
	watch_until = mono_add_ms(now, 1000);
	steer_turn(&st);
	(void)turns_of(nothing);
	assert_int_equal(st.look.due.ns, watch_until.ns);
	forget();
	now = watch_until;
	watch_until = MONO_NEVER;
	(void)turns_of(nothing);
	for (size_t i = 0; i < N; i++)
		assert_int_equal(visits[i], 1);
	assert_true(mono_is_never(st.look.due));
}

/* The kernel does not know all of it yet: again, when there is a pause for it. */
static void
what_is_not_settled_comes_again(void **state)
{
	(void)state;
	unsettled = &listeners[7];
	steer_turn(&st);
	(void)turns_of(nothing);
	assert_false(st.due);
	assert_int_equal(st.look.due.ns,
	    listeners[7].attention.settle.ns);
	unsettled = NULL;
	now = mono_add_ms(now, LANES_LIVE_PAUSE_MS);
	forget();
	loop_turn(loop);
	steer_turn_if_due(&st);
	assert_int_equal(n_visits, 1);
	assert_ptr_equal(first_visit, &listeners[7]);
	assert_true(mono_is_never(st.look.due));
}

/* However long it takes: not in each turn, and not before all others. */
static void
what_is_not_settled_waits_for_its_time(void **state)
{
	const struct mono begin = now;

	(void)state;
	unsettled = &listeners[0];
	cost_of_unsettled = 3 * BUDGET_NS;
	steer_turn(&st);
	(void)turns_of(nothing);
	for (size_t i = 1; i < N; i++)
		assert_int_equal(visits[i], 1);
	assert_in_range(visits[0], 1,
	    1 + mono_ms_between(begin, now) / LANES_LIVE_PAUSE_MS);
	if (st.due) {
		loop_turn(loop);
		steer_turn_if_due(&st);
	}
	assert_false(st.due);
	assert_true(mono_before(now, st.look.due));
}

/* Nobody of an app gets anything any more: each listener is seen to once. */
static void
a_crew_has_each_listener_put_in_force_once(void **state)
{
	struct crew crew = { .name = (char *)"app" };
	struct worker of_it[2] = { { .crew = &crew }, { .crew = &crew } };

	(void)state;
	for (size_t i = 0; i < 2; i++)
		lanes[3][i].holder = &of_it[i].holder;
	steer_away_crew(&st, &crew);
	assert_int_equal(applied, 1);
	assert_int_equal(n_visits, 0);
}

/* Of many at a time one counts; in a stop, which sees to no notes, each does, until
   nobody comes any more. */
static void
deaths_in_a_stop_count_each(void **state)
{
	static struct conf_app conf;
	struct app_spec spec = { .conf = &conf };
	struct crew crew = { .name = (char *)"app", .all = &workers };
	struct worker of_it[2] = {
		{ .crew = &crew, .spec = &spec },
		{ .crew = &crew, .spec = &spec },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		lanes[3][i].holder = &of_it[i].holder;
	for (size_t i = 0; i < 2; i++)
		steer_death(&st, &of_it[i]);
	assert_int_equal(applied, 1);
	workers.stopping = true;
	for (size_t i = 0; i < 2; i++)
		steer_death(&st, &of_it[i]);
	assert_int_equal(applied, 3);
	listeners[3].refuses = true;
	for (size_t i = 0; i < 2; i++)
		steer_death(&st, &of_it[i]);
	assert_int_equal(applied, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_turn_has_its_end, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(none_is_left_out, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(no_news_are_always_the_last,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    it_is_behind_until_all_news_are_seen_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deaths_in_a_stop_count_each,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(news_come_first, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(news_of_a_visit_are_not_lost,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    who_is_to_be_looked_at_again_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_not_settled_comes_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_not_settled_waits_for_its_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_crew_has_each_listener_put_in_force_once, set_up,
		    tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
