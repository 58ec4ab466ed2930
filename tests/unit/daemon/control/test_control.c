#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "control_room.h"
#include "daemon/output/out_tails.h"

/* ---- requests ---- */

static void
a_request_in_pieces(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	put(fd, "wa");
	room_turns();
	expect(fd, "");
	put(fd, "it\r");
	room_turns();
	expect(fd, "");
	put(fd, "\n");
	room_turns();
	expect(fd, "ok ready\n");
	leave(fd);
}

static void
requests_in_one_packet(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	put(fd, "wait\nnonsense\nwait\n\nrestart nobody\nwa");
	room_turns();
	expect(fd, "ok ready\n"
	    "error usage \"nonsense\" is not a command\n"
	    "ok ready\n"
	    "error usage no command\n"
	    "error unknown there is no app \"nobody\"\n");
	put(fd, "it\n");
	room_turns();
	expect(fd, "ok ready\n");
	leave(fd);
}

/* One in a turn of the loop: others come between. */
static void
requests_take_turns(void **state)
{
	int one = join_and_be_greeted(), other = join_and_be_greeted();

	(void)state;
	put(one, "nonsense\nnonsense\nnonsense\n");
	put(other, "wait\n");
	room_turn();
	expect(one, "error usage \"nonsense\" is not a command\n");
	expect(other, "ok ready\n");
	room_turns();
	expect(one, "error usage \"nonsense\" is not a command\n"
	    "error usage \"nonsense\" is not a command\n");
	leave(one);
	leave(other);
}

static void
garbage(void **state)
{
	static const char bytes[] = "\xff\xfe\0\x1b[2J\n";
	int fd = join_and_be_greeted();

	(void)state;
	put_bytes(fd, bytes, sizeof(bytes) - 1);
	room_turns();
	expect(fd,
	    "error usage a request is printable ASCII and ends in a newline\n");
	/* That was a line, and the next is another. */
	put(fd, "wait\n");
	room_turns();
	expect(fd, "ok ready\n");
	leave(fd);
}

static void
a_line_that_is_too_long(void **state)
{
	char line[REQUEST_MAX];
	int fd = join_and_be_greeted();

	(void)state;
	memset(line, ' ', sizeof(line));
	memcpy(line, "wait", 4);
	line[sizeof(line) - 1] = '\n';
	put_bytes(fd, line, sizeof(line));
	room_turns();
	expect(fd, "ok ready\n");
	/* One byte more, and where it ends is not looked for. */
	line[sizeof(line) - 1] = ' ';
	put_bytes(fd, line, sizeof(line));
	room_turns();
	expect_end(fd, "error usage a request has 1024 bytes at most\n");
	leave(fd);
	expect_served();
}

static void
no_newline_at_the_end(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	put(fd, "wait\nwait");
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	room_turns();
	expect_end(fd, "ok ready\n"
	    "error usage the request does not end in a newline\n");
	leave(fd);
}

static void
nothing_at_all(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	room_turns();
	expect_end(fd, "");
	leave(fd);
	assert_int_equal(room.control.clients.n, 0);
}

static void
strangers_are_refused(void **state)
{
	int fd;

	(void)state;
	room.strangers = true;
	fd = join();
	put(fd, "stop\n");
	room_turns();
	expect_end(fd, GREETING "error denied only root, clusterd's own user "
	    "and members of control_group may\n");
	leave(fd);
	assert_int_equal(room.stops, 0);
	assert_int_equal(room.control.clients.n, 0);
}

/* ---- what is asked for ---- */

static void
waiting(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	room.reloads.under_way = (struct reload *)&room.reloads;
	put(fd, "wait\nwait\n");
	room_turns();
	expect(fd, "");
	apps_touch(&room.apps);
	room_turns();
	expect(fd, "");
	room.reloads.under_way = NULL;
	apps_touch(&room.apps);
	room_turns();
	expect(fd, "ok ready\nok ready\n");
	room.apps.stopping = true;
	put(fd, "wait\n");
	room_turns();
	expect(fd, "error failed clusterd is stopping\n");
	room.program.why = "web: cannot execute /nowhere/server";
	put(fd, "wait\nreload\n");
	room_turns();
	expect(fd, "error failed clusterd is stopping: web: cannot execute "
	    "/nowhere/server\nerror failed clusterd is stopping: web: cannot "
	    "execute /nowhere/server\n");
	leave(fd);
}

/* Without what differs from run to run. */
static void
expect_program(int fd, const char *program_state, uint64_t uptime_ms)
{
	struct strbuf sb = STRBUF_INIT;
	char begins[256], *rest;

	snprintf(begins, sizeof(begins), "+ clusterd pid=4711 version=%s "
	    "config=/etc/web.ini state=%s uptime_ms=%llu cpu_ns=",
	    CLUSTERD_VERSION, program_state, (unsigned long long)uptime_ms);
	put(fd, "status\n");
	room_turns();
	assert_false(get(fd, &sb));
	assert_memory_equal(sb.text, begins, strlen(begins));
	rest = strstr(sb.text, " reloads_refused=");
	assert_non_null(rest);
	assert_string_equal(rest, " reloads_refused=3 "
	    "supervisor_restarts=0\n"
	    "+ app name=app-0 state=stopped wanted=0 ready=0 stdout=prefix "
	    "stderr=prefix\n"
	    "ok\n");
	strbuf_free(&sb);
}

static void
status_of_the_program(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	room_stop_apps(1);
	room.reloads.refused = 3;
	room.program.starting = true;
	expect_program(fd, "starting", 0);
	room.program.starting = false;
	room.now = mono_add_ms(room.now, 1500);
	expect_program(fd, "running", 1500);
	room.reloads.reloading = true;
	expect_program(fd, "reloading", 1500);
	room.apps.stopping = true;
	expect_program(fd, "stopping", 1500);
	leave(fd);
}

static void
stopping(void **state)
{
	int fd = join_and_be_greeted(), other = join_and_be_greeted();
	int idler = join_and_be_greeted();

	(void)state;
	put(fd, "stop\n");
	room.reloads.under_way = (struct reload *)&room.reloads;
	put(other, "wait\n");
	room_turns();
	assert_int_equal(room.stops, 1);
	apps_touch(&room.apps);
	room_turns();
	expect(fd, "");
	control_close(&room.control);
	expect_end(fd, "ok stopped\n");
	expect_end(other, "error failed clusterd has ended\n");
	expect_end(idler, "");
	leave(fd);
	leave(other);
	leave(idler);
}

static void
stopping_after_a_failure(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	put(fd, "stop\n");
	room_turns();
	room.program.failed = true;
	control_close(&room.control);
	expect_end(fd, "error failed clusterd has ended\n");
	leave(fd);
}

/* Who does not stay for the answer has asked all the same. */
static void
asking_and_leaving(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	put(fd, "stop\n");
	leave(fd);
	room_turns();
	assert_int_equal(room.stops, 1);
	apps_touch(&room.apps);
	room_turns();
	assert_int_equal(room.control.clients.n, 0);
}

static void
a_reload_that_is_refused(void **state)
{
	int fd = join_and_be_greeted(), other = join_and_be_greeted();

	(void)state;
	put(fd, "reload\n");
	put(other, "wait\n");
	room_turns();
	assert_int_equal(room.reloads_asked, 1);
	control_reload_refused(&room.control, "web.ini:3: 1 % wrong", false);
	control_reload_refused(&room.control, "1 error in /etc/web.ini", true);
	room.reloads.under_way = NULL;
	apps_touch(&room.apps);
	room_turns();
	expect(fd, "* note text=web.ini:3:%201%20%25%20wrong\n"
	    "error failed reload refused, nothing was changed: 1 error in "
	    "/etc/web.ini\n");
	expect(other, "ok ready\n");
	leave(fd);
	leave(other);
}

/* Only as much as somebody may leave unread. */
static void
a_flood_of_reasons(void **state)
{
	int fd = join_and_be_greeted();
	struct strbuf sb = STRBUF_INIT;
	const char *last;
	char words[1000];

	(void)state;
	memset(words, 'x', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	put(fd, "reload\n");
	room_turns();
	for (int i = 0; i < 1000; i++)
		control_reload_refused(&room.control, words, false);
	control_reload_refused(&room.control, "1000 errors", true);
	apps_touch(&room.apps);
	do {
		get(fd, &sb);
		room_turn();
	} while (!room.idle);
	assert_in_range(sb.len, CONTROL_OUT_MAX, CONTROL_OUT_MAX + 2048);
	last = memrchr(sb.text, '\n', sb.len - 1);
	assert_non_null(last);
	assert_string_equal(last + 1, "error failed reload refused, nothing "
	    "was changed: 1000 errors\n");
	strbuf_free(&sb);
	leave(fd);
}

/* ---- lines ---- */

static void
add_lines(struct out_tail *tail, const char *lines)
{
	struct ring_source source = {
		.time_ms = 1700000000000, .instance = 2, .stream = 1,
	};

	out_tail_add(tail, &source, lines, strlen(lines));
	control_lines_came(&room.control);
	room_turns();
}

#define LINE(text) "+ line app=app-0 instance=2 stream=stdout " \
	"time_ms=1700000000000 text=" text "\n"

static void
following(void **state)
{
	struct out_tail *tail = out_tails_get(&room.outputs.tails, "app-0");
	int fd = join_and_be_greeted(), other = join_and_be_greeted();

	(void)state;
	room_stop_apps(2);
	put(fd, "follow app-0\n");
	put(other, "follow app-0:1\nlogs\n");
	add_lines(tail, "one\n");
	add_lines(tail, "two words\nthree\n");
	expect(fd, LINE("one") LINE("two%20words") LINE("three"));
	expect(other, "");
	out_tail_add(tail, &(struct ring_source){
		.time_ms = 1700000000000, .instance = 2, .stream = 1,
	}, "last\n", 5);
	control_close(&room.control);
	expect_end(fd, LINE("last") "ok clusterd has stopped\n");
	expect_end(other, "ok clusterd has stopped\n");
	out_tail_unref(tail);
	leave(fd);
	leave(other);
}

static void
last_lines(void **state)
{
	struct out_tail *tail = out_tails_get(&room.outputs.tails, "app-0");
	int fd = join_and_be_greeted();

	(void)state;
	room_stop_apps(2);
	room.confs[1].err.kind = CONF_OUTPUT_INHERIT;
	add_lines(tail, "one\ntwo\n");
	put(fd, "logs\nlogs app-0:3\nlogs app-2\n");
	room_turns();
	expect(fd, "+ elsewhere app=app-1 stdout=prefix stderr=inherit\n"
	    LINE("one") LINE("two") "ok\n"
	    "ok\n"
	    "error unknown there is no app \"app-2\": there are app-0 and "
	    "app-1\n");
	out_tail_unref(tail);
	leave(fd);
}

/* ---- events ---- */

/* Up to that text; `before` is to come before it, too. */
static void
get_up_to(int fd, const char *before, const char *text)
{
	struct strbuf sb = STRBUF_INIT;
	const char *at = NULL, *first;

	for (int i = 0; i < 10000 && at == NULL; i++) {
		assert_false(get(fd, &sb));
		at = sb.text != NULL ? strstr(sb.text, text) : NULL;
		room_turns();
	}
	assert_non_null(at);
	first = strstr(sb.text, before);
	assert_true(first != NULL && first <= at);
	strbuf_free(&sb);
}

static void
watching(void **state)
{
	int fd = join_and_be_greeted(), other = join_and_be_greeted();

	(void)state;
	room_stop_apps(2);
	put(fd, "watch\n");
	put(other, "watch app-0\nwait\n");
	room_turns();
	expect(fd, "");
	control_reload_refused(&room.control, "first", false);
	control_reload_refused(&room.control, "second", false);
	control_reload_refused(&room.control, "no", true);
	room_turns();
	get_up_to(fd, "", " text=no:%20first\n");
	control_reload_refused_app(&room.control, "app-0", "not this one");
	room_turns();
	get_up_to(fd, "", " text=not%20this%20one\n");
	/* And nothing that is about another. */
	get_up_to(other, "", "+ event app=app-0 event=refused time_ms=");
	control_close(&room.control);
	expect_end(fd, "ok clusterd has stopped\n");
	leave(fd);
	leave(other);
}

static void
what_has_happened(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	room_stop_apps(1);
	put(fd, "events\n");
	room_turns();
	expect(fd, "ok\n");
	control_reload_refused(&room.control, "no", true);
	put(fd, "events\n");
	room_turns();
	get_up_to(fd, "", " text=no\nok\n");
	put(fd, "events app-0\nwatch app-0:1\n");
	room_turns();
	expect(fd, "ok\n");
	leave(fd);
	fd = join_and_be_greeted();
	put(fd, "events nobody\nwatch nobody\n");
	room_turns();
	get_up_to(fd, "", "error unknown there is no app \"nobody\": there is "
	    "app-0\nerror unknown there is no app \"nobody\"");
	leave(fd);
}

/* Who does not read is held so much and no more, and then has lost some. */
static void
one_that_watches_too_slowly(void **state)
{
	int fd = join_and_be_greeted();
	char words[8000];

	(void)state;
	memset(words, ' ', sizeof(words) - 1);
	words[sizeof(words) - 1] = '\0';
	put(fd, "watch\n");
	room_turns();
	for (int i = 0; i < 500; i++) {
		struct control_client *c;

		control_reload_refused(&room.control, words, true);
		room_turns();
		TAILQ_FOREACH(c, &room.control.clients.list, entry)
			assert_true(control_client_unsent(c) < 256 * 1024);
	}
	control_reload_refused_app(&room.control, "app-0", "last");
	room_turns();
	get_up_to(fd, "\n+ lost count=", " text=last\n");
	assert_true(room.control.events.ring.size <= RING_MAX);
	leave(fd);
}

/* ---- the socket ---- */

static void
its_file_comes_back(void **state)
{
	int fd = join_and_be_greeted();

	(void)state;
	control_restore(&room.control);
	expect_served();
	assert_int_equal(unlink(room.path), 0);
	control_reload_applying(&room.control);
	expect_served();
	/* Those who were there still are. */
	put(fd, "wait\n");
	room_turns();
	expect(fd, "ok ready\n");
	leave(fd);
}

static void
one_that_cannot_be_had(void **state)
{
	struct error err = ERROR_INIT;
	struct control second = { .setup = { .loop = NULL } };

	(void)state;
	control_init(&second, &room.control.setup);
	assert_int_equal(control_open(&second, &err), -EBUSY);
	assert_non_null(strstr(error_text(&err), "already running, pid"));
	error_clear(&err);
	control_close(&second);
	expect_served();
	/* Nor is there anything to close without a beginning. */
	second = (struct control){ .setup = { .loop = NULL } };
	control_close(&second);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, room_begin, room_end)
	const struct CMUnitTest tests[] = {
		T(a_request_in_pieces),
		T(requests_in_one_packet),
		T(requests_take_turns),
		T(garbage),
		T(a_line_that_is_too_long),
		T(no_newline_at_the_end),
		T(nothing_at_all),
		T(strangers_are_refused),
		T(waiting),
		T(status_of_the_program),
		T(stopping),
		T(stopping_after_a_failure),
		T(asking_and_leaving),
		T(a_reload_that_is_refused),
		T(a_flood_of_reasons),
		T(following),
		T(last_lines),
		T(watching),
		T(what_has_happened),
		T(one_that_watches_too_slowly),
		T(its_file_comes_back),
		T(one_that_cannot_be_had),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
