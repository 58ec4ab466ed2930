#include <sys/stat.h>

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mono.h"
#include "core/conf/conf.h"
#include "daemon/output/output_put.h"
#include "daemon/output/outputs.h"

#define FINISH_MS	5000
#define FINISH_POLL_MS	100

void
outputs_init(struct outputs *outs, struct loop *loop,
    void (*told)(void *ctx), void *told_ctx)
{
	*outs = (struct outputs){
		.loop = loop,
		.told = told,
		.told_ctx = told_ctx,
	};
	LIST_INIT(&outs->files);
	out_intake_init(&outs->in, loop, &outs->tails);
}

void
outputs_look_back(struct outputs *outs, struct ledger *ledger,
    struct descriptors *left)
{
	outs->ledger = ledger;
	kept_files_look_back(&outs->kept, ledger, left);
	if (ledger != NULL)
		out_intake_look_back(&outs->in, ledger, left);
}

void
outputs_look_back_end(struct outputs *outs)
{
	kept_files_end(&outs->kept);
	out_intake_look_back_end(&outs->in);
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

/* With the place in the file that names it. */
static int
open_file(struct outputs *outs, struct config *config,
    const struct conf_app *conf, const struct conf_output *where,
    struct output **ret_output, struct error *err)
{
	struct error why = ERROR_INIT;
	unsigned line;
	const char *file = config_file_of(config, where->line, &line);
	int code = output_new_file(outs->loop, &outs->files, outs->ledger,
	    &outs->kept, where->path, config, conf, ret_output, &why);

	if (code < 0)
		error_set(err, code, "%s:%u: %s: [%s] %s", file, line,
		    where->line == conf->err.line ? "stderr" :
		    "stdout", conf->name, error_text(&why));
	error_clear(&why);
	return code;
}

static int
acquire_file(struct outputs *outs, struct config *config,
    const struct conf_app *conf, const struct conf_output *where,
    struct output **ret_output, struct error *err)
{
	struct output *o = LIST_FIRST(&outs->files);

	while (o != NULL && !output_is(o, where->path, conf))
		o = output_next(o);
	if (o == NULL)
		return open_file(outs, config, conf, where, ret_output, err);
	*ret_output = output_ref(o);
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
	if (out_intake_reserve(&outs->in) < 0 ||
	    (where->kind == CONF_OUTPUT_PREFIX && open_standard(outs) < 0))
		return error_set(err, -ENOMEM, "out of memory");
	if (where->kind == CONF_OUTPUT_FILE)
		return acquire_file(outs, config, conf, where, ret_output,
		    err);
	*ret_output = output_ref(outs->standard[where == &conf->err]);
	return 0;
}

int
outputs_open_pipe(struct outputs *outs, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int *ret_end)
{
	return out_pipe_open(&outs->in, to, conf, instance, stream, holder,
	    ret_end);
}

int
outputs_take_pipe(struct outputs *outs, struct output *to,
    const struct conf_app *conf, unsigned instance, enum out_stream stream,
    struct out_pipe **holder, int fd)
{
	return out_pipe_take(&outs->in, to, conf, instance, stream, holder, fd);
}

const struct out_tails *
outputs_tails(const struct outputs *outs)
{
	return &outs->tails;
}

void
outputs_forget(struct outputs *outs, const char *app)
{
	out_tails_forget(&outs->tails, app);
}

void
outputs_reopen(struct outputs *outs)
{
	for (struct output *o = LIST_FIRST(&outs->files); o != NULL;
	     o = output_next(o)) {
		struct error err = ERROR_INIT;

		if (output_reopen(o, &err) < 0)
			log_error("%s; going on with the old one",
			    error_text(&err));
		error_clear(&err);
	}
}

void
outputs_turn(struct outputs *outs)
{
	if (out_intake_turn(&outs->in) && outs->told != NULL)
		outs->told(outs->told_ctx);
}

/* ---- the end ---- */

static void
each_output(struct outputs *outs, void (*fn)(struct output *o, void *ctx),
    void *ctx)
{
	if (outs->standard[0] != NULL)
		fn(outs->standard[0], ctx);
	if (outs->standard[1] != NULL &&
	    outs->standard[1] != outs->standard[0])
		fn(outs->standard[1], ctx);
	for (struct output *o = LIST_FIRST(&outs->files); o != NULL;
	     o = output_next(o))
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
	int fd;
	size_t kept = output_flush(o, &fd);

	w->kept += kept;
	if (kept > 0 && fd >= 0 && w->n < sizeof(w->fds) / sizeof(w->fds[0]))
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

	if (outs->loop == NULL)
		return;
	for (;;) {
		bool left = out_intake_drain(&outs->in);
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
	(void)out_intake_drain(&outs->in);
	out_intake_close(&outs->in);
	each_output(outs, close_one, NULL);
}

void
outputs_fini(struct outputs *outs)
{
	log_set_aside(NULL, NULL);
	if (outs->loop == NULL)
		return;
	out_intake_free(&outs->in);
	each_output(outs, close_one, NULL);
	output_unref(outs->standard[0]);
	output_unref(outs->standard[1]);
	for (struct output *o = LIST_FIRST(&outs->files), *next; o != NULL;
	     o = next) {
		next = output_next(o);
		output_free_unused(o);
	}
	out_tails_free(&outs->tails);
}
