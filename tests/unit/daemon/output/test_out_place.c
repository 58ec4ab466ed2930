/* Files: rotation, and what is opened anew. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "room.h"
#include "turns.h"

static const char *
numbered(const struct room *room, unsigned i)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s.%u", room->path, i);
	return path;
}

static void
full_file_is_rotated(void **state)
{
	struct room *room = *state;
	unsigned next = 0;
	struct stream s;
	struct stat st;

	stream_init(&s, "web", room->path);
	s.conf.log_max_size = 10 * LINE_LEN + LINE_LEN / 2;
	s.conf.log_keep = 2;
	stream_open(room, &s, 1);
	/* Also where they come all at once. */
	assert_int_equal(say_lines(&s, 0, 25), 25);
	turns_run();
	assert_int_equal(say_lines(&s, 25, 35), 35);
	turns_run();
	assert_int_equal(stat(numbered(room, 3), &st), -1);
	assert_int_equal(expect_lines(read_file(room, numbered(room, 2)),
	    &next), 10);
	assert_int_equal(next, 20);
	assert_int_equal(expect_lines(read_file(room, numbered(room, 1)),
	    &next), 10);
	assert_int_equal(expect_lines(read_file(room, room->path), &next), 5);
	assert_int_equal(next, 35);
	stream_close(&s);
	assert_string_equal(heard(), "");
}

static void
full_file_of_which_none_is_kept_is_emptied(void **state)
{
	struct room *room = *state;
	unsigned next = 0;
	struct stream s;
	struct stat st;

	stream_init(&s, "web", room->path);
	s.conf.log_max_size = 10 * LINE_LEN;
	stream_open(room, &s, 1);
	assert_int_equal(say_lines(&s, 0, 13), 13);
	turns_run();
	assert_int_equal(stat(numbered(room, 1), &st), -1);
	assert_int_equal(expect_lines(read_file(room, room->path), &next), 3);
	assert_int_equal(next, 13);
	/* By what is in force now. */
	s.conf.log_max_size = -1;
	output_adjust(s.to, &room->config, &s.conf);
	assert_int_equal(say_lines(&s, 13, 100), 100);
	turns_run();
	next = 10;
	assert_int_equal(expect_lines(read_file(room, room->path), &next), 90);
	stream_close(&s);
}

static void
file_that_cannot_be_rotated_is_written_further(void **state)
{
	struct room *room = *state;
	unsigned next = 0;
	struct stream s;

	stream_init(&s, "web", room->path);
	s.conf.log_max_size = 10 * LINE_LEN;
	s.conf.log_keep = 1;
	/* A file does not take the place of a directory. */
	assert_int_equal(mkdir(numbered(room, 1), 0700), 0);
	stream_open(room, &s, 1);
	assert_int_equal(say_lines(&s, 0, 50), 50);
	turns_run();
	assert_int_equal(expect_lines(read_file(room, room->path), &next), 50);
	assert_non_null(strstr(heard(), "going on with the full file"));
	/* That is told once, and tried again after a while. */
	turns_pass(10000);
	assert_int_equal(say_lines(&s, 50, 60), 60);
	turns_run();
	assert_string_equal(heard(), "");
	assert_int_equal(rmdir(numbered(room, 1)), 0);
	assert_int_equal(say_lines(&s, 60, 70), 70);
	turns_run();
	assert_int_equal(expect_lines(read_file(room, room->path) +
	    50 * LINE_LEN, &next), 20);
	turns_pass(10000);
	assert_int_equal(say_lines(&s, 70, 71), 71);
	turns_run();
	assert_int_equal(expect_lines(read_file(room, room->path), &next), 1);
	assert_string_equal(heard(), "");
	stream_close(&s);
}

static void
file_that_was_put_away_is_opened_anew(void **state)
{
	struct room *room = *state;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	say(&s, "old\n");
	turns_run();
	assert_int_equal(rename(room->path, numbered(room, 9)), 0);
	say(&s, "still old\n");
	turns_run();
	outputs_reopen(&room->outs);
	say(&s, "new\n");
	turns_run();
	assert_string_equal(read_file(room, numbered(room, 9)),
	    "old\nstill old\n");
	assert_string_equal(read_file(room, room->path), "new\n");
	/* What cannot be opened changes nothing, and is told. */
	assert_string_equal(heard(), "");
	assert_int_equal(rename(room->path, numbered(room, 8)), 0);
	assert_int_equal(mkdir(room->path, 0700), 0);
	outputs_reopen(&room->outs);
	assert_non_null(strstr(heard(), "going on with the old one"));
	say(&s, "newer\n");
	turns_run();
	assert_string_equal(read_file(room, numbered(room, 8)),
	    "new\nnewer\n");
	stream_close(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(full_file_is_rotated),
		TEST(full_file_of_which_none_is_kept_is_emptied),
		TEST(file_that_cannot_be_rotated_is_written_further),
		TEST(file_that_was_put_away_is_opened_anew),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	/* Whatever waits for somebody here waits for ever. */
	(void)alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
