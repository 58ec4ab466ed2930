/*
 * The listeners of an app's configuration, on real sockets: opened together,
 * given to servers that ask for another address, and given back.
 */
#include <sys/socket.h>

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
#include "base/log.h"
#include "core/conf/conf.h"
#include "daemon/output/outputs.h"
#include "daemon/sockets/lanes.h"
#include "daemon/sockets/listeners.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "linux/loop/loop.h"
#include "linux/socket/socket.h"
#include "lib/config.h"

static struct loop *loop;
static struct listeners listeners;
static struct outputs outputs;
static struct app_house house = {
	.listeners = &listeners,
	.outputs = &outputs,
	.auto_instances = 3,
};

static int
open_house(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	listeners = (struct listeners)LISTENERS_INIT;
	assert_int_equal(loop_new(&loop, &err), 0);
	listeners_init(&listeners, loop);
	outputs_init(&outputs, loop, NULL, NULL);
	return 0;
}

static int
close_house(void **state)
{
	(void)state;
	assert_null(listeners.first);
	outputs_fini(&outputs);
	listeners_fini(&listeners);
	loop_free(loop);
	return 0;
}

/* An app "web" with these lines; the caller owns a reference. */
static struct config *
configure(const char *lines)
{
	char text[512];

	snprintf(text, sizeof(text), "[web]\ncommand = /bin/true\n%s", lines);
	return config_of(text);
}

/* The caller owns a reference, which keeps the configuration. */
static struct app_spec *
new_spec(const char *lines)
{
	struct config *config = configure(lines);
	struct error err = ERROR_INIT;
	struct app_spec *spec = NULL;

	if (app_spec_new(&house, config, &config->apps[0], &spec, &err) < 0)
		fail_msg("%s", error_text(&err));
	config_unref(config);
	return spec;
}

static const char two[] = "listen = 127.0.0.1:0\n 127.0.0.2:0\n"
    "balance = random\n";

static void
all_are_opened_and_given_back(void **state)
{
	struct address first;
	struct app_spec *spec, *again;

	(void)state;
	spec = new_spec(two);
	assert_int_equal(spec->instances, 3);
	assert_int_equal(app_spec_n_listeners(spec), 2);
	for (size_t i = 0; i < 2; i++) {
		struct listener *l = app_spec_listener(spec, i);

		assert_true(app_spec_has(spec, l));
		assert_true(address_equal(&spec->bound[i], &l->bound));
		assert_ptr_equal(app_spec_find_lane(spec,
		    listener_first_lane(l)->ino), l);
	}
	assert_null(app_spec_find_lane(spec, 0));
	assert_false(app_spec_has(NULL, app_spec_listener(spec, 0)));
	first = spec->bound[0];

	/* The next generation has the same sockets. */
	again = new_spec(two);
	assert_ptr_equal(app_spec_listener(again, 0),
	    app_spec_listener(spec, 0));
	app_spec_shut(spec, true);
	assert_null(app_spec_listener(spec, 0));
	assert_null(app_spec_find_lane(spec, 1));
	app_spec_unref(app_spec_ref(spec));
	app_spec_unref(spec);
	assert_true(listeners_taken(&first));
	app_spec_unref(again);
	assert_false(listeners_taken(&first));
}

static void
one_that_is_in_use_leaves_nothing(void **state)
{
	const struct address any = {
		.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
		.ip = { 127, 0, 0, 1 },
	};
	const struct socket_options options = { .backlog = 1 };
	struct error err = ERROR_INIT;
	struct app_spec *spec = NULL;
	struct config *config;
	struct socket_file file;
	struct address taken;
	char lines[128];
	int fd;

	(void)state;
	assert_int_equal(socket_listen(&any, &options, &fd, &taken, &file,
	    &err), 0);
	snprintf(lines, sizeof(lines), "listen = 127.0.0.2:0\n 127.0.0.1:%u\n",
	    taken.port);
	config = configure(lines);
	assert_int_equal(app_spec_new(&house, config, &config->apps[0], &spec,
	    &err), -EADDRINUSE);
	assert_non_null(err.text);
	error_clear(&err);
	assert_null(spec);
	assert_null(listeners.first);
	config_unref(config);
	close(fd);
}

/* The server has bound another address than is written, and no server the
   written one: it takes its place. */
static void
what_is_taken_first_takes_the_place(void **state)
{
	struct error err = ERROR_INIT;
	struct app_spec *spec;
	struct listener *first, *l = NULL;
	struct address target;

	(void)state;
	spec = new_spec("port = 0\nbalance = random\n");
	first = app_spec_listener(spec, 0);
	assert_int_equal(app_spec_give(spec, 0, 0, &first->bound, &l, &err), 0);
	assert_ptr_equal(l, first);

	target = (struct address){
		.kind = ADDRESS_TCP, .host = ADDRESS_HOST_IPV4,
		.ip = { 127, 0, 0, 1 }, .port = first->bound.port,
	};
	assert_int_equal(app_spec_give(spec, 0, 0, &target, &l, &err), 0);
	assert_ptr_not_equal(l, first);
	assert_int_equal(app_spec_n_listeners(spec), 2);
	assert_ptr_equal(app_spec_listener(spec, 1), l);
	assert_false(spec->taken[0]);

	assert_int_equal(app_spec_take(spec, l, &err), 0);
	assert_true(spec->taken[0] && l->listening && !l->beside);
	assert_int_equal(app_spec_n_listeners(spec), 1);
	assert_ptr_equal(app_spec_listener(spec, 0), l);
	assert_true(address_equal(&spec->bound[0], &target));
	app_spec_unref(spec);
}

/* A second one, when the first is taken, stays beside it until nobody has it
   open any more. */
static void
what_is_taken_later_stays_beside(void **state)
{
	struct error err = ERROR_INIT;
	struct app_spec *spec;
	struct listener *first, *l = NULL;
	struct address target;

	(void)state;
	spec = new_spec("listen = 127.0.0.1:0\nbalance = random\n");
	first = app_spec_listener(spec, 0);
	assert_int_equal(app_spec_take(spec, first, &err), 0);
	target = first->bound;
	target.ip[3] = 2;
	assert_int_equal(app_spec_give(spec, 0, 0, &target, &l, &err), 0);
	assert_int_equal(app_spec_take(spec, l, &err), 0);
	assert_int_equal(app_spec_n_listeners(spec), 2);
	assert_ptr_equal(app_spec_listener(spec, 0), first);
	app_spec_drop(spec, 0);
	assert_int_equal(app_spec_n_listeners(spec), 1);
	assert_ptr_equal(app_spec_listener(spec, 0), first);
	app_spec_unref(spec);
}

static void
only_what_is_in_force_decides(void **state)
{
	struct app_spec *spec;
	struct listener *l;

	(void)state;
	/* As where nobody may count connections: auto is open then. */
	listeners.balancing.least.done = true;
	listeners.balancing.least.code = -EPERM;
	spec = new_spec("listen = 127.0.0.1:0\n");
	assert_true(app_spec_undecided(spec));
	l = app_spec_listener(spec, 0);
	app_spec_try(spec, 2);
	assert_int_equal(spec->generation, 2);
	app_spec_decide(spec, BALANCE_ACCEPTS_BLOCKING);
	assert_false(app_spec_undecided(spec));
	assert_true(spec_lanes_shared(spec, l));
	assert_int_equal(l->lanes.balance, BALANCE_RANDOM);
	app_spec_unref(spec);

	spec = new_spec("listen = 127.0.0.1:0\n");
	l = app_spec_listener(spec, 0);
	app_spec_try(spec, 3);
	app_spec_put_in_force(spec);
	app_spec_decide(spec, BALANCE_ACCEPTS_BLOCKING);
	assert_int_equal(l->lanes.balance, BALANCE_SHARED);
	/* It was seen: what comes later counts for nothing. */
	app_spec_decide(spec, BALANCE_ACCEPTS_AT_ONCE);
	assert_int_equal(l->lanes.balance, BALANCE_SHARED);
	app_spec_supersede(spec);
	assert_false(spec->in_force);
	app_spec_unref(spec);
}

static void
a_worker_has_its_own_lane_or_the_common_one(void **state)
{
	struct lane_holder one = { .about = { .app = "web", .instance = 0 } };
	struct lane_holder other = { .about = { .app = "web", .instance = 1 } };
	struct error err = ERROR_INIT;
	struct lane *a = NULL, *b = NULL;
	struct app_spec *spec;
	struct listener *l;
	uint64_t inos[4];

	(void)state;
	for (unsigned shared = 0; shared < 2; shared++) {
		spec = new_spec(shared ?
		    "listen = 127.0.0.1:0\nbalance = shared\n" :
		    "listen = 127.0.0.1:0\nbalance = random\n");
		l = app_spec_listener(spec, 0);
		assert_int_equal(spec_lanes_take(spec, l, &one, &a, &err),
		    0);
		assert_int_equal(spec_lanes_take(spec, l, &other, &b, &err),
		    0);
		assert_int_equal(a == b, shared);
		assert_ptr_equal(spec_lanes_find(spec, l, &other), b);
		assert_int_equal(spec_lanes_inodes(spec, &other, inos, 4), 1);
		assert_int_equal(inos[0], b->ino);
		assert_int_equal(spec_lanes_inodes(spec, &other, inos, 0), 0);
		app_spec_unref(spec);
	}
}

static void
hints_are_given_once(void **state)
{
	const struct address a = { .kind = ADDRESS_TCP, .port = 80 };
	const struct address b = { .kind = ADDRESS_TCP, .port = 81 };
	const struct mono then = { .ns = 1000 };
	const struct mono now = mono_add_ms(then, 5);
	struct app_spec *spec;

	(void)state;
	spec = new_spec("");
	assert_true(spec_told_note_hint(&spec->told, &a));
	assert_false(spec_told_note_hint(&spec->told, &a));
	assert_true(spec_told_note_hint(&spec->told, &b));
	assert_true(spec_told_note_hint(&spec->told, &a));

	assert_false(spec_told_sibling_bound(&spec->told, &a, 1, now, 10));
	spec_told_note_bind(&spec->told, &a, 0, then);
	assert_true(spec_told_sibling_bound(&spec->told, &a, 1, now, 10));
	assert_false(spec_told_sibling_bound(&spec->told, &a, 0, now, 10));
	assert_false(spec_told_sibling_bound(&spec->told, &b, 1, now, 10));
	assert_false(spec_told_sibling_bound(&spec->told, &a, 1, now, 5));
	app_spec_unref(spec);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_opened_and_given_back),
		cmocka_unit_test(one_that_is_in_use_leaves_nothing),
		cmocka_unit_test(what_is_taken_first_takes_the_place),
		cmocka_unit_test(what_is_taken_later_stays_beside),
		cmocka_unit_test(only_what_is_in_force_decides),
		cmocka_unit_test(a_worker_has_its_own_lane_or_the_common_one),
		cmocka_unit_test(hints_are_given_once),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, open_house, close_house);
}
