#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/utf8.h"
#include "core/worker/obituary.h"
#include "core/status/status.h"
#include "core/status/status_text.h"

enum status_colour
status_state_colour(const char *state)
{
	static const struct {
		const char *state;
		enum status_colour colour;
	} colours[] = {
		{ "ready", STATUS_GREEN }, { "running", STATUS_GREEN },
		{ "starting", STATUS_YELLOW }, { "backoff", STATUS_YELLOW },
		{ "draining", STATUS_YELLOW }, { "stopping", STATUS_YELLOW },
		{ "going down", STATUS_YELLOW },
		{ "reloading", STATUS_YELLOW }, { "waiting", STATUS_YELLOW },
		{ "stopped", STATUS_YELLOW }, { "unhealthy", STATUS_RED },
		{ "killed", STATUS_RED }, { "parked", STATUS_RED },
		{ "failed", STATUS_RED },
	};

	for (size_t i = 0; i < sizeof(colours) / sizeof(colours[0]); i++)
		if (state != NULL && strcmp(state, colours[i].state) == 0)
			return colours[i].colour;
	return STATUS_PLAIN;
}

const char *
status_app_state(const struct status_app *app)
{
	bool nobody = app->ready == 0 && app->wanted != 0 &&
	    app->wanted != STATUS_UNKNOWN;

	return nobody && app->state != NULL &&
	    strcmp(app->state, "running") == 0 ? "starting" : app->state;
}

/* What would not stand where it is written: controls (C1 too) and marks that
   turn the direction of what follows. */
static bool
is_harmful(uint32_t point)
{
	return point < ' ' || (point >= 0x7f && point < 0xa0) ||
	    point == 0x061c || (point >= 0x200b && point <= 0x200f) ||
	    (point >= 0x2028 && point <= 0x202e) ||
	    (point >= 0x2060 && point <= 0x206f) || point == 0xfeff;
}

/* The next character as it is shown: `ret_bytes` of `s`, or '?' if that is 0;
   returns how many of `s` it takes. */
static size_t
next(const char *s, const struct status_style *style, size_t *ret_bytes,
    size_t *ret_columns)
{
	uint32_t point;
	size_t len = utf8_decode(s, &point);
	bool shown = len > 0 && !is_harmful(point) &&
	    (style->utf8 || point < 0x80);

	*ret_bytes = shown ? len : 0;
	*ret_columns = shown ? utf8_columns(point) : 1;
	return len > 0 ? len : 1;
}

size_t
status_columns(const char *text, const struct status_style *style)
{
	size_t sum = 0, bytes, columns;

	while (*text != '\0') {
		text += next(text, style, &bytes, &columns);
		sum += columns;
	}
	return sum;
}

void
status_put(struct strbuf *sb, const char *text, size_t max,
    const struct status_style *style)
{
	const char *dots = style->utf8 ? "…" : "...";
	size_t dots_columns = style->utf8 ? 1 : 3;
	size_t used = 0, bytes, columns, len;
	bool cut = max > 0 && status_columns(text, style) > max;

	if (cut && max <= dots_columns) {
		dots = "";
		dots_columns = 0;
	}
	for (; *text != '\0'; text += len) {
		len = next(text, style, &bytes, &columns);
		if (cut && used + columns + dots_columns > max)
			break;
		if (bytes > 0)
			strbuf_add(sb, text, bytes);
		else
			strbuf_putc(sb, '?');
		used += columns;
	}
	if (cut)
		strbuf_puts(sb, dots);
}

void
status_put_spaces(struct strbuf *sb, size_t n)
{
	while (n-- > 0)
		strbuf_putc(sb, ' ');
}

void
status_colour_on(struct strbuf *sb, enum status_colour colour,
    const struct status_style *style)
{
	static const char *const codes[] = {
		[STATUS_PLAIN] = "", [STATUS_BOLD] = "\033[1m",
		[STATUS_GREEN] = "\033[32m", [STATUS_YELLOW] = "\033[33m",
		[STATUS_RED] = "\033[31m",
	};

	if (style->colour)
		strbuf_puts(sb, codes[colour]);
}

void
status_colour_off(struct strbuf *sb, enum status_colour colour,
    const struct status_style *style)
{
	if (style->colour && colour != STATUS_PLAIN)
		strbuf_puts(sb, "\033[0m");
}

void
status_put_bytes(struct strbuf *sb, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	uint64_t whole = bytes, rest = 0;
	size_t unit = 0;

	if (bytes == STATUS_UNKNOWN) {
		strbuf_putc(sb, '-');
		return;
	}
	for (; whole >= 1024; unit++) {
		rest = whole % 1024;
		whole /= 1024;
	}
	if (unit == 0 || whole >= 100)
		strbuf_printf(sb, "%d%c", (int)whole, units[unit]);
	else
		strbuf_printf(sb, "%d.%d%c", (int)whole,
		    (int)(rest * 10 / 1024), units[unit]);
}

void
status_put_percent(struct strbuf *sb, uint64_t permille)
{
	if (permille == STATUS_UNKNOWN)
		strbuf_putc(sb, '-');
	else
		strbuf_printf(sb, "%llu.%d",
		    (unsigned long long)(permille / 10),
		    (int)(permille % 10));
}

void
status_put_duration(struct strbuf *sb, uint64_t ms)
{
	if (ms == STATUS_UNKNOWN)
		strbuf_putc(sb, '-');
	else
		obituary_duration(sb, ms > INT64_MAX ? INT64_MAX :
		    (int64_t)ms);
}

void
status_put_number(struct strbuf *sb, uint64_t number)
{
	if (number == STATUS_UNKNOWN)
		strbuf_putc(sb, '-');
	else
		strbuf_printf(sb, "%llu", (unsigned long long)number);
}

bool
status_put_measure(struct strbuf *sb, const char *before, uint64_t value,
    void (*put)(struct strbuf *sb, uint64_t value), const char *after)
{
	if (value == STATUS_UNKNOWN)
		return false;
	strbuf_puts(sb, before);
	put(sb, value);
	strbuf_puts(sb, after);
	return true;
}

/* ---- running text ---- */

struct status_flow
status_flow_begin(struct strbuf *sb, size_t at, size_t indent,
    const struct status_style *style)
{
	status_put_spaces(sb, at);
	return (struct status_flow){
		.sb = sb, .style = style, .indent = indent, .column = at,
	};
}

/* A space before the word, or a new line, where something stands before. */
static void
part(struct status_flow *flow, size_t columns)
{
	size_t width = flow->style->width;

	if (flow->sb->len == 0 || flow->sb->text == NULL ||
	    flow->sb->text[flow->sb->len - 1] == ' ' ||
	    flow->sb->text[flow->sb->len - 1] == '\n')
		return;
	/* A comma may follow. */
	if (width == 0 || flow->column + 1 + columns + 1 <= width) {
		strbuf_putc(flow->sb, ' ');
		flow->column++;
		return;
	}
	strbuf_putc(flow->sb, '\n');
	status_put_spaces(flow->sb, flow->indent);
	flow->column = flow->indent;
}

static void
put_word(struct status_flow *flow, enum status_colour colour,
    const char *word)
{
	size_t width = flow->style->width, max = 0;
	size_t columns = status_columns(word, flow->style);

	if (flow->comma) {
		strbuf_putc(flow->sb, ',');
		flow->column++;
		flow->comma = false;
	}
	part(flow, columns);
	if (width > 0 && flow->column + columns + 1 > width) {
		max = width > flow->column + 1 ? width - flow->column - 1 : 1;
		columns = max;
	}
	status_colour_on(flow->sb, colour, flow->style);
	status_put(flow->sb, word, max, flow->style);
	status_colour_off(flow->sb, colour, flow->style);
	flow->column += columns;
}

void
status_flow_put(struct status_flow *flow, enum status_colour colour,
    const char *text)
{
	char *copy = strdup(text), *rest = copy, *word;

	if (copy == NULL) {
		flow->sb->failed = true;
		return;
	}
	while ((word = strsep(&rest, " ")) != NULL)
		if (*word != '\0')
			put_word(flow, colour, word);
	free(copy);
}

void
status_flow_comma(struct status_flow *flow)
{
	flow->comma = true;
}

void
status_flow_end(struct status_flow *flow)
{
	strbuf_putc(flow->sb, '\n');
}
