/* The apps that run, with workers that are no processes. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/apps/app.h"
#include "daemon/apps/app_listens.h"
#include "daemon/apps/app_rollout.h"
#include "daemon/apps/app_specs.h"
#include "daemon/apps/apps.h"
#include "daemon/apps/stopped.h"
#include "daemon/sockets/listener.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"
#include "linux/loop/loop.h"
#include "lib/config.h"

#include "fake_workers.h"

#define API "[api]\ncommand = /bin/true\nready = notify\ninstances = 1\n"
#define ONE WEB "instances = 1\n"

static struct worker *
present(struct app *app, unsigned i)
{
	assert_in_range(i, 0, app->n_seats - 1);
	return app->seats[i].present;
}

static void
seats_have_workers(void **state)
{
	struct app *app = fake_add(WEB "instances = 3\n");
	unsigned ready, wanted;

	(void)state;
	expect_told("start 0/1, start 1/1, start 2/1");
	assert_int_equal(app->crew.stable->generation, 1);
	fake_ready(present(app, 2));
	fake_ready(present(app, 0));
	assert_false(app->came_up);
	assert_false(apps_have_come_up(&fake.apps));
	apps_count(&fake.apps, &ready, &wanted);
	assert_int_equal(ready, 2);
	assert_int_equal(wanted, 3);
	fake_ready(present(app, 1));
	assert_true(app->came_up);
	assert_true(apps_have_come_up(&fake.apps));

	/* That they were up once is not undone. */
	fake_dies(present(app, 1), true);
	assert_true(apps_have_come_up(&fake.apps));
	assert_int_equal(app_ready_count(app), 2);
	assert_false(apps_turn(&fake.apps));
}

static void
a_seat_remembers_what_became_of_its_workers(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\n");
	const struct seat *seat = &app->seats[1];

	(void)state;
	fake_all_ready(app);
	fake_dies(present(app, 1), true);
	assert_string_equal(seat->death, "exited with 1");
	assert_int_equal(seat->restarts[RESTART_CAUSE_FAILURE], 1);
	fake_pass(500);
	fake_ready(present(app, 1));
	fake_dies(present(app, 1), false);
	assert_string_equal(seat->death, "exited with 0");
	assert_int_equal(seat->restarts[RESTART_CAUSE_EXIT], 1);
	assert_null(app->seats[0].death);

	/* Through a reload too; the end of who retires is not the seat's. */
	fake_pass(2000);
	fake_ready(present(app, 1));
	fake_roll(app, WEB "instances = 2\n");
	for (unsigned i = 0; i < 2; i++) {
		fake_ready(app->seats[i].next);
		fake_retired_go(app);
	}
	assert_int_equal(app->crew.stable->generation, 2);
	assert_string_equal(seat->death, "exited with 0");
	assert_int_equal(seat->restarts[RESTART_CAUSE_EXIT], 1);
	assert_int_equal(fake.told_ended, 4);
}

static void
scaled_up_and_down(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\n");

	(void)state;
	fake_all_ready(app);
	apps_scale(&fake.apps, 2);
	fake_turn();
	expect_told("start 0/1, start 1/1, start 2/1, start 3/1");
	assert_int_equal(app->n_seats, 4);
	fake_ready(present(app, 3));
	apps_scale(&fake.apps, -100);
	fake_turn();
	assert_int_equal(app->n_seats, 1);
	assert_int_equal(app->crew.wanted, 1);
	expect_told("retire 3/1, retire 2/1, retire 1/1");
	apps_scale(&fake.apps, -1);
	assert_false(apps_turn(&fake.apps));
	fake_retired_go(app);
	assert_int_equal(fake.n_workers, 1);
}

static void
an_app_whose_instances_have_ended_is_over(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\nrestart = on-failure\n");
	struct error err = ERROR_INIT;
	bool failed = true;

	(void)state;
	fake_all_ready(app);
	fake_dies(present(app, 0), false);
	assert_int_equal(present(app, 0)->fsm.state, WORKER_ENDED);
	assert_false(app->over);
	assert_false(apps_are_over(&fake.apps, &failed));
	fake_dies(present(app, 1), false);
	assert_true(app->over);
	assert_false(app->failed);
	assert_true(apps_are_over(&fake.apps, &failed));
	assert_false(failed);
	expect_told("start 0/1, start 1/1");

	/* Scaling starts nobody; a restart of all does. */
	app_scale(app, 1, NULL);
	assert_int_equal(app->crew.wanted, 2);
	assert_int_equal(app_restart(app, 0, &err), -ESRCH);
	error_clear(&err);
	assert_int_equal(app_restart(app, -1, &err), 0);
	fake_turn();
	assert_false(apps_are_over(&fake.apps, &failed));
	fake_ready(app->seats[0].next);
	fake_ready(app->seats[1].next);
	assert_false(app->over);
	assert_int_equal(app->crew.stable->generation, 2);
	assert_int_equal(app_ready_count(app), 2);
	expect_told("start 0/2, retire 0/1, start 1/2, retire 1/1");
	assert_int_equal(fake.n_workers, 2);
}

static void
an_app_with_a_parked_instance_is_over_badly(void **state)
{
	struct app *app = fake_add(WEB "instances = 1\n"
	    "restart_limit = 2/60s\n");
	struct app *api = fake_add(API);
	bool failed = false;

	(void)state;
	fake_dies(present(app, 0), true);
	fake_pass(500);
	fake_dies(present(app, 0), true);
	assert_int_equal(present(app, 0)->fsm.state, WORKER_PARKED);
	assert_true(app->over && app->failed);
	/* It is as far as it will come. */
	assert_true(app->came_up);
	assert_false(apps_are_over(&fake.apps, &failed));
	apps_remove(api);
	fake_turn();
	fake_retired_go(api);
	assert_true(apps_are_over(&fake.apps, &failed));
	assert_true(failed);
}

static void
removed_it_goes_with_its_last_worker(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\n");
	struct app *again;
	uint64_t number = app->crew.number;

	(void)state;
	fake_all_ready(app);
	assert_true(app->crew.stable->in_force);
	apps_remove(app);
	/* What its workers do while they end is the next one's no more. */
	assert_false(app->crew.stable->in_force);
	fake_turn();
	expect_told("start 0/1, start 1/1, retire 1/1, retire 0/1");
	assert_null(apps_find(&fake.apps, "web"));
	assert_true(apps_lingers(&fake.apps, "web"));
	assert_int_equal(app_ready_count(app), 0);
	apps_remove(app);
	expect_told("");

	/* The next of that name is another, beside it. */
	again = fake_add(ONE);
	assert_ptr_not_equal(again, app);
	assert_true(again->crew.number > number);
	assert_ptr_equal(apps_find(&fake.apps, "web"), again);
	fake_retired_go(app);
	assert_false(apps_lingers(&fake.apps, "web"));
	assert_ptr_equal(fake.apps.first, again);
	assert_int_equal(fake.n_workers, 1);
}

static void
stopped_and_started_by_request(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\n");
	struct error err = ERROR_INIT;
	bool failed;

	(void)state;
	apps_count_reload(&fake.apps);
	fake_all_ready(app);
	/* What is in force is what is started again. */
	fake_roll(app, WEB "instances = 3\n");
	fake.aways = 0;
	assert_int_equal(apps_stop_one(app, &err), 0);
	/* Those that are told later get nothing new either. */
	assert_int_equal(fake.aways, 1);
	fake_turn();
	expect_told("start 0/1, start 1/1, start 0/2, retire 0/2, retire 1/1, "
	    "retire 0/1");
	assert_non_null(stopped_find(&fake.apps, "web"));
	assert_null(apps_find(&fake.apps, "web"));
	fake_retired_go(app);
	assert_null(fake.apps.first);
	assert_int_equal(fake.n_workers, 0);
	/* Somebody may want to start it again. */
	assert_false(apps_are_over(&fake.apps, &failed));

	assert_int_equal(apps_start_one(&fake.apps, "web", &err), 0);
	fake_turn();
	app = apps_find(&fake.apps, "web");
	assert_non_null(app);
	assert_null(stopped_find(&fake.apps, "web"));
	assert_int_equal(app->crew.wanted, 2);
	assert_int_equal(app->added_by, 0);
	expect_told("start 0/1, start 1/1");
}

static void
what_is_stopped_follows_the_configuration(void **state)
{
	struct app *web = fake_add(ONE), *api = fake_add(API);
	struct config *config = config_of("[api]\ncommand = /bin/true\n"
	    "instances = 4\n");
	struct app_spec **specs;
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(apps_stop_one(web, &err), 0);
	assert_int_equal(apps_stop_one(api, &err), 0);
	fake_turn();
	fake_retired_go(web);
	fake_retired_go(fake.apps.first);
	assert_null(fake.apps.first);

	/* It gets no spec, and so is not started. */
	assert_int_equal(app_specs_open(&fake.apps, config, NULL, &specs, &err), 0);
	assert_null(specs[0]);
	app_specs_free(specs, 1);
	stopped_reload(&fake.apps, config);
	config_unref(config);
	assert_null(stopped_find(&fake.apps, "web"));
	assert_int_equal(apps_start_one(&fake.apps, "api", &err), 0);
	fake_turn();
	assert_int_equal(apps_find(&fake.apps, "api")->n_seats, 4);
}

static void
an_app_knows_which_reload_added_it(void **state)
{
	struct app *web = fake_add(ONE), *api;

	(void)state;
	assert_int_equal(web->added_by, 0);
	apps_count_reload(&fake.apps);
	apps_count_reload(&fake.apps);
	api = fake_add(API);
	assert_int_equal(api->added_by, 2);
	assert_int_equal(fake.apps.n_added, 2);
}

static void
nobody_is_started_after_the_stop(void **state)
{
	struct app *web = fake_add(WEB "instances = 2\n");
	struct app *api = fake_add(API);

	(void)state;
	fake_all_ready(web);
	fake_ready(present(api, 0));
	expect_told("start 0/1, start 1/1, start 0/1");
	fake_roll(web, WEB "instances = 2\n");
	expect_told("start 0/2");
	apps_stop(&fake.apps);
	fake_turn();
	assert_true(fake.apps.stopping);
	expect_told("stop 0/2, stop 1/1, stop 0/1, stop 0/1");
	assert_false(apps_only_killed_left(&fake.apps));
	fake_retired_go(api);
	assert_ptr_equal(fake.apps.first, web);
	assert_null(web->next_app);

	apps_kill(&fake.apps);
	fake_turn();
	assert_true(apps_only_killed_left(&fake.apps));
	fake_retired_go(web);
	assert_null(fake.apps.first);
	expect_told("kill 0/2, kill 1/1, kill 0/1");

	/* Not even of an app that comes too late. */
	(void)fake_add(API);
	expect_told("");
}

/* A reload leaves an address: what the old workers still serve there they
   finish, and nobody new comes. */
static void
an_address_that_is_left_closes_its_door(void **state)
{
	struct app *app = fake_add(ONE "listen = 127.0.0.1:0\n");
	struct listener *l = fake.listeners.first;

	(void)state;
	assert_non_null(l);
	fake_ready(present(app, 0));
	fake_roll(app, ONE);
	assert_false(l->door_closed);
	fake_ready(app->seats[0].next);
	assert_null(app->crew.target);
	assert_ptr_equal(fake.listeners.first, l);
	assert_true(l->door_closed);
	fake_retired_go(app);
	assert_null(fake.listeners.first);
}

/* … and one that a failed reload had opened is closed at once. */
static void
an_address_of_a_failed_reload_is_closed(void **state)
{
	struct app *app = fake_add(ONE "listen = 127.0.0.1:0\n");
	struct listener *l = fake.listeners.first;

	(void)state;
	fake_ready(present(app, 0));
	fake_roll(app, ONE "listen = 127.0.0.1:0, 127.0.0.2:0\n");
	assert_true(fake.listeners.first != l || l->next != NULL);
	fake_dies(app->seats[0].next, true);
	assert_ptr_equal(fake.listeners.first, l);
	assert_null(l->next);
	assert_false(l->door_closed);
}

/* … and so is one that only a superseded reload had, with its last worker that
   has a seat, while that one serves what it has. */
static void
an_address_of_a_superseded_reload_is_closed(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\n");
	struct worker *odd;
	struct listener *l;

	(void)state;
	fake_all_ready(app);
	fake_roll(app, WEB "instances = 2\nlisten = 127.0.0.1:0\n");
	l = fake.listeners.first;
	assert_non_null(l);
	odd = app->seats[0].next;
	fake_ready(odd);
	fake_retired_go(app);
	fake_roll(app, WEB "instances = 2\n");
	fake_retired_go(app);
	assert_ptr_equal(present(app, 0), odd);
	assert_false(l->door_closed);
	/* The older one comes first. */
	fake_ready(app->seats[1].next);
	fake_retired_go(app);
	fake_ready(app->seats[0].next);
	assert_int_equal(odd->fsm.state, WORKER_DRAINING);
	assert_ptr_equal(fake.listeners.first, l);
	assert_true(l->door_closed);
	fake_retired_go(app);
	assert_null(fake.listeners.first);
}

static void
an_address_of_another_app_is_refused(void **state)
{
	char dir[] = "/tmp/test_apps.XXXXXX";
	char text[300];
	struct app *web;
	struct config *any, *same;
	struct error err = ERROR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text), ONE "listen = 127.0.0.1:0, unix:%s/s\n",
	    dir);
	web = fake_add(text);
	snprintf(text, sizeof(text), API "listen = unix:%s/s\n", dir);
	same = config_of(text);
	any = config_of(API "listen = 127.0.0.1:0\n");

	/* Port 0 is another port each time. */
	assert_int_equal(apps_check_listens(&fake.apps, &any->apps[0], &err),
	    0);
	assert_int_equal(apps_check_listens(&fake.apps, &same->apps[0], &err),
	    -EADDRINUSE);
	assert_true(strstr(error_text(&err), "served by web") != NULL);
	error_clear(&err);
	/* One's own address is no other's, nor is that of who is to go. */
	assert_int_equal(apps_check_listens(&fake.apps,
	    web->crew.stable->conf, &err), 0);
	apps_remove(web);
	assert_int_equal(apps_check_listens(&fake.apps, &same->apps[0], &err),
	    0);
	fake_turn();
	fake_retired_go(web);
	assert_int_equal(rmdir(dir), 0);
	config_unref(any);
	config_unref(same);
}

/* Many workers are told that it is over, and others are heard meanwhile. */
static void
a_stop_takes_no_turn_for_all(void **state)
{
	struct app *app = fake_add(WEB "instances = 5\n");
	static const char *const told[] = {
		"retire 4/1", "retire 3/1", "retire 2/1", "retire 1/1",
		"retire 0/1",
	};

	(void)state;
	fake_all_ready(app);
	expect_told("start 0/1, start 1/1, start 2/1, start 3/1, start 4/1");
	fake.retire_ms = 2;
	(void)apps_drain(&fake.apps);
	/* Nobody has a seat any more, from the beginning. */
	assert_int_equal(app->n_seats, 0);
	for (size_t i = 0; i < 5; i++) {
		assert_false(apps_have_retired(&fake.apps));
		fake_turn();
		expect_told(told[i]);
		/* Its timer has come. */
		assert_int_equal(mono_is_never(fake.apps.go_on.due), false);
		apps_touch(&fake.apps);
	}
	assert_true(apps_have_retired(&fake.apps));
	fake.retire_ms = 0;
	fake_turn();
	expect_told("");
	fake_retired_go(app);
	assert_null(fake.apps.first);
}

/* Whatever else takes the turn's time: one retires all the same. */
static void
one_retires_in_each_turn(void **state)
{
	struct app *app = fake_add(WEB "instances = 2\n");

	(void)state;
	fake_all_ready(app);
	expect_told("start 0/1, start 1/1");
	fake.note_ms = 5;
	fake.retire_ms = 5;
	apps_remove(app);
	fake_turn();
	expect_told("retire 1/1");
	apps_touch(&fake.apps);
	fake_turn();
	expect_told("retire 0/1");
	fake_retired_go(app);
}

/* Of several apps none has to wait until another one is through. */
static void
apps_retire_in_turn(void **state)
{
	struct app *web = fake_add(WEB "instances = 3\n");
	struct app *api = fake_add("[api]\ncommand = /bin/true\n"
	    "ready = notify\ninstances = 2\n");
	static const char *const told[] = {
		"retire 2/1", "retire 1/1", "retire 1/1", "retire 0/1",
		"retire 0/1",
	};
	static const unsigned left_of_web[] = { 2, 2, 1, 1, 0 };

	(void)state;
	fake_all_ready(web);
	fake_all_ready(api);
	expect_told("start 0/1, start 1/1, start 2/1, start 0/1, start 1/1");
	fake.retire_ms = 2;
	(void)apps_drain(&fake.apps);
	for (size_t i = 0; i < 5; i++) {
		unsigned left = 0;

		fake_turn();
		expect_told(told[i]);
		for (const struct worker *w = web->crew.workers; w != NULL;
		    w = w->next)
			left += !w->fsm.unwanted;
		assert_int_equal(left, left_of_web[i]);
		loop_turn(fake.apps.workers->loop);
	}
	assert_true(apps_have_retired(&fake.apps));
	fake_retired_go(web);
	fake_retired_go(api);
}

static void
apps_start_in_turn(void **state)
{
	static const char *const told[] = {
		"start 1/1", "start 1/1", "start 2/1", "start 2/1",
	};
	struct app *web, *api;

	(void)state;
	fake.start_ms = 2;
	web = fake_add(WEB "instances = 1\n");
	api = fake_add("[api]\ncommand = /bin/true\nready = notify\n"
	    "instances = 1\n");
	expect_told("start 0/1, start 0/1");
	fake_all_ready(web);
	fake_all_ready(api);
	fake_turn();
	loop_turn(fake.apps.workers->loop);
	app_scale(web, 2, NULL);
	app_scale(api, 2, NULL);
	for (size_t i = 0; i < 4; i++) {
		fake_turn();
		expect_told(told[i]);
		loop_turn(fake.apps.workers->loop);
	}
	fake.start_ms = 0;
}

/* A door that is closed leaves clients waiting; a stop refuses them, as it does
   those of all others. */
static void
a_stop_refuses_behind_closed_doors_too(void **state)
{
	struct app *app = fake_add(ONE "listen = 127.0.0.1:0\n");
	struct listener *l = fake.listeners.first;

	(void)state;
	fake_all_ready(app);
	expect_told("start 0/1");
	listener_close_door(l);
	assert_true(l->door_closed);
	assert_false(l->refuses);
	(void)apps_drain(&fake.apps);
	fake_turn();
	assert_true(l->refuses);
	expect_told("retire 0/1");
	fake_retired_go(app);
}

/* ---- looks at what workers use ---- */

#define LOOKERS 6

struct looker {
	struct loop_timer timer;
	unsigned looks;
};

/* Each look takes two turns' time, and is due again when three have had it. */
static void
look_due(void *ctx)
{
	struct looker *x = ctx;

	if (!apps_have_looks(&fake.apps)) {
		apps_look_later(&fake.apps, &x->timer);
		return;
	}
	fake_pass(2);
	x->looks++;
	loop_timer_start(fake.apps.workers->loop, &x->timer, 3);
}

/* Where looks take more time than there is: also those that are due again
   meanwhile come behind those that wait. */
static void
looks_come_in_turn(void **state)
{
	struct loop *loop = fake.apps.workers->loop;
	struct looker all[LOOKERS] = { { .looks = 0 } };

	(void)state;
	for (unsigned i = 0; i < LOOKERS; i++) {
		assert_int_equal(loop_timer_init(loop, &all[i].timer,
		    look_due, &all[i]), 0);
		loop_timer_start(loop, &all[i].timer, 0);
	}
	for (unsigned i = 0; i < 10 * LOOKERS; i++)
		loop_turn(loop);
	for (unsigned i = 0; i < LOOKERS; i++) {
		assert_in_range(all[i].looks, 9, 11);
		loop_timer_fini(loop, &all[i].timer);
	}
}

#define APPS_TEST(name) \
	cmocka_unit_test_setup_teardown(name, fake_open, fake_close)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		APPS_TEST(seats_have_workers),
		APPS_TEST(a_seat_remembers_what_became_of_its_workers),
		APPS_TEST(scaled_up_and_down),
		APPS_TEST(an_app_whose_instances_have_ended_is_over),
		APPS_TEST(an_app_with_a_parked_instance_is_over_badly),
		APPS_TEST(removed_it_goes_with_its_last_worker),
		APPS_TEST(stopped_and_started_by_request),
		APPS_TEST(what_is_stopped_follows_the_configuration),
		APPS_TEST(a_stop_takes_no_turn_for_all),
		APPS_TEST(one_retires_in_each_turn),
		APPS_TEST(apps_retire_in_turn),
		APPS_TEST(apps_start_in_turn),
		APPS_TEST(looks_come_in_turn),
		APPS_TEST(a_stop_refuses_behind_closed_doors_too),
		APPS_TEST(an_app_knows_which_reload_added_it),
		APPS_TEST(nobody_is_started_after_the_stop),
		APPS_TEST(an_address_that_is_left_closes_its_door),
		APPS_TEST(an_address_of_a_failed_reload_is_closed),
		APPS_TEST(an_address_of_a_superseded_reload_is_closed),
		APPS_TEST(an_address_of_another_app_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
