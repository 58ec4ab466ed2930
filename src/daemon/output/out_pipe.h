/*
 * The pipe from one stream of a worker's to its output. It outlives the
 * process: whatever it, or what it left behind, has written is read to the end.
 */
#ifndef DAEMON_OUTPUT_OUT_PIPE_H
#define DAEMON_OUTPUT_OUT_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>


struct conf_app;
struct descriptors;
struct half_lines;
struct ledger;
struct loop;
struct out_pipe;
struct out_tails;
struct output;

/* All pipes, and what of them may be read in one turn. */
struct out_intake {
	struct loop *loop;
	struct out_tails *tails;
	TAILQ_HEAD(, out_pipe) pipes;
	char *scratch;			/* what is read goes here */
	bool news;			/* lines came in this turn */
	uint64_t round;			/* of reads */
	size_t read;			/* in this turn */
	bool crowded;			/* some had to wait for the next */
	struct ledger *ledger;		/* of beginnings of lines; NULL: none */
	struct half_lines *halves;	/* NULL: none yet, or no memory */
	bool halfless;			/* … and it is not tried again */
};

enum out_stream {
	OUT_STREAM_STDOUT,
	OUT_STREAM_STDERR,
	OUT_STREAMS
};

/* The last lines of all that comes in are remembered in `tails`. */
void out_intake_init(struct out_intake *in, struct loop *loop,
    struct out_tails *tails);

/* From now on what is held of a line is the next supervisor's, too; and pipes that are
   taken over, until _end, have what was held of theirs. */
void out_intake_look_back(struct out_intake *in, struct ledger *ledger,
    struct descriptors *left);
void out_intake_look_back_end(struct out_intake *in);

/* Frees what out_intake_reserve() got, and every pipe. */
void out_intake_free(struct out_intake *in);

/* The memory to read into, once for all, before the first pipe is opened;
   -ENOMEM. */
int out_intake_reserve(struct out_intake *in);

/* The end of a turn: the next one may read as much again. Returns whether lines
   came in this one. */
bool out_intake_turn(struct out_intake *in);

/* For the end: read all that is in the pipes now. Returns whether something is
   left in them that has no room. */
bool out_intake_drain(struct out_intake *in);

/* For the end: no pipe is read any more, all are freed. */
void out_intake_close(struct out_intake *in);

/*
 * A pipe to `to` for a stream of an instance of the app, kept in *holder until
 * its end is read. The caller owns *ret_end, the end for the process. -errno.
 */
int out_pipe_open(struct out_intake *in, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int *ret_end);

/* The same of a pipe that is there: its end to read from is taken over. */
int out_pipe_take(struct out_intake *in, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int fd);

/* The end that is read; -1 for NULL. */
int out_pipe_fd(const struct out_pipe *pipe);

/* The worker's process is gone, or was never started: *holder is NULL then, and
   what is still to come is read all the same. NULL is fine. */
void out_pipe_leave(struct out_pipe **holder);

/* Read what is there, but no more than a pipe usually holds. */
void out_pipe_drain(struct out_pipe *pipe);

#endif
