#include <sys/epoll.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "core/output/line_split.h"
#include "core/output/out_tag.h"
#include "daemon/output/output.h"
#include "daemon/output/out_losses.h"

/* Room that is left to clusterd's own lines. */
#define ASIDE_ROOM	(2 * LOG_LINE_MAX)
/* Less is not worth a read. */
#define READ_MIN	1024
/* From here on down more is read again, and what is kept moves to the front. */
#define KEPT_LOW	(OUTPUT_KEPT / 4)
/* How often a place is tried that cannot be polled, with no memory for it; and
   one that does not let its file be rotated. */
#define TRY_MS		20
#define ROTATE_MS	10000

static void timer_due(void *ctx);
static void free_if_over(struct output *o);

/* ---- writing ---- */

static void
resume_held(struct output *o)
{
	struct output_waiters held;

	TAILQ_INIT(&held);
	TAILQ_CONCAT(&held, &o->held, link);
	while (!TAILQ_EMPTY(&held)) {
		struct output_waiter *w = TAILQ_FIRST(&held);

		TAILQ_REMOVE(&held, w, link);
		w->held = false;
		if (!w->resume(w))
			output_hold(o, w);
	}
	/* No memory for the loop: again soon. */
	if (!TAILQ_EMPTY(&o->held))
		loop_timer_set(o->loop, &o->timer,
		    mono_add_ms(mono_now(), TRY_MS));
}

/* All of it, or up to an error, which is -EAGAIN also where a reader is slow.
   Returns how much. */
static size_t
write_now(struct output *o, const char *bytes, size_t len, int *ret_code)
{
	size_t done = 0;

	*ret_code = 0;
	while (done < len) {
		ssize_t n = sink_write(&o->sink, bytes + done, len - done);

		if (n == -EINTR)
			continue;
		if (n <= 0) {
			*ret_code = n == 0 ? -EAGAIN : (int)n;
			break;
		}
		done += (size_t)n;
	}
	if (done > 0) {
		o->mid_line = bytes[done - 1] != '\n';
		o->file.size += (int64_t)done;
	}
	return done;
}

static void
forget_kept(struct output *o)
{
	free(o->kept);
	o->kept = NULL;
	o->head = o->n_kept = 0;
	loop_del(o->loop, &o->writable);
	loop_timer_set(o->loop, &o->timer, MONO_NEVER);
}

/* Whose line it is; "": clusterd's own. */
static void
read_tag(const char *line, size_t len, char ret_app[CONF_NAME_MAX + 1])
{
	if (!out_tag_read(line, len, ret_app))
		*ret_app = '\0';
}

/* `done` of `len` bytes were written, and the last line of those not to its
   end. `old`: they began within one. */
static void
note_cut(struct output *o, const char *bytes, size_t done, size_t len, bool old)
{
	const char *newline = memrchr(bytes, '\n', done);
	const char *line = newline != NULL ? newline + 1 : bytes;

	if (newline != NULL || !old)
		read_tag(line, len - (size_t)(line - bytes), o->cut_app);
}

/* The first may be the end of one that was cut. */
static void
lose_kept_tagged(struct output *o)
{
	const char *line = o->kept + o->head, *end = line + o->n_kept;
	char app[CONF_NAME_MAX + 1];
	unsigned long own = 0;
	bool cut = o->mid_line;

	for (const char *next; line < end; line = next) {
		next = memchr(line, '\n', (size_t)(end - line));
		next = next != NULL ? next + 1 : end;
		if (cut)
			strcpy(app, o->cut_app);
		else
			read_tag(line, (size_t)(next - line), app);
		cut = false;
		if (*app == '\0')
			own++;
		else
			output_lose(o, app, 1);
	}
	log_lost(own);
}

static void
lose_kept(struct output *o)
{
	if (o->n_kept > 0 && o->tags)
		lose_kept_tagged(o);
	else if (o->n_kept > 0)
		output_lose(o, o->kept_app,
		    line_split_count(o->kept + o->head, o->n_kept));
	forget_kept(o);
}

static void
become_broken(struct output *o, int code)
{
	bool news = o->state != OUTPUT_BROKEN;

	o->retry = mono_add_ms(mono_now(), OUTPUT_RETRY_MS);
	lose_kept(o);
	o->state = OUTPUT_BROKEN;
	o->broken_by = -code;
	if (news)
		log_error("%s cannot be written: %s; output is lost until it "
		    "can", o->name, strerror(-code));
	resume_held(o);
}

/* Something was taken. */
static void
become_fine(struct output *o)
{
	o->taken = mono_now();
	o->state = OUTPUT_FINE;
	output_tell_losses(o);
}

static void writable(void *ctx, uint32_t events);

/* Come back when it takes more, and look then whether it ever does. */
static void
wait_for_room(struct output *o)
{
	int fd = sink_poll_fd(&o->sink);
	struct mono now = mono_now();
	struct mono due = mono_add_ms(o->taken, OUTPUT_STUCK_MS);

	/* Whoever lets us wait is there again. */
	if (o->state == OUTPUT_BROKEN)
		o->state = OUTPUT_FINE;
	if (o->writable == 0 && (fd < 0 || loop_add(o->loop, fd, EPOLLOUT,
	    false, writable, o, &o->writable) < 0))
		due = mono_add_ms(
		    now, o->state == OUTPUT_STUCK ? OUTPUT_RETRY_MS : TRY_MS);
	else if (o->state == OUTPUT_STUCK)
		due = MONO_NEVER;
	loop_timer_set(o->loop, &o->timer, due);
}

bool
output_flush(struct output *o)
{
	bool cut = o->mid_line;
	int code;
	size_t n;

	if (o->n_kept == 0)
		return false;
	n = write_now(o, o->kept + o->head, o->n_kept, &code);
	if (n > 0 && o->mid_line && o->tags)
		note_cut(o, o->kept + o->head, n, o->n_kept, cut);
	o->head += n;
	o->n_kept -= n;
	if (code < 0 && code != -EAGAIN) {
		become_broken(o, code);
		return false;
	}
	if (o->n_kept == 0)
		forget_kept(o);
	if (n > 0)
		become_fine(o);
	if (o->n_kept > 0)
		wait_for_room(o);
	if (o->n_kept <= KEPT_LOW)
		resume_held(o);
	return o->n_kept > 0;
}

static void
writable(void *ctx, uint32_t events)
{
	(void)events;
	(void)output_flush(ctx);
	free_if_over(ctx);
}

static void
timer_due(void *ctx)
{
	struct output *o = ctx;

	if (o->n_kept == 0 || o->state == OUTPUT_STUCK)
		resume_held(o);
	if (o->n_kept == 0 && o->state == OUTPUT_FINE)
		output_tell_losses(o);
	if (output_flush(o) && o->state == OUTPUT_FINE &&
	    mono_ms_between(o->taken, mono_now()) >= OUTPUT_STUCK_MS) {
		o->state = OUTPUT_STUCK;
		wait_for_room(o);
		resume_held(o);
	}
	free_if_over(o);
}

/* ---- keeping ---- */

/* Where the next bytes are kept, and how many have room; NULL: no memory. */
static char *
kept_end(struct output *o, size_t *ret_room)
{
	if (o->kept == NULL)
		o->kept = malloc(OUTPUT_KEPT);
	if (o->kept == NULL)
		return NULL;
	if (o->head >= KEPT_LOW && o->n_kept <= KEPT_LOW) {
		memmove(o->kept, o->kept + o->head, o->n_kept);
		o->head = 0;
	}
	*ret_room = OUTPUT_KEPT - o->head - o->n_kept;
	return o->kept + o->head + o->n_kept;
}

size_t
output_room(struct output *o, size_t tag_len)
{
	size_t tag = tag_len + 1;
	/* A line whose beginning is held, and the splits of long ones. */
	size_t fixed = ASIDE_ROOM + LINE_SPLIT_MAX + 8 * tag;
	size_t room = OUTPUT_KEPT, n;

	if (o->state == OUTPUT_STUCK || (o->state == OUTPUT_BROKEN &&
	    mono_before(mono_now(), o->retry)))
		return OUTPUT_READ_MAX;
	if (o->kept != NULL)
		(void)kept_end(o, &room);
	/* Each byte may be a line. */
	n = room > fixed ? (room - fixed) / tag : 0;
	if (n < READ_MIN)
		return 0;
	return n < OUTPUT_READ_MAX ? n : OUTPUT_READ_MAX;
}

void
output_hold(struct output *o, struct output_waiter *w)
{
	TAILQ_INSERT_TAIL(&o->held, w, link);
	w->held = true;
}

void
output_unhold(struct output *o, struct output_waiter *w)
{
	if (w->held)
		TAILQ_REMOVE(&o->held, w, link);
	w->held = false;
}

/* Copies what has room. Returns how much of `lines` that is. */
static size_t
keep_tagged(struct output *o, const char *tag, size_t tag_len,
    const char *lines, size_t len)
{
	const char *at = lines, *end = lines + len;
	size_t room;
	char *start = kept_end(o, &room), *to = start;

	if (start == NULL)
		return 0;
	if (o->n_kept == 0)
		o->taken = mono_now();
	while (at < end) {
		size_t n = (size_t)((const char *)memchr(at, '\n',
		    (size_t)(end - at)) + 1 - at);

		if (tag_len + n > room)
			break;
		memcpy(to, tag, tag_len);
		memcpy(to + tag_len, at, n);
		to += tag_len + n;
		room -= tag_len + n;
		at += n;
	}
	o->n_kept += (size_t)(to - start);
	return (size_t)(at - lines);
}

/* All of it, or nothing. */
static bool
keep(struct output *o, const char *bytes, size_t len)
{
	size_t room = 0;
	char *to = kept_end(o, &room);

	if (to == NULL || len > room)
		return false;
	if (o->n_kept == 0)
		o->taken = mono_now();
	memcpy(to, bytes, len);
	o->n_kept += len;
	return true;
}

static void
lose_new(struct output *o, const char *app, const char *lines, size_t len)
{
	output_lose(o, app, line_split_count(lines, len));
	if (o->kept != NULL)
		return;
	/* Nothing that is kept will come to be written, and tell of it. */
	if (o->broken_by == 0)
		o->broken_by = ENOMEM;
	loop_timer_set(
	    o->loop, &o->timer, mono_add_ms(mono_now(), OUTPUT_RETRY_MS));
}

/* Unless we are told anyway when there is room for it. */
static void
flush_new(struct output *o)
{
	if (o->writable == 0)
		(void)output_flush(o);
}

static void
put_tagged(struct output *o, const char *app, const char *tag, size_t tag_len,
    const char *lines, size_t len)
{
	size_t n = keep_tagged(o, tag, tag_len, lines, len);

	/* More than there was room for: it was read while nothing was to be
	   kept; or there is no memory. */
	if (n < len)
		lose_new(o, app, lines + n, len - n);
	flush_new(o);
}

static void
put_untagged(struct output *o, const char *app, const char *lines, size_t len)
{
	bool first = o->n_kept == 0;

	if (!keep(o, lines, len))
		lose_new(o, app, lines, len);
	else if (first)
		strcpy(o->kept_app, app);
	else if (strcmp(o->kept_app, app) != 0)
		*o->kept_app = '\0';
}

/* ---- files ---- */

static void
take_file(struct output *o)
{
	o->sink = (struct sink){
		.kind = SINK_OWN, .fd = o->file.fd, .waits = !o->file.regular,
	};
}

/* Returns whether there is room in the file now. */
static bool
rotate(struct output *o)
{
	struct error err = ERROR_INIT;
	int code;

	if (mono_before(mono_now(), o->rotate_again))
		return false;
	code = log_file_rotate(o->path, &o->conf->creds, o->conf->log_keep,
	    &o->file, &err);
	if (code < 0) {
		o->rotate_again = mono_add_ms(mono_now(), ROTATE_MS);
		if (!o->rotate_told)
			log_error("%s; going on with the full file",
			    error_text(&err));
		o->rotate_told = true;
	} else {
		take_file(o);
		o->rotate_told = false;
	}
	error_clear(&err);
	return code == 0;
}

/* How much of the lines still has room in the file; rotates. */
static size_t
piece_for_file(struct output *o, const char *lines, size_t len)
{
	int64_t max = o->conf->log_max_size, room;
	const char *last = NULL;

	if (!o->file.regular || max < 0 || o->file.size + (int64_t)len <= max)
		return len;
	log_file_measure(&o->file);
	room = max - o->file.size;
	if (room >= (int64_t)len)
		return len;
	if (room > 0)
		last = memrchr(lines, '\n', (size_t)room);
	if (last != NULL)
		return (size_t)(last + 1 - lines);
	/* A new file has room for any line. */
	return rotate(o) ? piece_for_file(o, lines, len) : len;
}

/* Straight from the pipe's bytes, no copy is made. */
static void
put_to_file(struct output *o, const char *app, const char *lines, size_t len)
{
	int code = 0;

	while (len > 0) {
		size_t piece = piece_for_file(o, lines, len);
		size_t n = write_now(o, lines, piece, &code);

		if (n > 0)
			become_fine(o);
		lines += n;
		len -= n;
		if (code < 0)
			break;
	}
	if (code == -EAGAIN) {
		put_untagged(o, app, lines, len);
		if (o->n_kept > 0)
			wait_for_room(o);
	} else if (code < 0) {
		output_lose(o, app, line_split_count(lines, len));
		become_broken(o, code);
	}
}

/* ---- both ---- */

/* A line of which the rest was lost gets its end. */
static int
end_cut_line(struct output *o)
{
	int code = 0;

	if (o->n_kept == 0 && o->mid_line)
		(void)write_now(o, "\n", 1, &code);
	return code;
}

static bool
is_shut(struct output *o)
{
	int code;

	if (o->state == OUTPUT_STUCK)
		return true;
	if (o->state == OUTPUT_BROKEN && mono_before(mono_now(), o->retry))
		return true;
	code = end_cut_line(o);
	if (code == -EAGAIN)
		o->retry = mono_add_ms(mono_now(), OUTPUT_RETRY_MS);
	else if (code < 0)
		become_broken(o, code);
	return code < 0;
}

void
output_put(struct output *o, const char *app, const char *tag, size_t tag_len,
    const char *lines, size_t len)
{
	if (is_shut(o)) {
		output_lose(o, app, line_split_count(lines, len));
		return;
	}
	if (o->tags) {
		put_tagged(o, app, tag, tag_len, lines, len);
	} else if (o->n_kept > 0) {
		put_untagged(o, app, lines, len);
		flush_new(o);
	} else {
		put_to_file(o, app, lines, len);
	}
}

/* Returns how much; the rest may be kept where *ret_keep. */
static size_t
write_aside(struct output *o, const char *line, size_t len, bool *ret_keep)
{
	int code = end_cut_line(o);
	bool ended = code == 0;
	size_t n = 0;

	if (ended)
		n = write_now(o, line, len, &code);
	*o->cut_app = '\0';
	*ret_keep = ended && code == -EAGAIN;
	/* Whether the place is whole again is for output to find out, which is
	   tried less often. */
	if (n == len && (o->state != OUTPUT_BROKEN ||
	    !mono_before(mono_now(), o->retry)))
		become_fine(o);
	else if (n < len && !*ret_keep)
		o->retry = mono_add_ms(mono_now(), OUTPUT_RETRY_MS);
	return n;
}

bool
output_put_aside(struct output *o, const char *line, size_t len)
{
	bool first = o->n_kept == 0, may_keep = true;
	size_t n = first ? write_aside(o, line, len, &may_keep) : 0;

	if (n == len)
		return true;
	if (!may_keep || !keep(o, line + n, len - n))
		return false;
	if (first)
		wait_for_room(o);
	return true;
}

void
output_set_cut(struct output *o)
{
	o->mid_line = true;
}

/* ---- life ---- */

static int
output_new(struct loop *loop, struct output **ret_output)
{
	struct output *o = calloc(1, sizeof(*o));

	if (o == NULL || loop_timer_init(loop, &o->timer, timer_due, o) < 0) {
		free(o);
		return -ENOMEM;
	}
	o->loop = loop;
	o->refs = 1;
	o->sink = (struct sink)SINK_INIT;
	o->file = (struct log_file)LOG_FILE_INIT;
	TAILQ_INIT(&o->held);
	*ret_output = o;
	return 0;
}

int
output_new_standard(struct loop *loop, int fd, const char *name,
    struct output **ret_output)
{
	const char *no_color = getenv("NO_COLOR");
	int code = output_new(loop, ret_output);

	if (code < 0)
		return code;
	(*ret_output)->name = name;
	(*ret_output)->tags = true;
	(*ret_output)->colour = isatty(fd) == 1 &&
	    (no_color == NULL || *no_color == '\0');
	sink_inherit(&(*ret_output)->sink, fd);
	return 0;
}

int
output_new_file(struct loop *loop, const char *path, struct config *config,
    const struct conf_app *conf, struct output **ret_output,
    struct error *err)
{
	struct output *o;
	int code = output_new(loop, &o);

	if (code < 0)
		return error_set(err, code, "out of memory");
	o->path = strdup(path);
	o->name = o->path;
	o->config = config_ref(config);
	o->conf = conf;
	if (o->path == NULL)
		code = error_set(err, -ENOMEM, "out of memory");
	else
		code = log_file_open(path, &conf->creds, &o->file, err);
	if (code < 0) {
		output_unref(o);
		return code;
	}
	take_file(o);
	*ret_output = o;
	return 0;
}

bool
output_is(const struct output *o, const char *path,
    const struct conf_app *conf)
{
	return strcmp(o->path, path) == 0 &&
	    conf_creds_same(&o->conf->creds, &conf->creds);
}

void
output_adjust(struct output *o, struct config *config,
    const struct conf_app *conf)
{
	config_ref(config);
	config_unref(o->config);
	o->config = config;
	o->conf = conf;
	o->rotate_again.ns = 0;
	o->rotate_told = false;
}

int
output_reopen(struct output *o, struct error *err)
{
	struct log_file file;
	int code = log_file_open(o->path, &o->conf->creds, &file, err);

	if (code < 0)
		return code;
	loop_del(o->loop, &o->writable);
	if (file.dev != o->file.dev || file.ino != o->file.ino)
		o->mid_line = false;
	sink_close(&o->sink);
	o->file = file;
	take_file(o);
	o->retry.ns = o->rotate_again.ns = 0;
	o->rotate_told = false;
	(void)output_flush(o);
	return 0;
}

struct output *
output_ref(struct output *o)
{
	o->refs++;
	return o;
}

void
output_give_up(struct output *o)
{
	if (o->n_kept > 0)
		o->state = OUTPUT_STUCK;
}

void
output_close(struct output *o)
{
	if (output_flush(o))
		lose_kept(o);
	output_tell_losses(o);
	while (o->losses != NULL) {
		struct output_loss *l = o->losses;

		o->losses = l->next;
		log_lost(1);
		free(l);
	}
	loop_timer_set(o->loop, &o->timer, MONO_NEVER);
}

void
output_free(struct output *o)
{
	output_close(o);
	forget_kept(o);
	for (struct output **p = o->list; p != NULL && *p != NULL;
	    p = &(*p)->next)
		if (*p == o) {
			*p = o->next;
			break;
		}
	loop_timer_fini(o->loop, &o->timer);
	sink_close(&o->sink);
	config_unref(o->config);
	free(o->path);
	free(o);
}

static void
free_if_over(struct output *o)
{
	if (o->refs == 0 && (o->n_kept == 0 || o->state != OUTPUT_FINE))
		output_free(o);
}

void
output_unref(struct output *o)
{
	if (o == NULL || --o->refs > 0)
		return;
	(void)output_flush(o);
	free_if_over(o);
}
