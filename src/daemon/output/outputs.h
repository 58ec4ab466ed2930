/*
 * Workers' output through clusterd: where it goes (output.h), the pipes
 * that it comes by (out_pipe.h), and the last lines of each app for those
 * who ask (out_tails.h). An app whose streams are inherited has none of this.
 */
#ifndef DAEMON_OUTPUTS_H
#define DAEMON_OUTPUTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "daemon/output/out_pipe.h"
#include "daemon/output/output.h"

struct conf_app;
struct conf_output;
struct config;
struct error;
struct loop;

struct outputs {
	struct loop *loop;
	struct output *standard[2];	/* one for both, if they are the same */
	struct output *files;
	struct out_intake in;

	/* Whoever reads the rings: called at the end of a turn in which lines
	   came, once. */
	void (*told)(void *ctx);
	void *told_ctx;
};

void outputs_init(struct outputs *outs, struct loop *loop);
void outputs_fini(struct outputs *outs);

/*
 * Where a stream of the app goes: the caller owns one reference. *ret_output is
 * NULL for what does not pass through clusterd. -errno with words: a file could
 * not be opened.
 */
int outputs_acquire(struct outputs *outs, struct config *config,
    const struct conf_app *conf, const struct conf_output *where,
    struct output **ret_output, struct error *err);

/* The app's configuration is what is stable: its files are rotated as it says.
   NULL is fine. */
void outputs_adjust(struct output *output, struct config *config,
    const struct conf_app *conf);

/* Open all files again. */
void outputs_reopen(struct outputs *outs);

/* The end of a turn. */
void outputs_settle(struct outputs *outs);

/* The end of the program: what is left in the pipes is read and written, as
   long as somebody takes it, and a few seconds at most. */
void outputs_finish(struct outputs *outs);

#endif
