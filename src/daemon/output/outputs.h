/*
 * Workers' output through clusterd: where it goes, the pipes that it comes by,
 * and the last lines of each app for those who ask. An app whose streams are
 * inherited has none of this. This is the door of the room; its modules, each
 * of which knows only those before it:
 *
 *	out_tails	the last lines of each app
 *	out_waiters	who waits for room
 *	out_losses	lines that were lost, until that is told
 *	out_place	a descriptor or file, and its rotation
 *	out_kept	what the place has not taken yet
 *	output		such a place's states and its life
 *	output_put	lines for it
 *	out_pipe	one stream of a worker
 *	outputs		all of it
 */
#ifndef DAEMON_OUTPUT_OUTPUTS_H
#define DAEMON_OUTPUT_OUTPUTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/output/out_pipe.h"
#include "daemon/output/out_tails.h"
#include "daemon/output/output.h"
#include "linux/ledger/kept_files.h"

struct conf_app;
struct conf_output;
struct config;
struct descriptors;
struct error;
struct ledger;
struct loop;

struct outputs {
	struct loop *loop;
	struct output *standard[2];	/* one for both, if they are the same */
	struct output_files files;
	struct out_intake in;
	struct out_tails tails;
	struct ledger *ledger;		/* in which files stand; NULL: in none */
	struct kept_files kept;		/* of a supervisor before */

	/* The upcall. */
	void (*told)(void *ctx);
	void *told_ctx;
};

/* `told` is the one upcall, to whoever reads the last lines: called at the end
   of a turn in which lines came, once. NULL: nobody. */
void outputs_init(struct outputs *outs, struct loop *loop,
    void (*told)(void *ctx), void *told_ctx);

/* Before any of it is opened: what a supervisor before had of it, `ledger` says so
   (NULL: none); and when all is taken over. */
void outputs_look_back(struct outputs *outs, struct ledger *ledger,
    struct descriptors *left);
void outputs_look_back_end(struct outputs *outs);

/* Also when outputs_init() was not called, if all is zero. */
void outputs_fini(struct outputs *outs);

/*
 * Where a stream of the app goes: the caller owns one reference. *ret_output is
 * NULL for what does not pass through clusterd. -errno with words: a file could
 * not be opened.
 */
int outputs_acquire(struct outputs *outs, struct config *config,
    const struct conf_app *conf, const struct conf_output *where,
    struct output **ret_output, struct error *err);

/* A pipe for a worker's stream, see out_pipe_open(). */
int outputs_open_pipe(struct outputs *outs, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int *ret_end);

/* One that is there, see out_pipe_take(). */
int outputs_take_pipe(struct outputs *outs, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int fd);

/* The last lines of each app. */
const struct out_tails *outputs_tails(const struct outputs *outs);

/* The app is no more, nor are its last lines. */
void outputs_forget(struct outputs *outs, const char *app);

/* Open all files again. */
void outputs_reopen(struct outputs *outs);

/* The end of a turn: whoever is to be told of its lines is. */
void outputs_turn(struct outputs *outs);

/* The end of the program: what is left in the pipes is read and written, as
   long as somebody takes it, and a few seconds at most. Also when outputs_init()
   was not called. */
void outputs_finish(struct outputs *outs);

#endif
