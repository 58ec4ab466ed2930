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
#include "linux/loop/loop.h"

struct out_app;
struct output;
struct outputs;

enum out_stream {
	OUT_STREAM_STDOUT,
	OUT_STREAM_STDERR,
	OUT_STREAMS
};

struct out_pipe {
	struct outputs *outs;
	struct output *to;		/* a reference */
	struct out_app *app;		/* NULL: it is no more */
	struct out_pipe **holder;	/* the worker's; NULL: gone */
	TAILQ_ENTRY(out_pipe) link;	/* in outs->pipes */
	TAILQ_ENTRY(out_pipe) link_held;/* in to->held */
	int fd;
	loop_handle handle;		/* 0: not read from now */
	uint64_t round;			/* when it was last read */
	bool is_held;
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
int out_pipe_open(struct outputs *outs, struct output *to,
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

/* There may be room for it again. False: it could not be watched, later. */
bool out_pipe_resume(struct out_pipe *pipe);

/* What is held of a line is written as one. */
void out_pipe_free(struct out_pipe *pipe);

#endif
