/* Readers that are slow or stuck, and the end. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "room.h"
#include "turns.h"

/* ---- readers ---- */

static void
slow_reader_loses_nothing(void **state)
{
	enum { N = 20000 };
	struct room *room = *state;
	int reader = make_fifo(room);
	unsigned said = 0, next = 0, got = 0, held = 0;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	while (got < N) {
		unsigned before = said;

		said = say_lines(&s, said, N);
		held += said == before && said < N;
		turns_pass(900);
		got += expect_lines(read_fd(room, reader), &next);
		turns_run();
	}
	assert_int_equal(next, N);
	/* The worker was, as by a pipe of its own. */
	assert_true(held > 0);
	assert_string_equal(heard(), "");
	stream_close(&s);
	fd_close(&reader);
}

static void
stuck_reader_holds_up_nobody(void **state)
{
	struct room *room = *state;
	int reader = make_fifo(room);
	unsigned said, kept, next = 0, got = 0, n;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	said = kept = say_all(&s, 0);
	/* Held up for a second, and no longer. */
	turns_pass(OUTPUT_STUCK_MS - 1);
	assert_int_equal(say_all(&s, said), said);
	turns_pass(1);
	for (int i = 0; i < 20; i++) {
		n = say_lines(&s, said, UINT32_MAX);
		assert_true(n > said);
		said = n;
		turns_run();
	}
	/* That costs no time, and is not told before there is room. */
	turns_pass(60000);
	assert_string_equal(heard(), "");

	do {
		n = expect_lines(read_fd(room, reader), &next);
		got += n;
		turns_run();
	} while (n > 0);
	/* Most of what the place may have kept for it had come, but not what
	   was left in the worker's pipe. */
	assert_true(got >= 192 * 1024 / LINE_LEN);
	assert_true(got < kept);
	assert_int_equal(told_losses(heard()), said - got);
	/* And on it goes. */
	next = said;
	assert_int_equal(say_lines(&s, said, said + 10), said + 10);
	turns_run();
	assert_int_equal(expect_lines(read_fd(room, reader), &next), 10);
	assert_string_equal(heard(), "");
	stream_close(&s);
	fd_close(&reader);
}

static void
other_places_are_not_held_up(void **state)
{
	struct room *room = *state;
	int reader = make_fifo(room);
	char path[80];
	struct stream stuck, s;
	unsigned next = 0;

	snprintf(path, sizeof(path), "%s/other", room->dir);
	stream_init(&stuck, "stuck", room->path);
	stream_open(room, &stuck, 1);
	stream_init(&s, "web", path);
	stream_open(room, &s, 1);
	(void)say_all(&stuck, 0);
	assert_int_equal(say_lines(&s, 0, 100), 100);
	turns_run();
	assert_int_equal(expect_lines(read_file(room, path), &next), 100);
	stream_close(&s);
	fd_close(&stuck.end);
	output_unref(stuck.to);
	outputs_finish(&room->outs);
	fd_close(&reader);
}

/* ---- the end ---- */

static void
end_takes_what_is_left(void **state)
{
	struct room *room = *state;
	unsigned next = 0;
	struct stream s;
	char *text;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	/* More than a read, and a line without an end; no turn comes. */
	assert_int_equal(say_lines(&s, 0, 1000), 1000);
	say(&s, "last words");
	outputs_finish(&room->outs);
	assert_null(s.pipe);
	text = read_file(room, room->path);
	assert_string_equal(text + 1000 * LINE_LEN, "last words\n");
	text[1000 * LINE_LEN] = '\0';
	assert_int_equal(expect_lines(text, &next), 1000);
	fd_close(&s.end);
	output_unref(s.to);
}

/* It is over after a while, and what is lost is told. */
static void
end_does_not_wait_for_a_stuck_reader(void **state)
{
	struct room *room = *state;
	int reader = make_fifo(room);
	unsigned said, next = 0, got;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	said = say_all(&s, 0);
	outputs_finish(&room->outs);
	assert_null(s.pipe);
	got = expect_lines(read_fd(room, reader), &next);
	assert_int_equal(got, 4096 / LINE_LEN);
	assert_int_equal(told_losses(heard()), said - got);
	fd_close(&s.end);
	output_unref(s.to);
	fd_close(&reader);
}

/* Also of an output that nobody holds any more. */
static void
what_is_kept_is_written_when_nobody_needs_it(void **state)
{
	struct room *room = *state;
	int reader = make_fifo(room);
	unsigned next = 0, got = 0, n;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	assert_int_equal(say_lines(&s, 0, 900), 900);
	stream_close(&s);
	do {
		n = expect_lines(read_fd(room, reader), &next);
		got += n;
		turns_run();
	} while (n > 0);
	assert_int_equal(got, 900);
	assert_string_equal(heard(), "");
	/* Its writer is gone: the end of the file, not a pipe that is empty. */
	assert_int_equal(read(reader, &(char){ 0 }, 1), 0);
	fd_close(&reader);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(slow_reader_loses_nothing),
		TEST(stuck_reader_holds_up_nobody),
		TEST(other_places_are_not_held_up),
		TEST(end_takes_what_is_left),
		TEST(end_does_not_wait_for_a_stuck_reader),
		TEST(what_is_kept_is_written_when_nobody_needs_it),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	/* Whatever waits for somebody here waits for ever. */
	(void)alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
