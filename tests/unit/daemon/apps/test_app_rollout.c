/* From one configuration to the next, with workers that are no processes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_rollout_step_priv.h"
#include "daemon/apps/apps.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"

#include "fake_workers.h"

static struct worker *
present(struct app *app, unsigned i)
{
	assert_in_range(i, 0, app->n_seats - 1);
	return app->seats[i].present;
}

static struct worker *
next(struct app *app, unsigned i)
{
	assert_in_range(i, 0, app->n_seats - 1);
	return app->seats[i].next;
}

/* An app whose instances all serve. */
static struct app *
serving(const char *text)
{
	struct app *app = fake_add(text);

	fake_all_ready(app);
	assert_true(app->came_up);
	return app;
}

/* Every seat has a ready worker of this generation, and that is in force. */
static void
expect_all_of(struct app *app, unsigned n, unsigned generation)
{
	assert_null(app->crew.target);
	assert_int_equal(app->rollout.kind, ROLLOUT_NONE);
	assert_int_equal(app->crew.stable->generation, generation);
	assert_true(app->crew.stable->in_force);
	assert_int_equal(app->crew.wanted, n);
	assert_int_equal(app->n_seats, n);
	assert_int_equal(app_ready_count(app), n);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(present(app, i)->spec->generation,
		    generation);
		assert_true(present(app, i)->seated && present(app, i)->present);
		assert_null(next(app, i));
	}
}

/* The new worker of a seat comes up, and the old one goes. */
static void
change_over(struct app *app, unsigned i)
{
	fake_ready(next(app, i));
	assert_null(next(app, i));
	fake_retired_go(app);
}

static void
a_reload_goes_seat_by_seat(void **state)
{
	struct app *app = serving(WEB "instances = 3\n");
	struct worker *old;

	(void)state;
	expect_told("start 0/1, start 1/1, start 2/1");
	fake_roll(app, WEB "instances = 3\n");
	expect_told("start 0/2");
	assert_false(app->crew.target->in_force);
	assert_false(apps_have_come_up(&fake.apps));
	old = present(app, 0);

	/* Executed is not ready. */
	assert_ptr_equal(present(app, 0), old);
	assert_int_equal(app_ready_count(app), 3);
	fake_ready(next(app, 0));
	expect_told("retire 0/1");
	assert_int_equal(app_ready_count(app), 3);
	assert_false(old->seated);
	assert_true(app_retires(app));

	/* The next one comes when the old one has made room. */
	fake_pass(100);
	expect_told("");
	fake_retired_go(app);
	expect_told("start 1/2");
	change_over(app, 1);
	expect_told("retire 1/1, start 2/2");
	assert_null(app->reload_error);
	assert_int_equal(app->reloads_ok, 0);

	/* Nobody waits for the last old one. */
	fake_ready(next(app, 2));
	expect_told("retire 2/1");
	expect_all_of(app, 3, 2);
	assert_int_equal(app->reloads_ok, 1);
	assert_true(apps_have_come_up(&fake.apps));
	fake_retired_go(app);
	assert_int_equal(fake.n_workers, 3);
	expect_told("");
}

/* Of 16 seats one may leave beside, if it has nothing left to finish; the app is
   touched when that is found. */
static void
who_leaves_with_nothing_left_makes_room(void **state)
{
	struct app *app = serving(WEB "instances = 16\n");
	struct worker *old[2];

	(void)state;
	fake_forget();
	fake_roll(app, WEB "instances = 16\n");
	expect_told("start 0/2");
	for (unsigned i = 0; i < 2; i++)
		old[i] = present(app, i);
	fake_ready(next(app, 0));
	expect_told("retire 0/1");
	old[0]->finished = true;
	apps_worker_finished(old[0]);
	assert_true(fake.apps.dirty);
	fake_turn();
	expect_told("start 1/2");
	/* Two are one too many. */
	fake_ready(next(app, 1));
	expect_told("retire 1/1");
	old[1]->finished = true;
	apps_worker_finished(old[1]);
	fake_turn();
	expect_told("");
	fake_retired_go(app);
	expect_told("start 2/2");
	for (unsigned i = 2; i < 16; i++)
		change_over(app, i);
	fake_forget();
	expect_all_of(app, 16, 2);
	/* Without a rollout nobody waits. */
	apps_worker_finished(present(app, 0));
	assert_false(fake.apps.dirty);
}

/* Where the last one had nothing left, the next ones begin beside each other, until
   one has. */
static void
several_begin_where_nothing_is_left(void **state)
{
	struct app *app = serving(WEB "instances = 32\n");
	const struct worker_step drains = {
		.from = WORKER_READY, .to = WORKER_DRAINING,
	}, away = {
		.from = WORKER_DRAINING, .to = WORKER_STOPPING,
	};
	struct worker *old[2];

	(void)state;
	fake_forget();
	fake_roll(app, WEB "instances = 32\n");
	expect_told("start 0/2");
	old[0] = present(app, 0);
	old[1] = present(app, 1);
	fake_ready(next(app, 0));
	expect_told("retire 0/1");
	app_rollout_note_step(old[0], &drains);
	old[0]->finished = true;
	apps_worker_finished(old[0]);
	fake_turn();
	expect_told("start 1/2, start 2/2");
	assert_int_equal(app->rollout.idle, 1);
	/* It is stopped with something left. */
	fake_ready(next(app, 1));
	expect_told("retire 1/1");
	app_rollout_note_step(old[0], &away);
	assert_int_equal(app->rollout.idle, 1);
	app_rollout_note_step(old[1], &away);
	assert_int_equal(app->rollout.idle, 0);
	fake_turn();
	expect_told("");
}

static void
more_at_a_time_when_the_canary_is_up(void **state)
{
	struct app *app = serving(WEB "instances = 3\n");

	(void)state;
	expect_told("start 0/1, start 1/1, start 2/1");
	fake_roll(app, WEB "instances = 3\nmax_surge = 3\n");
	expect_told("start 0/2");
	fake_ready(next(app, 0));
	expect_told("retire 0/1, start 1/2, start 2/2");
	fake_ready(next(app, 2));
	fake_ready(next(app, 1));
	expect_told("retire 2/1, retire 1/1");
	expect_all_of(app, 3, 2);
}

static void
a_canary_that_fails_changes_nothing(void **state)
{
	struct app *app = serving(WEB "instances = 3\n");
	struct worker *old[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		old[i] = present(app, i);
	expect_told("start 0/1, start 1/1, start 2/1");
	fake_roll(app, WEB "instances = 5\n");
	assert_int_equal(app->crew.wanted, 5);
	expect_told("start 0/2");
	fake_dies(next(app, 0), true);
	expect_told("retire 0/2");
	expect_all_of(app, 3, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_ptr_equal(present(app, i), old[i]);
	assert_int_equal(fake.n_workers, 3);
	assert_int_equal(app->reloads_aborted, 1);
	assert_int_equal(app->reloads_ok, 0);
	assert_string_equal(app->reload_error, "reload aborted: the new worker "
	    "of instance 0 did not become ready (exited with 1); generation 1 "
	    "keeps serving");
	/* A death on trial is not the seat's. */
	assert_null(app->seats[0].death);

	/* The next one has the next number, and no error. */
	fake_roll(app, WEB "instances = 3\n");
	expect_told("start 0/3");
	assert_null(app->reload_error);
	change_over(app, 0);
	change_over(app, 1);
	change_over(app, 2);
	expect_all_of(app, 3, 3);
}

static void
a_canary_that_is_never_ready_is_given_up(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	expect_told("start 0/1, start 1/1, start 0/2");
	/* At ready_timeout it is killed; its death decides. */
	fake_pass(2500);
	assert_int_equal(next(app, 0)->fsm.state, WORKER_KILLED);
	assert_non_null(app->crew.target);
	fake_dies(next(app, 0), true);
	expect_told("retire 0/2");
	expect_all_of(app, 2, 1);
	assert_int_equal(app->reloads_aborted, 1);
}

static void
two_deaths_after_the_change_lead_back(void **state)
{
	struct app *app = serving(WEB "instances = 3\n");

	(void)state;
	fake_roll(app, WEB "instances = 3\n");
	change_over(app, 0);
	change_over(app, 1);
	expect_told("start 0/1, start 1/1, start 2/1, start 0/2, retire 0/1, "
	    "start 1/2, retire 1/1, start 2/2");

	/* One death may be anybody's fault; nothing goes on without it. */
	fake_dies(present(app, 0), true);
	assert_int_equal(present(app, 0)->fsm.state, WORKER_BACKOFF);
	fake_ready(next(app, 2));
	expect_told("");
	assert_non_null(next(app, 2));
	fake_pass(200);
	fake_dies(present(app, 0), true);

	/* The new one of the last seat goes, and the first changes back: its
	   worker, that waits for another start, is not to come up beside. */
	assert_int_equal(app->rollout.kind, ROLLOUT_BACK);
	assert_int_equal(app->crew.target->generation, 1);
	assert_int_equal(app->crew.stable->generation, 1);
	assert_string_equal(app->reload_error, "reload aborted: the new worker "
	    "of instance 0 became ready and then died, the second death of the "
	    "new workers (exited with 1); generation 1 keeps serving with 2 of "
	    "3 instances");
	expect_told("retire 2/2");
	fake_retired_go(app);
	expect_told("stop 0/2, start 0/1, start 1/1");
	change_over(app, 0);
	expect_told("");
	change_over(app, 1);
	expect_told("retire 1/2");
	expect_all_of(app, 3, 1);
	assert_int_equal(app->reloads_aborted, 1);
	assert_int_equal(app->reloads_ok, 0);
	assert_int_equal(fake.n_workers, 3);
}

static void
a_way_back_that_fails_leaves_all_as_it_is(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");
	struct worker *odd;

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	change_over(app, 0);
	odd = present(app, 0);
	fake_dies(next(app, 1), true);
	assert_int_equal(app->rollout.kind, ROLLOUT_BACK);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/1, start 1/2, "
	    "retire 1/2, start 0/1");
	fake_dies(next(app, 0), true);
	assert_null(app->crew.target);
	assert_ptr_equal(present(app, 0), odd);
	assert_int_equal(present(app, 1)->spec->generation, 1);
	assert_int_equal(app->crew.stable->generation, 1);
	assert_int_equal(app_ready_count(app), 2);
	/* It is the reload that failed, and once. */
	assert_int_equal(app->reloads_aborted, 1);
	expect_told("retire 0/1");

	/* A restart of another instance does not mind the odd one. */
	assert_int_equal(app_restart(app, 1, NULL), 0);
	fake_turn();
	change_over(app, 1);
	expect_told("start 1/1, retire 1/1");
	assert_ptr_equal(present(app, 0), odd);
	assert_null(app->crew.target);
}

static void
one_instance_restarts_alone(void **state)
{
	struct app *app = serving(WEB "instances = 3\n");
	struct worker *old[3];
	struct error err = ERROR_INIT;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		old[i] = present(app, i);
	expect_told("start 0/1, start 1/1, start 2/1");
	assert_int_equal(app_restart(app, 1, &err), 0);
	fake_turn();
	expect_told("start 1/1");
	/* It serves until its successor does. */
	assert_ptr_equal(present(app, 1), old[1]);
	assert_true(old[1]->outdated);
	assert_int_equal(app_restart(app, 2, &err), -EBUSY);
	error_clear(&err);
	/* Another's crash is none of its business. */
	fake_dies(old[0], true);
	fake_pass(200);
	fake_dies(old[0], true);
	assert_non_null(app->crew.target);

	fake_ready(next(app, 1));
	expect_told("retire 1/1");
	assert_null(app->crew.target);
	assert_ptr_not_equal(present(app, 1), old[1]);
	assert_ptr_equal(present(app, 0), old[0]);
	assert_ptr_equal(present(app, 2), old[2]);
	assert_int_equal(app->crew.stable->generation, 1);
	assert_true(app->crew.stable->in_force);
	assert_int_equal(app->reloads_ok, 0);
	fake_pass(500);
	fake_ready(old[0]);
	fake_retired_go(app);
	expect_all_of(app, 3, 1);
}

static void
a_restart_that_fails_keeps_the_old_one(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");
	struct worker *old = present(app, 1);
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(app_restart(app, 1, &err), 0);
	fake_turn();
	fake_dies(next(app, 1), true);
	expect_told("start 0/1, start 1/1, start 1/1, retire 1/1");
	assert_ptr_equal(present(app, 1), old);
	assert_false(old->outdated);
	expect_all_of(app, 2, 1);
	assert_int_equal(app->reloads_aborted, 0);
	assert_string_equal(app->reload_error, "restart aborted: the new "
	    "worker of instance 1 did not become ready (exited with 1); "
	    "generation 1 keeps serving");
}

static void
a_restart_of_one_that_waits_stops_it_first(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");
	struct error err = ERROR_INIT;

	(void)state;
	fake_dies(present(app, 0), true);
	assert_int_equal(app_restart(app, 0, &err), 0);
	fake_turn();
	expect_told("start 0/1, start 1/1, stop 0/1, start 0/1");
	assert_null(present(app, 0));
	fake_ready(next(app, 0));
	expect_all_of(app, 2, 1);
	assert_int_equal(fake.n_workers, 2);
}

static void
a_newer_reload_supersedes(void **state)
{
	struct app *app = serving(WEB "instances = 3\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	change_over(app, 0);
	expect_told("start 0/1, start 1/1, start 2/1, start 0/2, retire 0/1, "
	    "start 1/2");
	fake_roll(app, WEB "instances = 3\n");
	/* The number is the stable one's again; who is on trial goes; who has
	   changed over serves until it is his turn. */
	assert_int_equal(app->crew.wanted, 3);
	expect_told("retire 1/2");
	assert_int_equal(present(app, 0)->spec->generation, 2);
	assert_int_equal(app->crew.target->generation, 3);
	fake_retired_go(app);
	/* The oldest first: who changed over comes last. */
	expect_told("start 1/3");
	change_over(app, 1);
	change_over(app, 2);
	change_over(app, 0);
	expect_told("retire 1/1, start 2/3, retire 2/1, start 0/3, "
	    "retire 0/2");
	expect_all_of(app, 3, 3);
	assert_int_equal(app->reloads_ok, 1);
	assert_int_equal(app->reloads_aborted, 0);
}

/* Who is on trial may be the only one whom its address has: whoever comes next has its
   place before that one has gone. */
static void
a_successor_is_there_before_who_was_superseded_goes(void **state)
{
	static const struct {
		const char *conf, *first, *goes;
	} cases[] = {
		{ CANARY "instances = 2\nmax_surge = 0\n", "start 0/1, "
		    "start 1/1, retire 0/1, start 0/2", "retire 0/2" },
		{ CANARY "instances = 2\nmax_surge = 1\n", "start 0/1, "
		    "start 1/1, start 0/2", "retire 0/2" },
	};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct app *app = serving(cases[k].conf);
		struct worker *first;

		fake_roll(app, cases[k].conf);
		fake_retired_go(app);
		first = next(app, 0);
		fake_ready(first);
		expect_told(cases[k].first);
		fake_roll(app, cases[k].conf);
		expect_told(cases[k].goes);
		assert_true(worker_state_alive(first->fsm.state));
		assert_ptr_not_equal(next(app, 0), first);
		assert_int_equal(next(app, 0)->fsm.state, WORKER_IDLE);
		assert_int_equal(next(app, 0)->spec->generation, 3);
		fake_retired_go(app);
		expect_told("start 0/3");
		fake_ready(next(app, 0));
		fake_close(state);
		fake_open(state);
	}
}

/* Its canary fails, but a seat is left from the one that it superseded: that
   serves, so all go there, to as many as it wants. */
static void
an_abort_leads_to_what_was_superseded(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 3\n");
	change_over(app, 0);
	fake_roll(app, WEB "instances = 2\n");
	fake_retired_go(app);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/1, start 1/2, "
	    "start 2/2, retire 1/2, retire 2/2, start 1/3");
	fake_dies(next(app, 1), true);
	expect_told("retire 1/3, start 1/2, start 2/2");
	assert_int_equal(app->rollout.kind, ROLLOUT_BACK);
	assert_int_equal(app->crew.wanted, 3);
	change_over(app, 1);
	change_over(app, 2);
	expect_all_of(app, 3, 2);
	assert_int_equal(app->reloads_aborted, 1);
	assert_int_equal(app->reloads_ok, 0);
	assert_non_null(app->reload_error);
}

/* What does not come up on that way either has one more way back. */
static void
an_abort_leads_back_if_what_was_superseded_fails(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	change_over(app, 0);
	fake_roll(app, WEB "instances = 2\n");
	fake_retired_go(app);
	fake_dies(next(app, 1), true);
	fake_dies(next(app, 1), true);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/1, start 1/2, "
	    "retire 1/2, start 1/3, retire 1/3, start 1/2, retire 1/2, "
	    "start 0/1");
	assert_int_equal(app->rollout.kind, ROLLOUT_BACK);
	change_over(app, 0);
	expect_all_of(app, 2, 1);
	assert_int_equal(app->reloads_aborted, 1);
}

/* Not to one that has failed itself: where a way back came to nothing. */
static void
an_abort_does_not_lead_to_what_has_failed(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	change_over(app, 0);
	fake_dies(next(app, 1), true);
	fake_dies(next(app, 0), true);
	assert_null(app->crew.target);
	assert_int_equal(present(app, 0)->spec->generation, 2);
	fake_retired_go(app);
	fake_roll(app, WEB "instances = 2\n");
	fake_dies(next(app, 1), true);
	assert_int_equal(app->crew.target->generation, 1);
	change_over(app, 0);
	expect_all_of(app, 2, 1);
}

/* It is ready, has the new connections, and lives for a while before anything
   else is touched. */
static void
a_canary_lives_before_others_follow(void **state)
{
	struct app *app = serving(CANARY "instances = 3\n");
	struct worker *old = present(app, 0);

	(void)state;
	expect_told("start 0/1, start 1/1, start 2/1");
	fake_roll(app, CANARY "instances = 3\nmax_surge = 3\n");
	fake_pass(500);
	fake_ready(next(app, 0));
	expect_told("start 0/2");
	assert_true(old->aside && !next(app, 0)->aside);
	fake_pass(999);
	expect_told("");
	fake_pass(1);
	expect_told("retire 0/1, start 1/2, start 2/2");
	assert_false(present(app, 0)->fsm.trial);
	/* The others are believed. */
	fake_ready(next(app, 1));
	fake_ready(next(app, 2));
	expect_told("retire 1/1, retire 2/1");
	expect_all_of(app, 3, 2);
}

static void
a_canary_that_dies_changes_nothing(void **state)
{
	struct app *app = serving(CANARY "instances = 2\n");
	struct worker *old = present(app, 0);

	(void)state;
	fake_roll(app, CANARY "instances = 2\n");
	fake_ready(next(app, 0));
	fake_pass(900);
	fake_dies(next(app, 0), true);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/2");
	assert_ptr_equal(present(app, 0), old);
	assert_false(old->aside);
	expect_all_of(app, 2, 1);
	assert_string_equal(app->reload_error, "reload aborted: the new worker "
	    "of instance 0 became ready and then died, on trial (exited with "
	    "1); generation 1 keeps serving");
	assert_null(app->seats[0].death);
}

/* Seen is not served: the first client waits, and the old one has the others. */
static void
a_canary_that_serves_nobody_is_given_up(void **state)
{
	struct app *app = serving(CANARY "instances = 2\n");
	struct worker *old = present(app, 0);

	(void)state;
	fake_roll(app, CANARY "instances = 2\n");
	fake_ready(next(app, 0));
	fake.waiting = 1;
	fake_pass(100);
	assert_true(old->aside);
	fake_pass(100);
	assert_true(!old->aside && next(app, 0)->aside);
	fake_pass(1800);
	assert_non_null(app->crew.target);
	fake_pass(200);
	expect_told("start 0/1, start 1/1, start 0/2, stop 0/2");
	expect_all_of(app, 2, 1);
	assert_string_equal(app->reload_error, "reload aborted: the new worker "
	    "of instance 0 takes no connections: somebody has waited in its "
	    "queue for ready_timeout; generation 1 keeps serving");
}

/* One that has kept clients waiting has others of its kind show that they do
   not. */
static void
a_slow_one_is_waited_for(void **state)
{
	struct app *app = serving(CANARY "instances = 3\n");

	(void)state;
	fake_roll(app, CANARY "instances = 3\n");
	fake_ready(next(app, 0));
	fake.waiting = 1;
	fake_pass(100);
	fake_pass(1400);
	assert_true(next(app, 0)->trial.kept);
	expect_told("start 0/1, start 1/1, start 2/1, start 0/2");
	fake.waiting = 0;
	fake_pass(10);
	expect_told("retire 0/1");
	fake_retired_go(app);
	expect_told("start 1/2");
	fake_ready(next(app, 1));
	fake_pass(900);
	expect_told("");
	/* Served, before its time is over. */
	fake.waiting = 1;
	fake_pass(10);
	fake.waiting = 0;
	fake_pass(10);
	expect_told("retire 1/1");
	fake_retired_go(app);
	fake_ready(next(app, 2));
	fake_pass(990);
	expect_told("start 2/2");
	fake_pass(10);
	expect_told("retire 2/1");
	expect_all_of(app, 3, 2);
}

static void
two_deaths_of_two_seats_lead_back(void **state)
{
	struct app *app = serving(WEB "instances = 4\n");

	(void)state;
	fake_roll(app, WEB "instances = 4\n");
	change_over(app, 0);
	change_over(app, 1);
	fake_dies(present(app, 0), true);
	assert_int_equal(app->rollout.deaths, 1);
	assert_non_null(app->crew.target);
	fake_dies(present(app, 1), true);
	assert_int_equal(app->rollout.kind, ROLLOUT_BACK);
	assert_string_equal(app->reload_error, "reload aborted: the new worker "
	    "of instance 1 became ready and then died, the second death of the "
	    "new workers (exited with 1); generation 1 keeps serving with 2 of "
	    "4 instances");
}

/* Who has done his share and makes place for a fresh one is no fault. */
static void
old_workers_that_end_well_are_no_deaths(void **state)
{
	struct app *app = serving(WEB "instances = 3\nrestart_reset = 1s\n");

	(void)state;
	fake_roll(app, WEB "instances = 3\nrestart_reset = 1s\n");
	change_over(app, 0);
	change_over(app, 1);
	fake_pass(1500);
	fake_dies(present(app, 0), false);
	fake_dies(present(app, 1), false);
	assert_int_equal(app->rollout.deaths, 0);
	fake_ready(present(app, 0));
	fake_ready(present(app, 1));
	/* But at once, or badly. */
	fake_dies(present(app, 1), false);
	assert_int_equal(app->rollout.deaths, 1);
}

static void
without_a_surge_the_old_one_goes_first(void **state)
{
	struct app *app = serving(WEB "instances = 2\nmax_surge = 0\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\nmax_surge = 0\n");
	expect_told("start 0/1, start 1/1, retire 0/1");
	assert_null(present(app, 0));
	assert_int_equal(next(app, 0)->fsm.state, WORKER_IDLE);
	fake_pass(500);
	expect_told("");
	fake_retired_go(app);
	expect_told("start 0/2");
	assert_int_equal(app_ready_count(app), 1);
	fake_ready(next(app, 0));
	expect_told("retire 1/1");
	fake_retired_go(app);
	expect_told("start 1/2");
	change_over(app, 1);
	expect_all_of(app, 2, 2);
}

/* Of hundreds that have changed over, each would be looked at in each turn. */
static void
who_has_shown_what_it_can_is_not_looked_at(void **state)
{
	struct app *app = serving(CANARY "instances = 2\n");

	(void)state;
	fake_roll(app, CANARY "instances = 2\n");
	fake_ready(next(app, 0));
	fake_pass(999);
	assert_int_not_equal(fake.looks, 0);
	fake_pass(1);
	assert_null(next(app, 0));
	fake_retired_go(app);
	assert_int_equal(next(app, 1)->fsm.state, WORKER_EXECING);
	fake.looks = 0;
	app_touch(app);
	fake_turn();
	assert_int_equal(fake.looks, 0);
	change_over(app, 1);
	expect_all_of(app, 2, 2);
}

/* Then what was there before comes back, when there is room for it. */
static void
without_a_surge_an_abort_brings_the_old_one_back(void **state)
{
	struct app *app = serving(CANARY "instances = 1\nmax_surge = 0\n");

	(void)state;
	fake_roll(app, CANARY "instances = 1\nmax_surge = 0\n");
	fake_retired_go(app);
	fake_dies(next(app, 0), true);
	expect_told("start 0/1, retire 0/1, start 0/2, retire 0/2, start 0/1");
	assert_string_equal(app->reload_error, "reload aborted: the new worker "
	    "of instance 0 did not become ready (exited with 1); generation 1 "
	    "stays");
	fake_ready(present(app, 0));
	expect_all_of(app, 1, 1);
}

/* It is ready, and takes nobody: stopped, it has its place until it is gone. */
static void
without_a_surge_an_abort_waits_for_room_too(void **state)
{
	struct app *app = serving(CANARY "instances = 1\nmax_surge = 0\n");
	struct worker *back;

	(void)state;
	fake_roll(app, CANARY "instances = 1\nmax_surge = 0\n");
	fake_retired_go(app);
	fake_ready(next(app, 0));
	expect_told("start 0/1, retire 0/1, start 0/2");
	fake.waiting = 1;
	for (int i = 0; i < 30; i++)
		fake_pass(100);
	fake.waiting = 0;
	assert_int_equal(app->reloads_aborted, 1);
	/* Its clients have somebody to wait for. */
	back = present(app, 0);
	assert_int_equal(back->fsm.state, WORKER_IDLE);
	expect_told("stop 0/2");
	fake_retired_go(app);
	expect_told("start 0/1");
	fake_ready(back);
	expect_all_of(app, 1, 1);
}

/* The same of one that was scaled away, and of a reload that comes then. */
static void
without_a_surge_a_seat_is_filled_when_it_is_free(void **state)
{
	struct app *app = serving(WEB "instances = 2\nmax_surge = 0\n");

	(void)state;
	app_scale(app, -1, NULL);
	fake_turn();
	app_scale(app, 1, NULL);
	fake_turn();
	expect_told("start 0/1, start 1/1, retire 1/1");
	assert_int_equal(present(app, 1)->fsm.state, WORKER_IDLE);
	fake_roll(app, WEB "instances = 2\nmax_surge = 0\n");
	expect_told("");
	fake_retired_go(app);
	expect_told("stop 1/1, start 1/2");
	change_over(app, 1);
	expect_told("retire 0/1, start 0/2");
	change_over(app, 0);
	expect_all_of(app, 2, 2);
}

static void
a_restarted_instance_has_a_trial(void **state)
{
	struct app *app = serving(CANARY "instances = 2\n");
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(app_restart(app, 1, &err), 0);
	fake_turn();
	fake_ready(next(app, 1));
	fake_pass(999);
	expect_told("start 0/1, start 1/1, start 1/1");
	fake_pass(1);
	expect_told("retire 1/1");
	expect_all_of(app, 2, 1);
}

static void
scaled_while_it_rolls(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	expect_told("start 0/1, start 1/1, start 0/2");
	app_scale(app, 1, NULL);
	fake_turn();
	assert_int_equal(app->n_seats, 3);
	change_over(app, 0);
	change_over(app, 1);
	/* The seat that is new gets its first worker on trial; it takes
	   nobody's room. */
	expect_told("retire 0/1, start 1/2, start 2/2, retire 1/1");
	assert_null(present(app, 2));
	change_over(app, 2);
	expect_all_of(app, 3, 2);

	/* Down: whoever goes goes last. */
	fake_roll(app, WEB "instances = 2\n");
	app_scale(app, -2, NULL);
	fake_turn();
	expect_told("start 0/3");
	assert_int_equal(app->n_seats, 3);
	fake_ready(next(app, 0));
	expect_told("retire 0/2, retire 2/2, retire 1/2");
	expect_all_of(app, 1, 3);
}

static void
an_abort_has_the_number_that_it_was_scaled_to(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 4\n");
	app_scale(app, 1, NULL);
	fake_turn();
	assert_int_equal(app->crew.wanted, 5);
	fake_dies(next(app, 0), true);
	assert_int_equal(app->crew.wanted, 3);
	assert_int_equal(app->n_seats, 3);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/2, start 2/1");
	fake_ready(present(app, 2));
	expect_all_of(app, 3, 1);
}

static void
a_number_stays_within_a_range(void **state)
{
	struct app *app = serving(WEB "instances = 2..4\n");

	(void)state;
	assert_int_equal(app->crew.wanted, 2);
	app_scale(app, 9, NULL);
	assert_int_equal(app->crew.wanted, 4);
	app_scale(app, -9, NULL);
	assert_int_equal(app->crew.wanted, 2);
	app_scale(app, 1, "because");
	assert_int_equal(app->crew.wanted, 3);
	fake_turn();
	fake_roll(app, WEB "instances = 1..8\n");
	assert_int_equal(app->crew.wanted, 3);
	fake_roll(app, WEB "instances = 5..8\n");
	assert_int_equal(app->crew.wanted, 5);
	fake_roll(app, WEB "instances = 2\n");
	assert_int_equal(app->crew.wanted, 2);
	fake_roll(app, WEB "instances = 2..8\n");
	assert_int_equal(app->crew.wanted, 3);
	/* What comes from a range to a number has that. */
	fake_roll(app, WEB "instances = 4\n");
	assert_int_equal(app->crew.wanted, 4);
}

static void
a_number_changed_by_hand_outlives_a_reload(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	app_scale(app, -1, NULL);
	fake_turn();
	expect_told("start 0/1, start 1/1, retire 1/1");
	fake_retired_go(app);
	fake_roll(app, WEB "instances = 2\n");
	change_over(app, 0);
	expect_all_of(app, 1, 2);
	fake_roll(app, WEB "instances = 3\n");
	assert_int_equal(app->crew.wanted, 3);
}

/* What was in force had ended: what came up of the new is better than that. */
static void
no_way_back_to_what_has_ended(void **state)
{
	struct app *app = serving(WEB "instances = 2\nrestart = never\n");

	(void)state;
	fake_dies(present(app, 0), false);
	fake_dies(present(app, 1), true);
	assert_true(app->over && app->failed);
	fake_roll(app, WEB "instances = 2\n");
	fake_ready(next(app, 0));
	fake_dies(next(app, 1), true);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/1, start 1/2, "
	    "retire 1/2");
	assert_null(app->crew.target);
	assert_int_equal(app->crew.stable->generation, 2);
	assert_true(app->crew.stable->in_force);
	assert_false(app->over || app->failed);
	assert_int_equal(app->reloads_aborted, 1);
	assert_true(strstr(app->reload_error, "had ended before") != NULL);
}

/* In the lanes of one that was dead when it was replaced. */
static void
who_waits_for_a_dead_one_has_another_of_the_new(void **state)
{
	static const char *const keys[] = {
		"", "restart = never\n", "restart_limit = 1/60s\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		char text[512];
		struct app *app;

		snprintf(text, sizeof(text), WEB "instances = 1\n%s",
		    keys[i]);
		app = serving(text);
		fake_roll(app, text);
		assert_true(present(app, 0)->followed);
		fake_dies(present(app, 0), true);
		fake.left = present(app, 0);
		fake_ready(next(app, 0));
		fake.left = NULL;
		expect_told("start 0/1, start 0/2, retire 0/2, retire 0/1");
		expect_all_of(app, 1, 2);
		assert_false(present(app, 0)->followed);
		/* Beside that one it is not counted as the seat's. */
		assert_int_equal(fake.n_workers, 2);
		fake_retired_go(app);
		assert_int_equal(fake.n_workers, 1);
		apps_remove(app);
		fake_turn();
		fake_retired_go(app);
		fake_forget();
	}
}

/* One who is dead beside its successor, which is ready from now on and on trial. */
static struct app *
dead_beside_one_on_trial(const char *text)
{
	struct app *app = serving(text);

	fake_roll(app, text);
	fake_dies(present(app, 0), true);
	fake.left = present(app, 0);
	fake_ready(next(app, 0));
	fake.left = NULL;
	return app;
}

static void
end(struct app *app)
{
	apps_remove(app);
	fake_turn();
	fake_retired_go(app);
	fake_forget();
}

static void
nobody_waits_for_the_end_of_a_trial(void **state)
{
	struct app *app = dead_beside_one_on_trial(CANARY "canary = 1h\n"
	    "instances = 1\nrestart = never\n");

	(void)state;
	expect_told("start 0/1, start 0/2, retire 0/2");
	assert_int_equal(fake.n_workers, 3);
	/* It has its seat still: nobody else is to come if the new one fails. */
	assert_int_equal(present(app, 0)->fsm.state, WORKER_FAILED);
	fake_dies(next(app, 0), true);
	assert_null(app->crew.target);
	assert_true(app->over);
	end(app);
}

/* The one that serves them takes its room. */
static void
who_is_started_again_late_makes_room(void **state)
{
	struct app *app = dead_beside_one_on_trial("[web]\n"
	    "command = /bin/true\nready = notify\ncanary = 1h\n"
	    "instances = 1\nrestart_delay = 10m\nrestart_delay_max = 10m\n");

	(void)state;
	expect_told("start 0/1, start 0/2, retire 0/2, stop 0/1");
	assert_null(present(app, 0));
	/* The one that was given up is no more. */
	assert_int_equal(fake.n_workers, 2);
	fake_dies(next(app, 0), true);
	expect_told("retire 0/2, start 0/1");
	end(app);
}

static void
who_is_started_again_soon_serves_those_who_wait(void **state)
{
	struct app *app = dead_beside_one_on_trial(CANARY "canary = 1h\n"
	    "instances = 1\n");

	(void)state;
	expect_told("start 0/1, start 0/2");
	assert_int_equal(present(app, 0)->fsm.state, WORKER_BACKOFF);
	end(app);
}

static void
who_waits_for_a_dead_one_has_it_again_after_an_abort(void **state)
{
	struct app *app = serving(WEB "instances = 1\n");
	struct worker *old = present(app, 0);

	(void)state;
	fake_roll(app, WEB "instances = 1\n");
	fake_dies(old, true);
	assert_int_equal(old->fsm.state, WORKER_BACKOFF);
	fake.left = old;
	fake_dies(next(app, 0), true);
	fake.left = NULL;
	expect_told("start 0/1, start 0/2, retire 0/2, start 0/1");
	assert_ptr_equal(present(app, 0), old);
	assert_false(old->followed);
	fake_ready(old);
	expect_all_of(app, 1, 1);
}

/* As if a worker had shut the app's listener down, and another were there. */
static void
deafen(struct app *app, struct worker *w)
{
	w->pid = 4711;
	w->deaf_serial = w->serial;
	app_touch(app);
	fake_turn();
}

static void
a_new_one_whose_listener_is_another_begins_anew(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_roll(app, WEB "instances = 2\n");
	change_over(app, 0);
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/1, start 1/2");
	deafen(app, next(app, 1));
	expect_told("retire 1/2");
	assert_null(next(app, 1));
	fake_retired_go(app);
	expect_told("start 1/2");

	/* It does so itself: that is not waited for again and again. */
	deafen(app, next(app, 1));
	expect_told("");
	fake_pass(2000);
	fake_dies(next(app, 1), true);
	assert_non_null(app->reload_error);
	assert_int_equal(app->reloads_aborted, 1);
}

static void
who_is_begun_anew_changes_over(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	for (unsigned generation = 2; generation < 4; generation++) {
		fake_roll(app, WEB "instances = 2\n");
		deafen(app, next(app, 0));
		fake_retired_go(app);
		change_over(app, 0);
		change_over(app, 1);
		expect_all_of(app, 2, generation);
	}
	expect_told("start 0/1, start 1/1, "
	    "start 0/2, retire 0/2, start 0/2, retire 0/1, start 1/2, "
	    "retire 1/1, "
	    "start 0/3, retire 0/3, start 0/3, retire 0/2, start 1/3, "
	    "retire 1/2");
}

/* The seat stays behind, and whatever happens next tries again. */
static void
no_memory_for_a_new_worker(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake.no_memory = true;
	fake_roll(app, WEB "instances = 2\n");
	expect_told("start 0/1, start 1/1");
	assert_non_null(app->crew.target);
	assert_int_equal(app_ready_count(app), 2);
	fake.no_memory = false;
	app_touch(app);
	fake_turn();
	expect_told("start 0/2");
	change_over(app, 0);
	change_over(app, 1);
	expect_all_of(app, 2, 2);
}

/* ---- those that clusterd itself has replaced ---- */

/* As app_recycle begins it. */
static void
recycle(struct app *app, unsigned i)
{
	assert_int_equal(app_restart(app, (int)i, NULL), 0);
	app->recycles = true;
	app->wear_seat = i;
	app->wear_cause = RECYCLE_MEMORY;
	fake_turn();
}

static void
who_was_due_is_counted_before_the_next_restart(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	recycle(app, 0);
	present(app, 1)->pid = 1;
	present(app, 1)->deaf_serial = present(app, 1)->serial;
	fake_ready(next(app, 0));
	/* That of the other one has begun in the same turn. */
	assert_int_equal(app->rollout.instance, 1);
	assert_non_null(app->crew.target);
	assert_false(app->recycles);
	assert_int_equal(app->seats[0].recycles[RECYCLE_MEMORY], 1);
	fake_retired_go(app);
	fake_dies(next(app, 1), true);
	assert_null(app->crew.target);
	assert_int_equal(app->pace.failures, 0);
}

static void
a_reload_is_no_replacement_of_who_was_due(void **state)
{
	struct app *app = serving(WEB "instances = 1\n");

	(void)state;
	recycle(app, 0);
	fake_roll(app, WEB "instances = 1\n");
	fake_retired_go(app);
	change_over(app, 0);
	expect_all_of(app, 1, 2);
	assert_int_equal(app->seats[0].recycles[RECYCLE_MEMORY], 0);
	assert_int_equal(app->pace.failures, 0);

	recycle(app, 0);
	fake_roll(app, WEB "instances = 1\n");
	fake_retired_go(app);
	fake_dies(next(app, 0), true);
	expect_all_of(app, 1, 2);
	assert_int_equal(app->pace.failures, 0);
}

/* As app_health begins it. */
static void
who_is_scaled_away_has_no_successor(void **state)
{
	struct app *app = serving(WEB "instances = 2\n");

	(void)state;
	fake_dies(present(app, 1), true);
	fake_pass(200);
	fake_ready(present(app, 1));
	assert_non_null(app->seats[1].death);
	assert_int_equal(app_restart(app, 1, NULL), 0);
	app->recycling = true;
	app->recycled = 1;
	fake_turn();
	app_scale(app, -1, NULL);
	fake_turn();
	expect_all_of(app, 1, 1);
	assert_false(app->recycling);
	/* The seat's is freed, and nobody has put another there. */
	app_scale(app, 1, NULL);
	fake_turn();
	fake_ready(present(app, 1));
	assert_null(app->seats[1].death);
	assert_int_equal(app->seats[1].recycles[RECYCLE_UNHEALTHY], 0);
	fake_retired_go(app);
}

#define ROLLOUT_TEST(name) \
	cmocka_unit_test_setup_teardown(name, fake_open, fake_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ROLLOUT_TEST(a_reload_goes_seat_by_seat),
		ROLLOUT_TEST(who_leaves_with_nothing_left_makes_room),
		ROLLOUT_TEST(several_begin_where_nothing_is_left),
		ROLLOUT_TEST(more_at_a_time_when_the_canary_is_up),
		ROLLOUT_TEST(a_canary_that_fails_changes_nothing),
		ROLLOUT_TEST(a_canary_that_is_never_ready_is_given_up),
		ROLLOUT_TEST(two_deaths_after_the_change_lead_back),
		ROLLOUT_TEST(a_way_back_that_fails_leaves_all_as_it_is),
		ROLLOUT_TEST(one_instance_restarts_alone),
		ROLLOUT_TEST(a_restart_that_fails_keeps_the_old_one),
		ROLLOUT_TEST(a_restart_of_one_that_waits_stops_it_first),
		ROLLOUT_TEST(a_newer_reload_supersedes),
		ROLLOUT_TEST(
		    a_successor_is_there_before_who_was_superseded_goes),
		ROLLOUT_TEST(an_abort_leads_to_what_was_superseded),
		ROLLOUT_TEST(an_abort_leads_back_if_what_was_superseded_fails),
		ROLLOUT_TEST(an_abort_does_not_lead_to_what_has_failed),
		ROLLOUT_TEST(a_canary_lives_before_others_follow),
		ROLLOUT_TEST(a_canary_that_dies_changes_nothing),
		ROLLOUT_TEST(a_canary_that_serves_nobody_is_given_up),
		ROLLOUT_TEST(a_slow_one_is_waited_for),
		ROLLOUT_TEST(two_deaths_of_two_seats_lead_back),
		ROLLOUT_TEST(old_workers_that_end_well_are_no_deaths),
		ROLLOUT_TEST(who_has_shown_what_it_can_is_not_looked_at),
		ROLLOUT_TEST(without_a_surge_the_old_one_goes_first),
		ROLLOUT_TEST(without_a_surge_an_abort_brings_the_old_one_back),
		ROLLOUT_TEST(without_a_surge_an_abort_waits_for_room_too),
		ROLLOUT_TEST(without_a_surge_a_seat_is_filled_when_it_is_free),
		ROLLOUT_TEST(a_restarted_instance_has_a_trial),
		ROLLOUT_TEST(scaled_while_it_rolls),
		ROLLOUT_TEST(an_abort_has_the_number_that_it_was_scaled_to),
		ROLLOUT_TEST(a_number_stays_within_a_range),
		ROLLOUT_TEST(a_number_changed_by_hand_outlives_a_reload),
		ROLLOUT_TEST(no_way_back_to_what_has_ended),
		ROLLOUT_TEST(who_waits_for_a_dead_one_has_another_of_the_new),
		ROLLOUT_TEST(nobody_waits_for_the_end_of_a_trial),
		ROLLOUT_TEST(who_is_started_again_late_makes_room),
		ROLLOUT_TEST(who_is_started_again_soon_serves_those_who_wait),
		ROLLOUT_TEST(
		    who_waits_for_a_dead_one_has_it_again_after_an_abort),
		ROLLOUT_TEST(a_new_one_whose_listener_is_another_begins_anew),
		ROLLOUT_TEST(who_is_begun_anew_changes_over),
		ROLLOUT_TEST(no_memory_for_a_new_worker),
		ROLLOUT_TEST(who_was_due_is_counted_before_the_next_restart),
		ROLLOUT_TEST(a_reload_is_no_replacement_of_who_was_due),
		ROLLOUT_TEST(who_is_scaled_away_has_no_successor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
