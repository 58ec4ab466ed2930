/* Pipes of workers to places, and the last lines. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "linux/loop/loop.h"
#include "room.h"
#include "turns.h"

/* ---- pipes to a file ---- */

static void
lines_come_out_whole(void **state)
{
	struct room *room = *state;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	turns_run();
	assert_int_equal(room->told, 0);
	say(&s, "one\ntw");
	turns_run();
	assert_string_equal(read_file(room, room->path), "one\n");
	assert_int_equal(room->told, 1);
	say(&s, "o");
	turns_run();
	assert_string_equal(read_file(room, room->path), "one\n");
	assert_int_equal(room->told, 1);
	say(&s, "\nthree\n");
	turns_run();
	assert_string_equal(read_file(room, room->path), "one\ntwo\nthree\n");
	assert_int_equal(room->told, 2);
	stream_close(&s);
	assert_string_equal(read_file(room, room->path), "one\ntwo\nthree\n");
}

static void
end_of_a_pipe_ends_its_line(void **state)
{
	struct room *room = *state;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	say(&s, "no newline ever");
	turns_run();
	assert_string_equal(read_file(room, room->path), "");
	stream_close(&s);
	assert_string_equal(read_file(room, room->path), "no newline ever\n");
}

static void
worker_that_left_is_heard_to_the_end(void **state)
{
	struct room *room = *state;
	struct stream s;

	stream_init(&s, "web", room->path);
	stream_open(room, &s, 1);
	say(&s, "before\n");
	out_pipe_leave(&s.pipe);
	assert_null(s.pipe);
	/* Its descendant has the stream too. */
	say(&s, "behind\n");
	turns_run();
	stream_close(&s);
	assert_string_equal(read_file(room, room->path), "before\nbehind\n");
}

static void
pipes_to_one_place_do_not_cut_lines(void **state)
{
	struct room *room = *state;
	struct stream a, b;

	stream_init(&a, "a", room->path);
	stream_init(&b, "b", room->path);
	stream_open(room, &a, 1);
	stream_open(room, &b, 1);
	assert_ptr_equal(a.to, b.to);
	say(&a, "aaa");
	turns_run();
	say(&b, "bbb\nb");
	turns_run();
	say(&a, "AAA\n");
	turns_run();
	say(&b, "BB\n");
	turns_run();
	assert_string_equal(read_file(room, room->path),
	    "bbb\naaaAAA\nbBB\n");
	stream_close(&a);
	say(&b, "alone\n");
	stream_close(&b);
	assert_string_equal(read_file(room, room->path),
	    "bbb\naaaAAA\nbBB\nalone\n");
}

static void
what_is_not_piped_has_no_output(void **state)
{
	struct room *room = *state;
	struct error err = ERROR_INIT;
	struct output *to = (struct output *)room;
	struct stream s;

	stream_init(&s, "web", room->path);
	s.conf.out.kind = CONF_OUTPUT_INHERIT;
	assert_int_equal(outputs_acquire(&room->outs, &room->config, &s.conf,
	    &s.conf.out, &to, &err), 0);
	assert_null(to);
	/* Nor has what cannot be opened, which is told in words. */
	s.conf.out.kind = CONF_OUTPUT_FILE;
	s.conf.out.path = room->dir;
	assert_int_equal(outputs_acquire(&room->outs, &room->config, &s.conf,
	    &s.conf.out, &to, &err), -EISDIR);
	assert_non_null(strstr(error_text(&err), room->dir));
	error_clear(&err);
}

/* A turn reads so much and no more, and each pipe once before any twice. */
static void
noisy_pipes_take_turns(void **state)
{
	enum { N = 80 };
	struct room *room = *state;
	struct stream *v = calloc(N, sizeof(*v));
	unsigned said[N], n_read = 0;
	bool had_turn[N];

	assert_non_null(v);
	for (unsigned i = 0; i < N; i++) {
		stream_init(&v[i], "web", room->path);
		stream_open(room, &v[i], i + 1);
		said[i] = say_lines(&v[i], 0, UINT32_MAX);
		assert_true(said[i] > 0);
	}
	loop_turn(room->loop);
	outputs_turn(&room->outs);
	for (unsigned i = 0; i < N; i++) {
		had_turn[i] = say_lines(&v[i], 0, said[i]) > 0;
		n_read += had_turn[i];
	}
	/* The others had to wait, and are those that come now. */
	assert_true(n_read > 0 && n_read < N);
	loop_turn(room->loop);
	outputs_turn(&room->outs);
	for (unsigned i = 0; i < N; i++)
		assert_true((say_lines(&v[i], 0, 1) > 0) != had_turn[i]);
	for (unsigned i = 0; i < N; i++)
		stream_close(&v[i]);
	free(v);
}

/* ---- the last lines ---- */

static const struct ring *found;
static const char *wanted;

static void
find_ring(void *ctx, const char *app, const struct ring *ring)
{
	(void)ctx;
	if (strcmp(app, wanted) == 0)
		found = ring;
}

static const struct ring *
ring_of(const struct room *room, const char *app)
{
	found = NULL;
	wanted = app;
	out_tails_each(outputs_tails(&room->outs), find_ring, NULL);
	return found;
}

static void
expect_last(const struct ring *ring, struct ring_cursor *c, const char *line,
    unsigned instance)
{
	static char text[LINE_SPLIT_MAX];
	struct ring_line l;

	assert_true(ring_next(ring, c, text, &l));
	assert_int_equal(l.len, strlen(line));
	assert_memory_equal(l.text, line, l.len);
	assert_int_equal(l.source.instance, instance);
	assert_int_equal(l.source.stream, 1);
}

static uint64_t
n_lines(const struct ring *ring)
{
	return ring->n_lines - ring->first_line;
}

static void
last_lines_are_each_apps(void **state)
{
	struct room *room = *state;
	struct stream a1, a2, b;
	struct ring_cursor c = { .ring = 0 };

	stream_init(&a1, "a", room->path);
	stream_init(&a2, "a", room->path);
	stream_init(&b, "b", room->path);
	stream_open(room, &a1, 1);
	stream_open(room, &a2, 2);
	stream_open(room, &b, 1);
	say(&a1, "first\n");
	turns_run();
	say(&b, "other\n");
	turns_run();
	say(&a2, "second\nhalf");
	turns_run();
	assert_int_equal(out_tails_seq(outputs_tails(&room->outs)), 3);
	expect_last(ring_of(room, "a"), &c, "first", 1);
	expect_last(ring_of(room, "a"), &c, "second", 2);
	assert_int_equal(n_lines(ring_of(room, "a")), 2);
	c = (struct ring_cursor){ .ring = 0 };
	expect_last(ring_of(room, "b"), &c, "other", 1);
	assert_null(ring_of(room, "c"));
	stream_close(&a1);
	stream_close(&a2);
	stream_close(&b);
	/* They outlive the pipes. */
	assert_int_equal(n_lines(ring_of(room, "a")), 3);
}

static void
last_lines_are_forgotten_with_their_app(void **state)
{
	struct room *room = *state;
	uint64_t changes = out_tails_changes(outputs_tails(&room->outs));
	struct stream old, new;
	struct ring_cursor c = { .ring = 0 };

	stream_init(&old, "a", room->path);
	stream_open(room, &old, 1);
	assert_true(out_tails_changes(outputs_tails(&room->outs)) != changes);
	changes = out_tails_changes(outputs_tails(&room->outs));
	say(&old, "old\n");
	turns_run();
	outputs_forget(&room->outs, "a");
	assert_null(ring_of(room, "a"));
	assert_true(out_tails_changes(outputs_tails(&room->outs)) != changes);
	/* A process that is left still has its place, and no ring. */
	say(&old, "left\n");
	turns_run();
	assert_null(ring_of(room, "a"));
	assert_int_equal(out_tails_seq(outputs_tails(&room->outs)), 1);
	stream_init(&new, "a", room->path);
	stream_open(room, &new, 1);
	say(&old, "left still\n");
	turns_run();
	say(&new, "new\n");
	turns_run();
	expect_last(ring_of(room, "a"), &c, "new", 1);
	assert_int_equal(n_lines(ring_of(room, "a")), 1);
	stream_close(&old);
	stream_close(&new);
	assert_string_equal(read_file(room, room->path),
	    "old\nleft\nleft still\nnew\n");
	outputs_forget(&room->outs, "never seen");
}

/* ---- standard output and error ---- */

/* Both lead to the file at the room's path. */
static void
replace_standard(struct room *room)
{
	int fd = open(room->path, O_WRONLY | O_APPEND | O_CREAT, 0600);

	assert_true(fd >= 0);
	(void)fflush(NULL);
	for (int i = 0; i < 2; i++) {
		room->standard[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 3);
		assert_true(room->standard[i] >= 0);
		assert_int_equal(dup2(fd, i + 1), i + 1);
	}
	fd_close(&fd);
	/* Where the log goes is known when it is opened. */
	log_set_aside(NULL, NULL);
	assert_int_equal(log_open(NULL, NULL), 0);
}

static void
lines_for_the_standard_streams_have_tags(void **state)
{
	struct room *room = *state;
	const struct log_about about = { .app = "api", .instance = 2 };
	struct stream out, err;
	char *text, *log;

	stream_init(&out, "web", NULL);
	stream_init(&err, "api", NULL);
	out.conf.out.kind = err.conf.out.kind = CONF_OUTPUT_PREFIX;
	err.conf.err.kind = CONF_OUTPUT_PREFIX;
	replace_standard(room);
	stream_open(room, &out, 1);
	assert_int_equal(outputs_acquire(&room->outs, &room->config, &err.conf,
	    &err.conf.err, &err.to, NULL), 0);
	/* Two names of one place. */
	assert_ptr_equal(out.to, err.to);
	stream_open(room, &err, 2);
	say(&out, "half ");
	turns_run();
	say(&err, "whole\n");
	turns_run();
	log_about(LOG_LEVEL_INFO, &about, "clusterd's own");
	say(&out, "a line\n");
	turns_run();
	stream_close(&out);
	stream_close(&err);
	outputs_finish(&room->outs);
	log_set_aside(NULL, NULL);
	restore_standard(room);

	text = read_file(room, room->path);
	log = strchr(text, '\n') + 1;
	assert_memory_equal(text, "api.2 | whole\n", log - text);
	text = strchr(log, '\n');
	*text++ = '\0';
	assert_non_null(strstr(log, "api[2]: clusterd's own"));
	assert_string_equal(text, "web.1 | half a line\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_come_out_whole),
		TEST(end_of_a_pipe_ends_its_line),
		TEST(worker_that_left_is_heard_to_the_end),
		TEST(pipes_to_one_place_do_not_cut_lines),
		TEST(what_is_not_piped_has_no_output),
		TEST(noisy_pipes_take_turns),
		TEST(last_lines_are_each_apps),
		TEST(last_lines_are_forgotten_with_their_app),
		TEST(lines_for_the_standard_streams_have_tags),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	/* Whatever waits for somebody here waits for ever. */
	(void)alarm(120);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
