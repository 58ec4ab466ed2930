/*
 * What an output is, for output.c, which writes it, and output_put.c, which
 * brings lines and calls the functions here.
 */
#ifndef DAEMON_OUTPUT_OUTPUT_PRIV_H
#define DAEMON_OUTPUT_OUTPUT_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "daemon/output/out_kept.h"
#include "daemon/output/out_losses.h"
#include "daemon/output/out_place.h"
#include "daemon/output/out_waiters.h"
#include "linux/loop/loop.h"

enum output_state {
	OUTPUT_FINE,
	OUTPUT_STUCK,
	OUTPUT_BROKEN,
};

struct output {
	struct loop *loop;
	unsigned refs;
	bool is_file;			/* it is among the files */
	LIST_ENTRY(output) link;
	bool colour;			/* of the tags */
	struct out_place place;
	struct out_kept kept;
	struct out_losses losses;
	enum output_state state;
	struct mono taken;		/* when it last took anything */
	struct mono retry;		/* BROKEN: not before */
	loop_handle writable;
	struct loop_timer timer;
	struct out_waiters held;
};

/* Nothing is tried now: lines are lost as they come. */
bool output_takes_nothing(const struct output *output);

/* Something was taken: it is FINE. */
void output_took(struct output *output);

/* Nothing was kept for it so far, now something is. */
void output_keeps(struct output *output);

/* Come back when it takes more, and look then whether it ever does. */
void output_wait(struct output *output);

/* Writing has failed, with -errno: it is BROKEN. */
void output_broke(struct output *output, int code);

/* It may not be broken, but is not tried again before long. */
void output_rest(struct output *output);

/* Write what is kept, unless we are told anyway when there is room for it. */
void output_flush_new(struct output *output);

/* These lines had no room. */
void output_lose(struct output *output, const char *app, const char *lines,
    size_t len);

#endif
