/* The room through its door: pipes of workers to places, and no worker. */
#ifndef TESTS_UNIT_DAEMON_OUTPUT_ROOM_H
#define TESTS_UNIT_DAEMON_OUTPUT_ROOM_H

#include "core/conf/conf.h"
#include "daemon/output/outputs.h"

struct loop;

/* A room, and a directory for its files. */
struct room {
	struct loop *loop;
	struct outputs outs;
	struct config config;
	char dir[32];
	char path[64];		/* DIR/log */
	char *text;		/* what was last read */
	unsigned told;		/* how often lines were told of */
	int standard[2];	/* what they were; -1: they still are */
};

/* A stream of an instance of an app. */
struct stream {
	struct conf_app conf;
	struct output *to;
	struct out_pipe *pipe;	/* NULL: at its end */
	int end;		/* the worker's; -1: closed */
};

/* For cmocka: makes *state a room, and ends it. */
int room_enter(void **state);
int room_leave(void **state);

/* A test that has a room. */
#define TEST(name) cmocka_unit_test_setup_teardown(name, room_enter, room_leave)

/* Take standard output and error back, if the test has replaced them. */
void restore_standard(struct room *room);

/* ---- a worker's side ---- */

/* The app's standard output, which goes to the file at `path`. */
void stream_init(struct stream *s, const char *app, char *path);

/* A pipe that does not wait, for an instance of it. */
void stream_open(struct room *room, struct stream *s, unsigned instance);

/* The last one who writes closes it, and it is read to its end. */
void stream_close(struct stream *s);

/* It has room for that. */
void say(const struct stream *s, const char *text);

#define LINE_LEN	64

/* Numbered lines of that length, as many as have room up to number `end`.
   Returns the next number. */
unsigned say_lines(const struct stream *s, unsigned next, unsigned end);

/* The same with turns, until it is held up. */
unsigned say_all(const struct stream *s, unsigned next);

/* ---- a reader's side ---- */

/* What is there; good until the next call. */
char *read_fd(struct room *room, int fd);
char *read_file(struct room *room, const char *path);

/* How many lines there are, each of them whole and in order from *next on,
   which goes on behind them. */
unsigned expect_lines(const char *text, unsigned *next);

/* A FIFO at the room's path that has room for a page, for the caller to read
   from. */
int make_fifo(struct room *room);

#endif
