/*
 * The pipe from one stream of a worker's to its output. It outlives the
 * process: whatever it, or what it left behind, has written is read to the end.
 */
#ifndef DAEMON_OUT_PIPE_H
#define DAEMON_OUT_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/conf/conf.h"
#include "core/output/line_split.h"
#include "core/output/out_tag.h"
#include "core/output/ring.h"
#include "daemon/output/out_tails.h"
#include "daemon/output/output.h"
#include "linux/loop/loop.h"

/* All pipes, and what of them may be read in one turn. */
struct out_intake {
	struct loop *loop;
	TAILQ_HEAD(, out_pipe) pipes;
	struct out_tails tails;
	char *scratch;			/* what is read goes here */
	bool news;			/* lines came in this turn */
	uint64_t round;			/* of reads */
	size_t read;			/* in this turn */
	bool crowded;			/* some had to wait for the next */
};

enum out_stream {
	OUT_STREAM_STDOUT,
	OUT_STREAM_STDERR,
	OUT_STREAMS
};

struct out_pipe {
	struct out_intake *in;
	struct output *to;		/* a reference */
	struct out_tail *tail;		/* a reference; NULL: none */
	struct out_pipe **holder;	/* the worker's; NULL: gone */
	TAILQ_ENTRY(out_pipe) link;	/* in in->pipes */
	struct output_waiter waiter;	/* in to->held */
	int fd;
	loop_handle handle;		/* 0: not read from now */
	uint64_t round;			/* when it was last read */
	struct line_split split;
	struct ring_source source;
	char app_name[CONF_NAME_MAX + 1];
	char tag[OUT_TAG_MAX];
	size_t tag_len;
};

/*
 * A pipe to `to` for a stream of an instance of the app, kept in *holder until
 * its end is read. The caller owns *ret_end, the end for the process. -errno.
 */
int out_pipe_open(struct out_intake *in, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int *ret_end);

/* The worker's process is gone, or was never started: *holder is NULL then, and
   what is still to come is read all the same. NULL is fine. */
void out_pipe_leave(struct out_pipe **holder);

/*
 * Read once, what the output has room for. False: nothing is there now, or the
 * output has no room, or it was the end and the pipe is freed.
 */
bool out_pipe_read(struct out_pipe *pipe);

/* Read what is there, but no more than a pipe usually holds. */
void out_pipe_drain(struct out_pipe *pipe);

/* What is held of a line is written as one. */
void out_pipe_free(struct out_pipe *pipe);

/* The end of a turn: the next one may read as much again. */
void out_intake_turn(struct out_intake *in);

#endif
