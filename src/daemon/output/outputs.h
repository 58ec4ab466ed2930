/*
 * Workers' output through clusterd: where it goes (daemon/output), the pipes
 * that it comes by (daemon/out_pipe), and the last lines of each app for those
 * who ask (core/ring). An app whose streams are inherited has none of this.
 */
#ifndef DAEMON_OUTPUTS_H
#define DAEMON_OUTPUTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/output/ring.h"
#include "daemon/output/output.h"

struct conf_app;
struct conf_output;
struct config;
struct error;
struct loop;
struct out_pipe;

struct out_app;

struct outputs {
	struct loop *loop;
	struct output *standard[2];	/* one for both, if they are the same */
	struct output *files;
	struct out_app *apps;
	TAILQ_HEAD(, out_pipe) pipes;
	char *scratch;			/* what is read goes here */
	uint64_t seq;			/* of the next line */
	uint64_t last_ring;
	uint64_t changes;		/* rings that came or went */
	bool news;			/* lines came in this turn */
	uint64_t round;			/* of reads, see outputs_may_read() */
	size_t read;			/* in this turn */
	bool crowded;			/* some had to wait for the next */

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

/* The app is no more, nor are its last lines. */
void outputs_forget(struct outputs *outs, const char *app);

/*
 * May a pipe be read now that was last read in round *round, which is set then?
 * A turn reads so much and no more, or thousands of noisy workers would hold up
 * all else. Those that come too late for that come before the others then: a
 * round lasts until each had its turn.
 */
bool outputs_may_read(struct outputs *outs, uint64_t *round);

/* The end of a turn. */
void outputs_settle(struct outputs *outs);

/* The end of the program: what is left in the pipes is read and written, as
   long as somebody takes it, and a few seconds at most. */
void outputs_finish(struct outputs *outs);

/* The last lines of each app of which output has come through clusterd. What is
   remembered of it is good until `changes` is another. */
void outputs_each_ring(const struct outputs *outs,
    void (*fn)(void *ctx, const char *app, const struct ring *ring), void *ctx);

/* For daemon/out_pipe: the app's record, made when there is none; NULL: no
   memory, its lines are not kept then. */
struct out_app *outputs_app(struct outputs *outs, const char *name);
struct ring *out_app_ring(struct out_app *app);

#endif
