/* One place: its states, tags, and whose the lines are that it loses. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/resource.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "core/conf/conf.h"
#include "daemon/output/out_kept.h"
#include "daemon/output/out_waiters.h"
#include "daemon/output/output.h"
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
	assert_int_equal(output_new_file(place->loop, &place->files,
	    place->path, &place->config, &place->conf, &place->output, NULL),
	    0);
	return place->output;
}

static void
put(struct output *o, const char *app, unsigned instance, const char *lines)
{
	char tag[OUT_TAG_MAX];
	size_t len = output_tag(o, tag, app, instance);

	output_put(o, app, tag, len, lines, strlen(lines));
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

	while (output_room(o, strlen("web.1 | ")) > 0) {
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
	char tag[OUT_TAG_MAX];

	put(o, "web", 1, "one\ntwo\n");
	put(o, "api", 12, "\n");
	assert_string_equal(text_of(place),
	    "web.1 | one\nweb.1 | two\napi.12 | \n");
	output_unref(o);
	place->output = NULL;
	fd_close(&place->ends[0]);
	fd_close(&place->ends[1]);

	o = open_file(place);
	assert_int_equal(output_tag(o, tag, "web", 1), 0);
	put(o, "web", 1, "one\ntwo\n");
	assert_string_equal(text_of(place), "one\ntwo\n");
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
	assert_true(output_room(o, 0) > 0);
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
	assert_int_equal(output_room(o, 8), OUTPUT_READ_MAX);
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
