#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "core/output/line_split.h"
#include "core/output/out_form.h"
#include "daemon/output/output.h"
#include "daemon/output/output_priv.h"

/* Room that is left to clusterd's own lines. */
#define ASIDE_ROOM	(2 * LOG_LINE_MAX)
/* Less is not worth a read. */
#define READ_MIN	1024
/* How often a place is tried that cannot be polled, with no memory for it. */
#define TRY_MS		20

/* ---- who waits for room ---- */

void
output_hold(struct output *o, struct out_waiter *w)
{
	out_waiters_hold(&o->held, w);
}

void
output_unhold(struct output *o, struct out_waiter *w)
{
	out_waiters_unhold(&o->held, w);
}

static void
look_again(struct output *o, int64_t ms)
{
	loop_timer_set(o->loop, &o->timer, mono_add_ms(mono_now(), ms));
}

static void
resume_held(struct output *o)
{
	/* No memory for the loop: again soon. */
	if (!out_waiters_resume(&o->held))
		look_again(o, TRY_MS);
}

bool
output_takes_nothing(const struct output *o)
{
	return o->state == OUTPUT_STUCK || (o->state == OUTPUT_BROKEN &&
	    mono_before(mono_now(), o->retry));
}

size_t
output_room(struct output *o, const struct out_form *form)
{
	size_t line = out_form_line_cost(form) + 1;
	size_t byte = out_form_byte_cost(form);
	/* A line whose beginning is held, and the splits of long ones. */
	size_t fixed = ASIDE_ROOM + LINE_SPLIT_MAX * byte +
	    8 * (line + OUT_FORM_CUT_MAX);
	size_t room, n;

	if (output_takes_nothing(o))
		return OUTPUT_READ_MAX;
	room = out_kept_room(&o->kept);
	/* Each byte may be a line. */
	n = room > fixed ? (room - fixed) / (line > byte ? line : byte) : 0;
	if (n < READ_MIN)
		return 0;
	return n < OUTPUT_READ_MAX ? n : OUTPUT_READ_MAX;
}

/* ---- its states ---- */

/* Nothing is kept, nothing is to be looked at. */
static void
stop_waiting(struct output *o)
{
	loop_del(o->loop, &o->writable);
	loop_timer_set(o->loop, &o->timer, MONO_NEVER);
}

/* Those that the log takes; the others the next time that something is taken
   here, or else soon. */
static void
tell_losses(struct output *o)
{
	if (!out_losses_tell(&o->losses, o->place.name) && o->kept.n == 0)
		look_again(o, OUTPUT_RETRY_MS);
}

static void
lose_kept(struct output *o)
{
	out_kept_lose(&o->kept, &o->place, &o->losses);
	stop_waiting(o);
}

void
output_broke(struct output *o, int code)
{
	bool news = o->state != OUTPUT_BROKEN;

	o->retry = mono_add_ms(mono_now(), OUTPUT_RETRY_MS);
	lose_kept(o);
	o->state = OUTPUT_BROKEN;
	out_losses_blame(&o->losses, -code);
	if (news)
		log_own_often(LOG_LEVEL_ERROR, "%s cannot be written: %s; "
		    "output is lost until it can", o->place.name, strerror(-code));
	resume_held(o);
}

void
output_took(struct output *o)
{
	o->taken = mono_now();
	o->state = OUTPUT_FINE;
	tell_losses(o);
}

void
output_keeps(struct output *o)
{
	o->taken = mono_now();
}

void
output_rest(struct output *o)
{
	o->retry = mono_add_ms(mono_now(), OUTPUT_RETRY_MS);
}

void
output_lose(struct output *o, const char *app, const char *lines,
    size_t len)
{
	out_losses_add(&o->losses, app, line_split_count(lines, len));
	if (o->kept.bytes != NULL)
		return;
	/* Nothing that is kept will come to be written, and tell of it. */
	if (o->losses.why == 0)
		out_losses_blame(&o->losses, ENOMEM);
	look_again(o, OUTPUT_RETRY_MS);
}

static void writable(void *ctx, uint32_t events);

void
output_wait(struct output *o)
{
	int fd = sink_poll_fd(&o->place.sink);

	/* Whoever lets us wait is there again. */
	if (o->state == OUTPUT_BROKEN)
		o->state = OUTPUT_FINE;
	if (o->writable == 0 && (fd < 0 || loop_add(o->loop, fd, EPOLLOUT,
	    false, writable, o, &o->writable) < 0))
		look_again(o,
		    o->state == OUTPUT_STUCK ? OUTPUT_RETRY_MS : TRY_MS);
	else if (o->state == OUTPUT_STUCK)
		loop_timer_set(o->loop, &o->timer, MONO_NEVER);
	else
		loop_timer_set(o->loop, &o->timer,
		    mono_add_ms(o->taken, OUTPUT_STUCK_MS));
}

/* Write what is kept. Returns whether something is left that may still be
   taken. */
static bool
flush(struct output *o)
{
	int code;
	size_t n;

	if (o->kept.n == 0)
		return false;
	n = out_kept_write(&o->kept, &o->place, &code);
	if (code < 0 && code != -EAGAIN) {
		output_broke(o, code);
		return false;
	}
	if (o->kept.n == 0)
		stop_waiting(o);
	if (n > 0)
		output_took(o);
	if (o->kept.n > 0)
		output_wait(o);
	if (o->kept.n <= OUT_KEPT_LOW)
		resume_held(o);
	return o->kept.n > 0;
}

void
output_flush_new(struct output *o)
{
	if (o->writable == 0)
		(void)flush(o);
}

static void free_if_over(struct output *o);

static void
writable(void *ctx, uint32_t events)
{
	(void)events;
	(void)flush(ctx);
	free_if_over(ctx);
}

static void
timer_due(void *ctx)
{
	struct output *o = ctx;

	if (o->kept.n == 0 || o->state == OUTPUT_STUCK)
		resume_held(o);
	if (o->kept.n == 0 && o->state == OUTPUT_FINE)
		tell_losses(o);
	if (flush(o) && o->state == OUTPUT_FINE &&
	    mono_ms_between(o->taken, mono_now()) >= OUTPUT_STUCK_MS) {
		o->state = OUTPUT_STUCK;
		output_wait(o);
		resume_held(o);
	}
	free_if_over(o);
}

/* ---- life ---- */

static int
output_new(struct loop *loop, bool tags, struct output **ret_output)
{
	struct output *o = calloc(1, sizeof(*o));

	if (o == NULL || loop_timer_init(loop, &o->timer, timer_due, o) < 0) {
		free(o);
		return -ENOMEM;
	}
	o->loop = loop;
	o->refs = 1;
	o->place = (struct out_place)OUT_PLACE_INIT;
	o->kept = (struct out_kept)OUT_KEPT_INIT(tags);
	TAILQ_INIT(&o->held);
	*ret_output = o;
	return 0;
}

int
output_new_standard(struct loop *loop, int fd, const char *name,
    struct output **ret_output)
{
	const char *no_color = getenv("NO_COLOR");
	int code = output_new(loop, true, ret_output);

	if (code < 0)
		return code;
	(*ret_output)->colour = isatty(fd) == 1 &&
	    (no_color == NULL || *no_color == '\0');
	out_place_set_standard(&(*ret_output)->place, fd, name);
	return 0;
}

int
output_new_file(struct loop *loop, struct output_files *files,
    struct ledger *ledger, struct kept_files *kept,
    const char *path, struct config *config, const struct conf_app *conf,
    struct output **ret_output, struct error *err)
{
	struct output *o;
	int code = output_new(loop, false, &o);

	if (code < 0)
		return error_set(err, code, "out of memory");
	LIST_INSERT_HEAD(files, o, link);
	o->is_file = true;
	code = out_place_set_file(&o->place, path, config, conf, err);
	if (code < 0 && kept != NULL && out_place_take_file(&o->place, kept)) {
		log_error("%s; going on with the old one", error_text(err));
		error_clear(err);
		code = 0;
	}
	out_place_keep(&o->place, ledger);
	if (code < 0) {
		output_unref(o);
		return code;
	}
	*ret_output = o;
	return 0;
}

struct output *
output_next(const struct output *o)
{
	return LIST_NEXT(o, link);
}

bool
output_is(const struct output *o, const char *path,
    const struct conf_app *conf)
{
	return out_place_is(&o->place, path, conf);
}

void
output_adjust(struct output *o, struct config *config,
    const struct conf_app *conf)
{
	if (o != NULL && o->is_file)
		out_place_adjust(&o->place, config, conf);
}

int
output_reopen(struct output *o, struct error *err)
{
	struct sink old;
	int code = out_place_reopen(&o->place, &old, err);

	if (code < 0)
		return code;
	loop_del(o->loop, &o->writable);
	sink_close(&old);
	o->retry.ns = 0;
	(void)flush(o);
	return 0;
}

void
output_set_cut(struct output *o)
{
	out_place_set_cut(&o->place, "");
}

static void
output_free(struct output *o)
{
	output_close(o);
	out_kept_forget(&o->kept);
	stop_waiting(o);
	if (o->is_file)
		LIST_REMOVE(o, link);
	loop_timer_fini(o->loop, &o->timer);
	out_place_close(&o->place);
	free(o);
}

static void
free_if_over(struct output *o)
{
	if (o->refs == 0 && (o->kept.n == 0 || o->state != OUTPUT_FINE))
		output_free(o);
}

struct output *
output_ref(struct output *o)
{
	o->refs++;
	return o;
}

void
output_unref(struct output *o)
{
	if (o == NULL || --o->refs > 0)
		return;
	(void)flush(o);
	free_if_over(o);
}

/* ---- the end ---- */

size_t
output_flush(struct output *o, int *ret_fd)
{
	*ret_fd = sink_poll_fd(&o->place.sink);
	return flush(o) && o->state == OUTPUT_FINE ? o->kept.n : 0;
}

void
output_give_up(struct output *o)
{
	if (o->kept.n == 0)
		return;
	o->losses.slow = o->state == OUTPUT_FINE &&
	    mono_ms_between(o->taken, mono_now()) < OUTPUT_STUCK_MS;
	o->state = OUTPUT_STUCK;
}

void
output_close(struct output *o)
{
	if (flush(o))
		lose_kept(o);
	tell_losses(o);
	out_losses_end(&o->losses);
	loop_timer_set(o->loop, &o->timer, MONO_NEVER);
}

void
output_free_unused(struct output *o)
{
	if (o->refs == 0)
		output_free(o);
}
