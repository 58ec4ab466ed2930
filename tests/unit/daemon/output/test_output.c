/* One place: its states, tags, and whose the lines are that it loses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <sys/resource.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/fd.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/output/out_kept.h"
#include "daemon/output/out_waiters.h"
#include "daemon/output/output.h"
#include "core/output/line_split.h"
#include "daemon/output/output_put.h"
#include "linux/loop/loop.h"
#include "turns.h"

/* A standard stream that is a pipe with room for a page, or a file. */
struct place {
	struct loop *loop;
	struct output *output;
	int ends[2];		/* of the pipe; -1: none */
	struct output_files files;
	struct config config;
	struct conf_app conf;
	char path[32];		/* "": no file */
	char *text;		/* what was last read */
	unsigned resumed;
	bool resumes;
	struct out_waiter waiter;
};

static int
enter(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	assert_non_null(place);
	assert_int_equal(loop_new(&place->loop, NULL), 0);
	place->ends[0] = place->ends[1] = -1;
	place->config.refs = 1;
	turns_begin(place->loop, NULL, NULL);
	hear(true);
	*state = place;
	return 0;
}

static int
leave(void **state)
{
	struct place *place = *state;

	if (place->output != NULL) {
		output_close(place->output);
		output_unref(place->output);
	}
	fd_close(&place->ends[0]);
	fd_close(&place->ends[1]);
	loop_free(place->loop);
	if (*place->path != '\0')
		(void)unlink(place->path);
	(void)heard();
	assert_int_equal(place->config.refs, 1);
	free(place->text);
	free(place);
	return 0;
}

static struct output *
open_pipe(struct place *place)
{
	assert_int_equal(pipe2(place->ends, O_CLOEXEC), 0);
	assert_int_equal(fcntl(place->ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_true(fcntl(place->ends[1], F_SETPIPE_SZ, 4096) >= 4096);
	assert_int_equal(output_new_standard(place->loop, place->ends[1],
	    "standard output", &place->output), 0);
	return place->output;
}

static struct output *
open_file(struct place *place)
{
	int fd;

	strcpy(place->path, "/tmp/test-output-XXXXXX");
	fd = mkstemp(place->path);
	assert_true(fd >= 0);
	fd_close(&fd);
	place->conf.log_max_size = -1;
	assert_int_equal(output_new_file(place->loop, &place->files, NULL, NULL,
	    place->path, &place->config, &place->conf, &place->output, NULL),
	    0);
	return place->output;
}

static void
put(struct output *o, const char *app, unsigned instance, const char *lines)
{
	struct out_form form;

	out_form_make(&form, output_kind(o), false, app, instance, 1,
	    output_has_colour(o));
	output_put(o, app, &form, lines, strlen(lines));
}

/* For lines of `web`. */
static size_t
room(struct output *o)
{
	struct out_form form;

	out_form_make(&form, output_kind(o), false, "web", 1, 1, false);
	return output_room(o, &form);
}

/* What is in the pipe, until nothing more comes; or in the file. */
static char *
text_of(struct place *place)
{
	struct strbuf sb = STRBUF_INIT;
	char some[4096];
	int fd = place->ends[0];
	ssize_t n;

	if (*place->path != '\0')
		fd = open(place->path, O_RDONLY);
	assert_true(fd >= 0);
	while ((n = read(fd, some, sizeof(some))) > 0) {
		strbuf_add(&sb, some, (size_t)n);
		turns_run();
	}
	if (*place->path != '\0')
		fd_close(&fd);
	free(place->text);
	place->text = strbuf_take(&sb);
	assert_non_null(place->text);
	return place->text;
}

static size_t
count(const char *text, const char *what)
{
	size_t n = 0;

	for (; (text = strstr(text, what)) != NULL; text++)
		n++;
	return n;
}

static char *
long_line(char first, size_t len)
{
	char *line = malloc(len + 2);

	assert_non_null(line);
	memset(line, first, len);
	strcpy(line + len, "\n");
	return line;
}

/* Lines of `web` until there is no room for a read. Returns how many. */
static size_t
fill(struct output *o)
{
	char *line = long_line('w', 1000);
	size_t n = 0;

	while (room(o) > 0) {
		put(o, "web", 1, line);
		n++;
		assert_true(n < 1000);
	}
	free(line);
	return n;
}

/* ---- lines ---- */

static void
tags_are_for_the_standard_streams(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);

	put(o, "web", 1, "one\ntwo\n");
	put(o, "api", 12, "\n");
	assert_string_equal(text_of(place),
	    "web.1 | one\nweb.1 | two\napi.12 | \n");
	output_unref(o);
	place->output = NULL;
	fd_close(&place->ends[0]);
	fd_close(&place->ends[1]);

	o = open_file(place);
	assert_int_equal(output_kind(o), OUT_KIND_PLAIN);
	put(o, "web", 1, "one\ntwo\n");
	assert_string_equal(text_of(place), "one\ntwo\n");
}

/* As log_format has them. */
static void
lines_as_objects(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);
	struct out_form form;

	log_set_format(LOG_FORMAT_JSON);
	out_form_make(&form, output_kind(o), false, "web", 1, 2, true);
	log_set_format(LOG_FORMAT_TEXT);
	out_form_set_time(&form, 1795428000123);
	form.goes_on = true;
	output_put(o, "web", &form, "a \"b\"\n\n", 7);
#define HEAD "{\"time\":\"2026-11-23T10:00:00.123Z\",\"app\":\"web\"," \
	    "\"instance\":1,\"stream\":\"stderr\",\"line\":\""
	assert_string_equal(text_of(place), HEAD "a \\\"b\\\"\"}\n"
	    HEAD "\",\"cont\":true}\n");
#undef HEAD
}

/* With the longest names, too, and nothing is lost of what there was room for. */
static void
objects_have_room(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);
	const char *name = "abcdefghijklmnopqrstuvwxyz012345";
	static char newlines[OUTPUT_READ_MAX];
	static char line[LINE_SPLIT_MAX + 1];
	struct out_form form;
	size_t n;

	log_set_format(LOG_FORMAT_JSON);
	out_form_make(&form, output_kind(o), false, name, 4095, 2, false);
	log_set_format(LOG_FORMAT_TEXT);
	n = output_room(o, &form);
	assert_true(n > 0 && n <= sizeof(newlines));
	/* What is held of a line, of bytes that take the most, and lines. */
	memset(line, '\033', LINE_SPLIT_MAX);
	line[LINE_SPLIT_MAX] = '\n';
	output_put(o, name, &form, line, sizeof(line));
	memset(newlines, '\n', sizeof(newlines));
	output_put(o, name, &form, newlines, n);
	(void)text_of(place);
	output_close(o);
	assert_string_equal(heard(), "");
}

/* A file's, too, which is rotated between two of them. */
static void
lines_with_their_time(void **state)
{
	struct place *place = *state;
	struct output *o = open_file(place);
	struct out_form form;

	out_form_make(&form, output_kind(o), true, "web", 1, 1, false);
	out_form_set_time(&form, 1795428000123);
	output_put(o, "web", &form, "one\ntwo\n", 8);
	assert_string_equal(text_of(place), "2026-11-23T10:00:00.123Z one\n"
	    "2026-11-23T10:00:00.123Z two\n");
	/* Beside lines of others, who want no time. */
	put(o, "api", 1, "three\n");
	output_put(o, "web", &form, "four\n", 5);
	assert_string_equal(text_of(place), "2026-11-23T10:00:00.123Z one\n"
	    "2026-11-23T10:00:00.123Z two\nthree\n"
	    "2026-11-23T10:00:00.123Z four\n");
}

/* A file is rotated between two lines, not within what came at once. */
static void
lines_with_their_time_and_a_full_file(void **state)
{
	struct place *place = *state;
	struct output *o = open_file(place);
	struct out_form form;
	char old[64];
	struct stat st;

	place->conf.log_max_size = 1000;
	place->conf.log_keep = 1;
	out_form_make(&form, output_kind(o), true, "web", 1, 1, false);
	/* 33 lines of 30 bytes are 990. */
	for (int i = 0; i < 12; i++)
		output_put(o, "web", &form, "four\nfour\nfour\nfour\n", 20);
	assert_int_equal(stat(place->path, &st), 0);
	assert_true(st.st_size < 1000 && st.st_size % 30 == 0);
	snprintf(old, sizeof(old), "%s.1", place->path);
	assert_int_equal(stat(old, &st), 0);
	assert_int_equal(st.st_size, 990);
	assert_int_equal(unlink(old), 0);
}

static void
lines_of_the_log_keep_their_place(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);
	size_t n = fill(o);
	char *text;

	/* There is always room for some. */
	assert_true(output_put_aside(o, "own\n", 4));
	put(o, "api", 1, "last\n");
	text = text_of(place);
	assert_int_equal(count(text, "web.1 | w"), n);
	assert_string_equal(text + n * strlen("web.1 | \n") + n * 1000,
	    "own\napi.1 | last\n");
	assert_string_equal(heard(), "");
}

/* ---- waiting for room ---- */

static bool
resume(struct out_waiter *w)
{
	struct place *place = (struct place *)((char *)w -
	    offsetof(struct place, waiter));

	place->resumed++;
	return place->resumes;
}

static void
who_waits_goes_on_when_there_is_room(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);

	place->waiter.resume = resume;
	(void)fill(o);
	output_hold(o, &place->waiter);
	turns_pass(OUTPUT_STUCK_MS / 2);
	assert_int_equal(place->resumed, 0);
	(void)text_of(place);
	assert_true(room(o) > 0);
	assert_true(place->resumed > 0);
	/* It could not be watched: again, until it can. */
	assert_true(place->waiter.held);
	place->resumed = 0;
	turns_pass(1000);
	assert_true(place->resumed > 0);
	place->resumes = true;
	turns_pass(1000);
	assert_false(place->waiter.held);
	place->resumed = 0;
	turns_pass(1000);
	assert_int_equal(place->resumed, 0);

	/* One that has gone is not called. */
	(void)fill(o);
	output_hold(o, &place->waiter);
	output_unhold(o, &place->waiter);
	output_unhold(o, &place->waiter);
	(void)text_of(place);
	assert_int_equal(place->resumed, 0);
}

/* ---- a stuck reader ---- */

static void
losses_are_told_by_app(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);
	size_t n = fill(o);
	const char *log;
	char *text;

	turns_pass(OUTPUT_STUCK_MS);
	/* Read on, to be lost. */
	assert_int_equal(room(o), OUTPUT_READ_MAX);
	put(o, "web", 1, "lost\nlost\n");
	put(o, "api", 1, "lost\n");
	put(o, "web", 2, "lost\n");
	assert_string_equal(heard(), "");
	/* What was kept before is there still. */
	text = text_of(place);
	assert_int_equal(count(text, "web.1 | w"), n);
	assert_int_equal(count(text, "\n"), n);
	log = heard();
	assert_int_equal(count(log, "\n"), 2);
	assert_non_null(strstr(log, "web: 3 lines of output were lost: "
	    "standard output takes nothing"));
	assert_non_null(strstr(log, "api: 1 line of output was lost: "
	    "standard output takes nothing"));
	put(o, "web", 1, "again\n");
	assert_string_equal(text_of(place), "web.1 | again\n");
	assert_string_equal(heard(), "");
}

static void
losses_are_told_when_the_log_has_room(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);

	(void)fill(o);
	turns_pass(OUTPUT_STUCK_MS);
	put(o, "web", 1, "lost\n");
	hear(false);
	(void)text_of(place);
	turns_pass(5000);
	hear(true);
	put(o, "web", 1, "fine\n");
	assert_int_equal(told_losses(heard()), 1);
	/* Once. */
	turns_pass(5000);
	assert_string_equal(heard(), "");
}

/* What is kept when all ends is lost too, and whose it is, is known from the
   tags. */
static void
end_tells_whose_lines_are_left(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);
	size_t n = fill(o), got;
	const char *log;
	char words[64];
	int fd;

	put(o, "api", 1, "left\n");
	assert_true(output_flush(o, &fd) > 0);
	assert_true(fd >= 0);
	output_give_up(o);
	assert_int_equal(output_flush(o, &fd), 0);
	output_close(o);
	log = heard();
	got = count(text_of(place), "web.1 | w");
	/* A line that was cut counts as lost. */
	if (place->text[strlen(place->text) - 1] != '\n')
		got--;
	snprintf(words, sizeof(words), "web: %zu lines", n - got);
	assert_non_null(strstr(log, words));
	assert_non_null(strstr(log, "api: 1 line of"));
}

/* ---- what cannot be written ---- */

static void
reader_that_is_gone_is_told_once(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);
	const char *log;

	fd_close(&place->ends[0]);
	put(o, "web", 1, "lost\n");
	log = heard();
	assert_int_equal(count(log, "\n"), 1);
	assert_non_null(strstr(log, "standard output cannot be written: "
	    "Broken pipe; output is lost until it can"));
	for (int i = 0; i < 5; i++) {
		put(o, "web", 1, "lost\n");
		turns_pass(OUTPUT_RETRY_MS);
	}
	assert_string_equal(heard(), "");
	output_close(o);
	assert_int_equal(told_losses(heard()), 6);
}

static void
set_size_limit(rlim_t size)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that is full, and has room again. */
static void
cut_line_gets_its_end_when_there_is_room(void **state)
{
	struct place *place = *state;
	struct output *o = open_file(place);
	const char *log;

	set_size_limit(10);
	put(o, "web", 1, "whole\ncut line\nlost\n");
	assert_string_equal(text_of(place), "whole\ncut ");
	log = heard();
	assert_int_equal(count(log, "\n"), 1);
	assert_non_null(strstr(log, "output is lost until it can"));
	put(o, "api", 1, "lost\n");
	set_size_limit(RLIM_INFINITY);
	/* It is not tried for each line. */
	put(o, "api", 1, "lost\n");
	assert_string_equal(text_of(place), "whole\ncut ");
	turns_pass(OUTPUT_RETRY_MS);
	put(o, "web", 1, "fine\n");
	assert_string_equal(text_of(place), "whole\ncut \nfine\n");
	log = heard();
	assert_non_null(strstr(log, "web: 2 lines of"));
	assert_non_null(strstr(log, "api: 2 lines of"));
	assert_non_null(strstr(log, "File too large"));
}

/* The same file goes on with its end, another begins with a line. */
static void
cut_line_and_a_file_opened_anew(void **state)
{
	struct place *place = *state;
	struct output *o = open_file(place);
	char old[40];

	set_size_limit(4);
	put(o, "web", 1, "cut line\n");
	set_size_limit(RLIM_INFINITY);
	/* It is tried at once then. */
	assert_int_equal(output_reopen(o, NULL), 0);
	put(o, "web", 1, "fine\n");
	assert_string_equal(text_of(place), "cut \nfine\n");

	set_size_limit(14);
	put(o, "web", 1, "cut line\n");
	set_size_limit(RLIM_INFINITY);
	snprintf(old, sizeof(old), "%s.old", place->path);
	assert_int_equal(rename(place->path, old), 0);
	assert_int_equal(output_reopen(o, NULL), 0);
	assert_int_equal(unlink(old), 0);
	put(o, "web", 1, "fine\n");
	assert_string_equal(text_of(place), "fine\n");
}

static void
line_that_others_cut_gets_its_end(void **state)
{
	struct place *place = *state;
	struct output *o = open_pipe(place);

	output_set_cut(o);
	put(o, "web", 1, "one\n");
	assert_string_equal(text_of(place), "\nweb.1 | one\n");
	output_set_cut(o);
	assert_true(output_put_aside(o, "own\n", 4));
	assert_string_equal(text_of(place), "\nown\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(tags_are_for_the_standard_streams),
		TEST(lines_as_objects),
		TEST(objects_have_room),
		TEST(lines_with_their_time),
		TEST(lines_with_their_time_and_a_full_file),
		TEST(lines_of_the_log_keep_their_place),
		TEST(who_waits_goes_on_when_there_is_room),
		TEST(losses_are_told_by_app),
		TEST(losses_are_told_when_the_log_has_room),
		TEST(end_tells_whose_lines_are_left),
		TEST(reader_that_is_gone_is_told_once),
		TEST(cut_line_gets_its_end_when_there_is_room),
		TEST(cut_line_and_a_file_opened_anew),
		TEST(line_that_others_cut_gets_its_end),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* Whatever waits for somebody here waits for ever. */
	(void)alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
