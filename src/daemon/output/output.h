/*
 * One place that workers' output goes to through clusterd: its own standard
 * output or error, each line tagged, or a file, as written. All streams that
 * go to one place share it, so that lines stay whole.
 *
 * Nothing here waits. What the place does not take at once is kept, up to
 * OUT_KEPT_MAX bytes, and then no more is read for it: workers are held up, as
 * they would be by a pipe of their own. A place that takes nothing at all for
 * OUTPUT_STUCK_MS holds up nobody any more: lines are dropped and counted
 * until it does. Likewise where writing fails, a full disk say. The count is
 * told when lines get through again, and there is room in the log for that.
 *
 *	FINE    lines are written, or kept
 *	STUCK   a reader takes nothing; what was kept still is, new lines go
 *	BROKEN  writing fails; new lines go, but for one try each while
 */
#ifndef DAEMON_OUTPUT_OUTPUT_H
#define DAEMON_OUTPUT_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>


struct conf_app;
struct config;
struct error;
struct kept_files;
struct ledger;
struct loop;
struct out_form;
struct out_waiter;
struct output;

LIST_HEAD(output_files, output);

#define OUTPUT_STUCK_MS	1000
/* How often a place that is broken is tried. */
#define OUTPUT_RETRY_MS	1000
#define OUTPUT_READ_MAX	(64 * 1024)	/* at a time */

/* Our own descriptor 1 or 2. The caller owns one reference; -ENOMEM. */
int output_new_standard(struct loop *loop, int fd, const char *name,
    struct output **ret_output);

/*
 * The file at `path`, as `conf` (in `config`, of which a reference is taken)
 * says it is to be written; among `files` from now on, for as long as it is
 * there. The caller owns one reference; -errno with words. `kept`, or NULL: what a
 * supervisor before had open is gone on with, with an error in the log, where it
 * cannot be opened. It stands in `ledger`, or NULL.
 */
int output_new_file(struct loop *loop, struct output_files *files,
    struct ledger *ledger, struct kept_files *kept,
    const char *path, struct config *config, const struct conf_app *conf,
    struct output **ret_output, struct error *err);

/* The next one of the files; NULL: that was the last. */
struct output *output_next(const struct output *output);

/* Is it that file, with that owner? */
bool output_is(const struct output *output, const char *path,
    const struct conf_app *conf);

/* A file's size and number are those of `conf` from now on. NULL is fine, and
   so is what is no file: nothing is done. */
void output_adjust(struct output *output, struct config *config,
    const struct conf_app *conf);

/* Take what the path leads to now; on failure, with words, what it had. */
int output_reopen(struct output *output, struct error *err);

struct output *output_ref(struct output *output);

/* The last one frees, when what is kept has been written or is lost; NULL is
   fine. */
void output_unref(struct output *output);

/* How many bytes may be read for it now of lines in that form; 0: none, see
   output_hold(). */
size_t output_room(struct output *output, const struct out_form *form);

/* Let it go on when there is room again. */
void output_hold(struct output *output, struct out_waiter *waiter);
void output_unhold(struct output *output, struct out_waiter *waiter);

/* The last line there has no end yet. */
void output_set_cut(struct output *output);

/* ---- the end ---- */

/*
 * Write what is kept. Returns how many bytes of it are left that may still be
 * taken, when poll(2) says so of *ret_fd; -1 there: it cannot be asked.
 */
size_t output_flush(struct output *output, int *ret_fd);

/* Nothing is kept for it any more. */
void output_give_up(struct output *output);

/* Whatever is left is lost, and all that was lost is told. */
void output_close(struct output *output);

/* If nobody has a reference any more, free it now, whatever is left. */
void output_free_unused(struct output *output);

#endif
