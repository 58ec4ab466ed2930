/*
 * One place that workers' output goes to through clusterd: its own standard
 * output or error, each line tagged, or a file, as written. All streams that
 * go to one place share it, so that lines stay whole.
 *
 * Nothing here waits. What the place does not take at once is kept, up to
 * OUTPUT_KEPT bytes, and then no more is read for it: workers are held up, as
 * they would be by a pipe of their own. A place that takes nothing at all for
 * OUTPUT_STUCK_MS holds up nobody any more: lines are dropped and counted
 * until it does. Likewise where writing fails, a full disk say. The count is
 * told when lines get through again, and there is room in the log for that.
 *
 *	FINE    lines are written, or kept
 *	STUCK   a reader takes nothing; what was kept still is, new lines go
 *	BROKEN  writing fails; new lines go, but for one try each while
 */
#ifndef DAEMON_OUTPUT_H
#define DAEMON_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "base/sink.h"
#include "core/conf/conf.h"
#include "linux/file/log_file.h"
#include "linux/loop/loop.h"

struct error;

#define OUTPUT_KEPT	(256 * 1024)
#define OUTPUT_STUCK_MS	1000
/* How often a place that is broken is tried. */
#define OUTPUT_RETRY_MS	1000
#define OUTPUT_READ_MAX	(64 * 1024)	/* at a time */

enum output_state {
	OUTPUT_FINE,
	OUTPUT_STUCK,
	OUTPUT_BROKEN,
};

/* Who is not read from now, until there is room again. */
struct output_waiter {
	TAILQ_ENTRY(output_waiter) link;
	bool held;
	/* There may be room; false: it could not be watched, later. */
	bool (*resume)(struct output_waiter *waiter);
};

/* Lines of an app that were lost here, since that was last told. */
struct output_loss {
	struct output_loss *next;
	uint64_t lines;
	char app[CONF_NAME_MAX + 1];
};

struct output {
	struct loop *loop;
	struct output **list;		/* of the files; NULL: in none */
	struct output *next;
	unsigned refs;
	const char *name;		/* for messages */
	struct sink sink;
	bool tags;			/* each line gets its worker's name … */
	bool colour;			/* … in colour */

	/* A file's: */
	char *path;			/* NULL: none */
	struct config *config;		/* a reference, keeps `conf` alive */
	const struct conf_app *conf;
	struct log_file file;		/* its fd is the sink's */
	struct mono rotate_again;	/* not before, after a failure */
	bool rotate_told;

	enum output_state state;
	char *kept;			/* whole lines, but for the first */
	size_t head;
	size_t n_kept;
	bool mid_line;			/* the last byte written ends none … */
	/* … whose line that is; "": clusterd's own, or not known. */
	char cut_app[CONF_NAME_MAX + 1];
	/* Without tags: whose lines are kept; "": of several. */
	char kept_app[CONF_NAME_MAX + 1];
	struct mono taken;		/* when it last took anything */
	loop_handle writable;
	struct loop_timer timer;
	int broken_by;			/* errno */
	struct mono retry;
	struct output_loss *losses;
	uint64_t nameless;		/* lost, and not known whose */
	bool telling;			/* of these */
	TAILQ_HEAD(output_waiters, output_waiter) held;
};

/* Our own descriptor 1 or 2. The caller owns one reference; -ENOMEM. */
int output_new_standard(struct loop *loop, int fd, const char *name,
    struct output **ret_output);

/*
 * The file at `path`, as `conf` (in `config`, of which a reference is taken)
 * says it is to be written. The caller owns one reference; -errno with words.
 */
int output_new_file(struct loop *loop, const char *path,
    struct config *config, const struct conf_app *conf,
    struct output **ret_output, struct error *err);

/* Is it that file, with that owner? */
bool output_is(const struct output *output, const char *path,
    const struct conf_app *conf);

/* The file's size and number are those of `conf` from now on. */
void output_adjust(struct output *output, struct config *config,
    const struct conf_app *conf);

/* Take what the path leads to now; on failure, with words, what it had. */
int output_reopen(struct output *output, struct error *err);

struct output *output_ref(struct output *output);

/* The last one frees, when what is kept has been written or is lost; NULL is
   fine. */
void output_unref(struct output *output);

/* For the end: free it now, with nobody's reference left. */
void output_free(struct output *output);

/* How many bytes may be read for it now from a pipe with a tag of that length;
   0: none, see output_hold(). */
size_t output_room(struct output *output, size_t tag_len);

/* Whole lines of an app. There is room for what output_room() has let be read;
   of more, the rest may be lost. */
void output_put(struct output *output, const char *app, const char *tag,
    size_t tag_len, const char *lines, size_t len);

/* Let it go on when there is room again. */
void output_hold(struct output *output, struct output_waiter *waiter);
void output_unhold(struct output *output, struct output_waiter *waiter);

/* One line of clusterd's own log that goes to the same place (base/log): false
   if it is lost. */
bool output_put_aside(struct output *output, const char *line, size_t len);

/* The last line there has no end yet. */
void output_set_cut(struct output *output);

/* Write what is kept. Returns whether something is left that may still be
   taken. */
bool output_flush(struct output *output);

/* For the end: nothing is kept for it any more. */
void output_give_up(struct output *output);

/* For the end: whatever is left is lost, and all that was lost is told. */
void output_close(struct output *output);

#endif
