#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "linux/loop/loop.h"
#include "room.h"
#include "turns.h"

static void
told(void *ctx)
{
	struct room *room = ctx;

	room->told++;
}

static void
turned(void *ctx)
{
	struct room *room = ctx;

	outputs_turn(&room->outs);
}

int
room_enter(void **state)
{
	struct room *room = calloc(1, sizeof(*room));

	assert_non_null(room);
	strcpy(room->dir, "/tmp/test-outputs-XXXXXX");
	assert_non_null(mkdtemp(room->dir));
	snprintf(room->path, sizeof(room->path), "%s/log", room->dir);
	room->config.refs = 1;
	room->standard[0] = room->standard[1] = -1;
	assert_int_equal(loop_new(&room->loop, NULL), 0);
	outputs_init(&room->outs, room->loop, told, room);
	turns_begin(room->loop, turned, room);
	hear(true);
	*state = room;
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
restore_standard(struct room *room)
{
	for (int i = 0; i < 2; i++)
		if (room->standard[i] >= 0) {
			(void)fflush(i == 0 ? stdout : stderr);
			(void)dup2(room->standard[i], i + 1);
			fd_close(&room->standard[i]);
		}
}

int
room_leave(void **state)
{
	struct room *room = *state;

	outputs_fini(&room->outs);
	restore_standard(room);
	loop_free(room->loop);
	(void)nftw(room->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	(void)heard();
	/* Nobody has kept the configuration. */
	assert_int_equal(room->config.refs, 1);
	free(room->text);
	free(room);
	return 0;
}

/* ---- a worker's side ---- */

void
stream_init(struct stream *s, const char *app, char *path)
{
	*s = (struct stream){
		.conf = {
			.name = (char *)(uintptr_t)app,
			.out = { .kind = CONF_OUTPUT_FILE, .path = path },
			.log_max_size = -1,
		},
		.end = -1,
	};
}

void
stream_open(struct room *room, struct stream *s, unsigned instance)
{
	if (s->to == NULL)
		assert_int_equal(outputs_acquire(&room->outs, &room->config,
		    &s->conf, &s->conf.out, &s->to, NULL), 0);
	assert_int_equal(outputs_open_pipe(&room->outs, s->to, &s->conf,
	    instance, OUT_STREAM_STDOUT, &s->pipe, &s->end), 0);
	assert_non_null(s->pipe);
	/* A worker gets a pipe that waits; the test must not. */
	assert_int_equal(fcntl(s->end, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(s->end, F_SETFL, O_NONBLOCK), 0);
}

void
stream_close(struct stream *s)
{
	fd_close(&s->end);
	turns_run();
	assert_null(s->pipe);
	output_unref(s->to);
	s->to = NULL;
}

void
say(const struct stream *s, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(write(s->end, text, len), len);
}

unsigned
say_lines(const struct stream *s, unsigned next, unsigned end)
{
	char line[LINE_LEN + 1];

	for (; next < end; next++) {
		snprintf(line, sizeof(line), "%0*u\n", LINE_LEN - 1, next);
		if (write(s->end, line, LINE_LEN) < 0) {
			assert_int_equal(errno, EAGAIN);
			break;
		}
	}
	return next;
}

unsigned
say_all(const struct stream *s, unsigned next)
{
	unsigned before;

	do {
		before = next;
		next = say_lines(s, next, UINT32_MAX);
		turns_run();
	} while (next > before);
	return next;
}

/* ---- a reader's side ---- */

char *
read_fd(struct room *room, int fd)
{
	struct strbuf sb = STRBUF_INIT;
	char some[4096];
	ssize_t n;

	while ((n = read(fd, some, sizeof(some))) > 0)
		strbuf_add(&sb, some, (size_t)n);
	free(room->text);
	room->text = strbuf_take(&sb);
	assert_non_null(room->text);
	return room->text;
}

char *
read_file(struct room *room, const char *path)
{
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	read_fd(room, fd);
	fd_close(&fd);
	return room->text;
}

unsigned
expect_lines(const char *text, unsigned *next)
{
	unsigned n = 0;

	for (; *text != '\0'; text += LINE_LEN, n++) {
		unsigned number = (unsigned)strtoul(text, NULL, 10);

		assert_true(strlen(text) >= LINE_LEN);
		assert_int_equal(text[LINE_LEN - 1], '\n');
		assert_true(number >= *next);
		*next = number + 1;
	}
	return n;
}

int
make_fifo(struct room *room)
{
	int fd;

	assert_int_equal(mkfifo(room->path, 0600), 0);
	fd = open(room->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_SETPIPE_SZ, 4096) >= 4096);
	return fd;
}
