#include <errno.h>

#include "base/log.h"
#include "core/output/line_split.h"
#include "daemon/output/output_priv.h"
#include "daemon/output/output_put.h"

/* ---- workers' lines ---- */

static void
put_formed(struct output *o, const char *app, const struct out_form *form,
    const char *lines, size_t len)
{
	bool first = o->kept.n == 0;
	size_t n = out_kept_add_lines(&o->kept, app, form, lines, len);

	if (first && n > 0)
		output_keeps(o);
	/* More than there was room for: it was read while nothing was to be
	   kept; or there is no memory. */
	if (n < len)
		output_lose(o, app, lines + n, len - n);
	output_flush_new(o);
}

static void
keep_untagged(struct output *o, const char *app, const char *lines, size_t len)
{
	bool first = o->kept.n == 0;

	if (!out_kept_add_of(&o->kept, app, lines, len))
		output_lose(o, app, lines, len);
	else if (first)
		output_keeps(o);
}

/* Straight from the pipe's bytes, no copy is made. */
static void
put_to_file(struct output *o, const char *app, const char *lines, size_t len)
{
	int code = 0;

	while (len > 0) {
		size_t piece = out_place_piece(&o->place, lines, len);
		size_t n = out_place_write(&o->place, lines, piece, &code);

		if (n > 0)
			output_took(o);
		lines += n;
		len -= n;
		if (code < 0)
			break;
	}
	if (code == -EAGAIN) {
		keep_untagged(o, app, lines, len);
		if (o->kept.n > 0)
			output_wait(o);
	} else if (code < 0) {
		out_losses_add(&o->losses, app, line_split_count(lines, len));
		output_broke(o, code);
	}
}

/* A line of which the rest was lost gets its end. */
static int
end_cut_line(struct output *o)
{
	int code = 0;

	if (o->kept.n == 0 && o->place.mid_line)
		(void)out_place_write(&o->place, "\n", 1, &code);
	return code;
}

static bool
is_shut(struct output *o)
{
	int code;

	if (output_takes_nothing(o))
		return true;
	code = end_cut_line(o);
	if (code == -EAGAIN)
		output_rest(o);
	else if (code < 0)
		output_broke(o, code);
	return code < 0;
}

void
output_put(struct output *o, const char *app, const struct out_form *form,
    const char *lines, size_t len)
{
	if (is_shut(o)) {
		out_losses_add(&o->losses, app, line_split_count(lines, len));
	} else if (o->kept.tagged || form->head_len > 0) {
		put_formed(o, app, form, lines, len);
	} else if (o->kept.n > 0) {
		keep_untagged(o, app, lines, len);
		output_flush_new(o);
	} else {
		put_to_file(o, app, lines, len);
	}
}

enum out_kind
output_kind(const struct output *o)
{
	if (!o->kept.tagged)
		return OUT_KIND_PLAIN;
	return log_get_format() == LOG_FORMAT_JSON ? OUT_KIND_JSON :
	    OUT_KIND_TAG;
}

bool
output_has_colour(const struct output *o)
{
	return o->colour;
}

/* ---- clusterd's own lines ---- */

/* Returns how much; the rest may be kept where *ret_keep. */
static size_t
write_aside(struct output *o, const char *line, size_t len, bool *ret_keep)
{
	int code = end_cut_line(o);
	bool ended = code == 0;
	size_t n = 0;

	if (ended)
		n = out_place_write(&o->place, line, len, &code);
	if (o->place.mid_line)
		out_place_set_cut(&o->place, "");
	*ret_keep = ended && code == -EAGAIN;
	/* Whether the place is whole again is for output to find out, which is
	   tried less often. */
	if (n == len && (o->state != OUTPUT_BROKEN || !output_takes_nothing(o)))
		output_took(o);
	else if (n < len && !*ret_keep)
		output_rest(o);
	return n;
}

bool
output_put_aside(struct output *o, const char *line, size_t len)
{
	bool first = o->kept.n == 0, may_keep = true;
	size_t n = first ? write_aside(o, line, len, &may_keep) : 0;

	if (n == len)
		return true;
	if (!may_keep || !out_kept_add(&o->kept, line + n, len - n))
		return false;
	if (first) {
		output_keeps(o);
		output_wait(o);
	}
	return true;
}
