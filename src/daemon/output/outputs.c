#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "daemon/output/out_pipe.h"
#include "daemon/output/outputs.h"

/* Reads of one pipe at the end: more than any pipe holds by default. */
#define FINISH_READS	64
#define FINISH_MS	5000
#define FINISH_POLL_MS	100

void
outputs_init(struct outputs *outs, struct loop *loop)
{
	outs->loop = loop;
	outs->in.loop = loop;
	outs->in.round = 1;
	TAILQ_INIT(&outs->in.pipes);
}

/* ---- places ---- */

static bool
put_log_aside(void *ctx, const char *line, size_t len)
{
	struct outputs *outs = ctx;

	return output_put_aside(outs->standard[1], line, len);
}

static bool
same_place(void)
{
	struct stat out, err;

	return fstat(STDOUT_FILENO, &out) == 0 &&
	    fstat(STDERR_FILENO, &err) == 0 && out.st_dev == err.st_dev &&
	    out.st_ino == err.st_ino;
}

static int
open_standard(struct outputs *outs)
{
	int code = 0;

	if (outs->standard[0] == NULL)
		code = output_new_standard(outs->loop, STDOUT_FILENO,
		    "standard output", &outs->standard[0]);
	if (code < 0 || outs->standard[1] != NULL)
		return code;
	/* Two names of one place would cut each other's lines. */
	if (same_place())
		outs->standard[1] = output_ref(outs->standard[0]);
	else
		code = output_new_standard(outs->loop, STDERR_FILENO,
		    "standard error", &outs->standard[1]);
	if (code == 0 && log_set_aside(put_log_aside, outs))
		output_set_cut(outs->standard[1]);
	return code;
}

static int
acquire_file(struct outputs *outs, struct config *config,
    const struct conf_app *conf, const char *path,
    struct output **ret_output, struct error *err)
{
	struct output *o = outs->files;
	int code;

	while (o != NULL && !output_is(o, path, conf))
		o = o->next;
	if (o != NULL) {
		*ret_output = output_ref(o);
		return 0;
	}
	code = output_new_file(outs->loop, path, config, conf, &o, err);
	if (code < 0)
		return code;
	o->list = &outs->files;
	o->next = outs->files;
	outs->files = o;
	*ret_output = o;
	return 0;
}

int
outputs_acquire(struct outputs *outs, struct config *config,
    const struct conf_app *conf, const struct conf_output *where,
    struct output **ret_output, struct error *err)
{
	if (!conf_output_is_piped(where)) {
		*ret_output = NULL;
		return 0;
	}
	if (outs->in.scratch == NULL)
		outs->in.scratch = malloc(LINE_SPLIT_MAX + OUTPUT_READ_MAX + 1);
	if (outs->in.scratch == NULL ||
	    (where->kind == CONF_OUTPUT_PREFIX && open_standard(outs) < 0))
		return error_set(err, -ENOMEM, "out of memory");
	if (where->kind == CONF_OUTPUT_FILE)
		return acquire_file(outs, config, conf, where->path,
		    ret_output, err);
	*ret_output = output_ref(outs->standard[where == &conf->err]);
	return 0;
}

void
outputs_adjust(struct output *o, struct config *config,
    const struct conf_app *conf)
{
	if (o != NULL && o->path != NULL)
		output_adjust(o, config, conf);
}

void
outputs_reopen(struct outputs *outs)
{
	for (struct output *o = outs->files; o != NULL; o = o->next) {
		struct error err = ERROR_INIT;

		if (output_reopen(o, &err) < 0)
			log_error("%s; going on with the old one",
			    error_text(&err));
		error_clear(&err);
	}
}

void
outputs_settle(struct outputs *outs)
{
	out_intake_turn(&outs->in);
	if (!outs->in.news)
		return;
	outs->in.news = false;
	if (outs->told != NULL)
		outs->told(outs->told_ctx);
}

/* ---- the end ---- */

/* Returns whether something is left in them that has no room. */
static bool
read_pipes(struct outputs *outs)
{
	struct out_pipe *p, *next;
	bool left = false;

	for (p = TAILQ_FIRST(&outs->in.pipes); p != NULL; p = next) {
		bool full = false, more = true;

		next = TAILQ_NEXT(p, link);
		for (unsigned i = 0; i < FINISH_READS && more && !full; i++) {
			full = output_room(p->to, p->tag_len) == 0;
			more = !full && out_pipe_read(p);
		}
		left |= full;
	}
	return left;
}

static void
each_output(struct outputs *outs, void (*fn)(struct output *o, void *ctx),
    void *ctx)
{
	if (outs->standard[0] != NULL)
		fn(outs->standard[0], ctx);
	if (outs->standard[1] != NULL &&
	    outs->standard[1] != outs->standard[0])
		fn(outs->standard[1], ctx);
	for (struct output *o = outs->files; o != NULL; o = o->next)
		fn(o, ctx);
}

/* Those that something is kept for. */
struct waiting {
	struct pollfd fds[16];
	nfds_t n;
	size_t kept;
};

static void
flush_one(struct output *o, void *ctx)
{
	struct waiting *w = ctx;
	int fd = sink_poll_fd(&o->sink);

	if (!output_flush(o) || o->state != OUTPUT_FINE)
		return;
	w->kept += o->n_kept;
	if (fd >= 0 && w->n < sizeof(w->fds) / sizeof(w->fds[0]))
		w->fds[w->n++] = (struct pollfd){
			.fd = fd, .events = POLLOUT,
		};
}

static void
give_up_one(struct output *o, void *ctx)
{
	(void)ctx;
	output_give_up(o);
}

static void
close_one(struct output *o, void *ctx)
{
	(void)ctx;
	output_close(o);
}

void
outputs_finish(struct outputs *outs)
{
	struct mono begun = mono_now(), moved = begun;
	size_t kept = 0;

	for (;;) {
		bool left = read_pipes(outs);
		struct waiting w = { .n = 0 };
		struct mono now;

		each_output(outs, flush_one, &w);
		now = mono_now();
		if (w.kept == 0 && !left)
			break;
		if (w.kept != kept)
			moved = now;
		kept = w.kept;
		if (mono_ms_between(moved, now) >= OUTPUT_STUCK_MS ||
		    mono_ms_between(begun, now) >= FINISH_MS)
			break;
		if (w.kept > 0)
			(void)poll(w.fds, w.n, FINISH_POLL_MS);
	}
	each_output(outs, give_up_one, NULL);
	(void)read_pipes(outs);
	while (!TAILQ_EMPTY(&outs->in.pipes))
		out_pipe_free(TAILQ_FIRST(&outs->in.pipes));
	each_output(outs, close_one, NULL);
}

void
outputs_fini(struct outputs *outs)
{
	log_set_aside(NULL, NULL);
	if (outs->loop == NULL)
		return;
	while (!TAILQ_EMPTY(&outs->in.pipes))
		out_pipe_free(TAILQ_FIRST(&outs->in.pipes));
	output_unref(outs->standard[0]);
	output_unref(outs->standard[1]);
	for (struct output *o = outs->files, *next; o != NULL; o = next) {
		next = o->next;
		if (o->refs == 0)
			output_free(o);
	}
	out_tails_free(&outs->in.tails);
	free(outs->in.scratch);
}
