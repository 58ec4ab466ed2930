#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "control_room.h"
#include "daemon/control/control_places.h"

#define SLOW	"error slow nothing moved for a while, and others wait\n"

/* More than the buffers between the two ends have room for, as records. */
#define MANY_APPS	3000
#define ALL_STOPPED	"ok ready (app-0, app-1, app-2 and 2997 more are stopped)\n"

/* ---- long answers ---- */

/* All the records that there are, each once, and the end. */
static void
check_status(char *text, size_t n)
{
	char expected[128], *line = strsep(&text, "\n");

	assert_memory_equal(line, "+ clusterd pid=4711 ", 20);
	for (size_t i = 0; i < n; i++) {
		snprintf(expected, sizeof(expected), "+ app name=app-%zu "
		    "state=stopped wanted=0 ready=0 stdout=prefix "
		    "stderr=prefix", i);
		line = strsep(&text, "\n");
		assert_non_null(line);
		assert_string_equal(line, expected);
	}
	assert_string_equal(text, "ok\n");
}

static void
an_answer_in_portions(void **state)
{
	int fd = join_and_be_greeted(), other = join_and_be_greeted();
	struct strbuf sb = STRBUF_INIT;
	unsigned portions = 0;
	size_t before;

	(void)state;
	room_stop_apps(MANY_APPS);
	put(fd, "status\n");
	put(other, "wait\n");
	room_turn();
	/* It has its turn between two portions. */
	expect(other, ALL_STOPPED);
	do {
		before = sb.len;
		get(fd, &sb);
		assert_true(sb.len - before < CONTROL_OUT_ENOUGH + 1024);
		portions += sb.len > before;
		room_turn();
	} while (!room.idle);
	assert_true(portions > MANY_APPS * 70 / CONTROL_OUT_ENOUGH);
	check_status(sb.text, MANY_APPS);
	strbuf_free(&sb);
	leave(fd);
	leave(other);
}

/* What it does not read is not made. */
static void
a_client_that_reads_nothing(void **state)
{
	int fd = join_and_be_greeted();
	const struct control_client *c;
	struct strbuf sb = STRBUF_INIT;

	(void)state;
	room_stop_apps(MANY_APPS);
	put(fd, "status\n");
	room_turns();
	expect_served();
	c = TAILQ_FIRST(&room.control.clients.list);
	assert_true(control_client_unsent(c) < CONTROL_OUT_ENOUGH + 1024);
	/* Nobody waits for its place, and so it can take its time. */
	room_pass_ms(3600 * 1000);
	do {
		get(fd, &sb);
		room_turn();
	} while (!room.idle);
	check_status(sb.text, MANY_APPS);
	strbuf_free(&sb);
	leave(fd);
}

static void
a_client_that_vanishes_in_mid_answer(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	room_stop_apps(MANY_APPS);
	put(fd, "status\n");
	room_turns();
	assert_int_equal(room.control.clients.n, 1);
	leave(fd);
	room_turns();
	assert_int_equal(room.control.clients.n, 0);
	expect_served();
}

/* ---- places ---- */

static int fds[CONTROL_CLIENTS_MAX];

static void
fill_places(const char *request)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = join_and_be_greeted();
		put(fds[i], request);
	}
	room_turns();
	assert_int_equal(room.control.clients.n, CONTROL_CLIENTS_MAX);
}

static void
empty_places(void)
{
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		leave(fds[i]);
	room_turns();
}

static void
one_too_many(void **state)
{
	int late;

	(void)state;
	fill_places("wait\n");
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		expect(fds[i], "ok ready\n");
	late = join();
	room_turns();
	expect(late, "");
	leave(fds[100]);
	room_turns();
	expect(late, GREETING);
	fds[100] = late;
	empty_places();
	assert_int_equal(room.control.clients.n, 0);
}

static void
half_a_request_holds_no_place(void **state)
{
	int late;

	(void)state;
	room.reloads.under_way = (struct reload *)&room.reloads;
	fill_places("wai");
	/* One of them has asked, and waits for good reason. */
	put(fds[7], "t\n");
	late = join();
	room_turns();
	room_pass_ms(900);
	/* One more has moved, and is heard of later. */
	put(fds[8], " ");
	room_turns();
	expect(late, "");
	room_pass_ms(100);
	expect(late, GREETING);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (i != 7 && i != 8)
			expect_end(fds[i], SLOW);
	expect(fds[7], "");
	expect(fds[8], "");
	assert_int_equal(room.control.clients.n, 3);
	room.reloads.under_way = NULL;
	apps_touch(&room.apps);
	room_turns();
	expect(fds[7], "ok ready\n");
	leave(late);
	empty_places();
}

/* Also while what it does not read is all in the kernel: the next portion would
   have been made. */
static void
reading_nothing_holds_no_place(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	const char *last;
	int late;

	(void)state;
	room_stop_apps(MANY_APPS);
	room.reloads.under_way = (struct reload *)&room.reloads;
	fill_places("wait\n");
	leave(fds[0]);
	room_turns();
	fds[0] = join_and_be_greeted();
	put(fds[0], "status\n");
	late = join();
	room_turns();
	room_pass_ms(900);
	expect(late, "");
	room_pass_ms(100);
	expect(late, GREETING);
	assert_true(get(fds[0], &sb));
	assert_in_range(sb.len, CONTROL_OUT_ENOUGH, MANY_APPS * 70);
	assert_null(strstr(sb.text, "\nok"));
	last = strstr(sb.text, "error slow");
	assert_true(last != NULL && last[-1] == '\n');
	assert_string_equal(last, SLOW);
	for (int i = 1; i < CONTROL_CLIENTS_MAX; i++)
		expect(fds[i], "");
	strbuf_free(&sb);
	leave(late);
	empty_places();
}

/* All have a request that is carried out: the one that has followed in vain for
   the longest time gives way. */
static void
a_follower_gives_way(void **state)
{
	int late;

	(void)state;
	room_stop_apps(1);
	room.reloads.under_way = (struct reload *)&room.reloads;
	fill_places("wait\n");
	for (int i = 9; i >= 8; i--) {
		leave(fds[i]);
		room_turns();
		fds[i] = join_and_be_greeted();
		put(fds[i], "follow\n");
		room_pass_ms(10);
	}
	late = join();
	room_turns();
	expect(late, "");
	room_pass_ms(100);
	expect(late, GREETING);
	expect_end(fds[9], SLOW);
	expect(fds[8], "");
	leave(late);
	empty_places();
}

/* Clusterd stood still: who has asked meanwhile is served before a follower has to
   give way, and once only. */
static void
whom_clusterd_has_kept_waiting_costs_no_follower_its_place(void **state)
{
	int late;

	(void)state;
	room_stop_apps(1);
	room.reloads.under_way = (struct reload *)&room.reloads;
	fill_places("wait\n");
	leave(fds[9]);
	leave(fds[8]);
	room_turns();
	fds[9] = join_and_be_greeted();
	put(fds[9], "follow\n");
	fds[8] = join_and_be_greeted();
	late = join();
	room_turns();
	room.now = mono_add_ms(room.now, 1100);
	put(fds[8], "wait\n");
	control_places_look(&room.control.clients);
	assert_int_equal(room.control.clients.n, CONTROL_CLIENTS_MAX);
	expect(fds[9], "");
	/* Whoever it was that could not be served. */
	control_places_look(&room.control.clients);
	assert_int_equal(room.control.clients.n, CONTROL_CLIENTS_MAX - 1);
	expect_end(fds[9], SLOW);
	room_turns();
	expect(late, GREETING);
	leave(late);
	empty_places();
}

/* The queue stays as it is, and nothing spins. */
static void
no_descriptor_for_a_client(void **state)
{
	int fd;

	(void)state;
	room.no_descriptor = true;
	fd = join();
	room_turns();
	room_pass_ms(100);
	expect(fd, "");
	room.no_descriptor = false;
	room_turns();
	expect(fd, "");
	room_pass_ms(100);
	expect(fd, GREETING);
	leave(fd);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, room_begin, room_end)
	const struct CMUnitTest tests[] = {
		T(an_answer_in_portions),
		T(a_client_that_reads_nothing),
		T(a_client_that_vanishes_in_mid_answer),
		T(one_too_many),
		T(half_a_request_holds_no_place),
		T(reading_nothing_holds_no_place),
		T(a_follower_gives_way),
		T(whom_clusterd_has_kept_waiting_costs_no_follower_its_place),
		T(no_descriptor_for_a_client),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
