#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "core/output/line_split.h"

size_t
line_split_count(const char *bytes, size_t len)
{
	const char *end = bytes + len;
	size_t n = 0;

	while (bytes < end &&
	    (bytes = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
		bytes++;
		n++;
	}
	return n;
}

static void
drop_held(struct line_split *s)
{
	free(s->held);
	*s = (struct line_split)LINE_SPLIT_INIT;
}

/* The bytes up to `end` as lines, with a newline in the place of what is there,
   which stays what it was: the line goes on there. */
static void
end_line_at(char *start, char *end, line_split_fn *fn, void *ctx)
{
	char saved = *end;

	*end = '\n';
	fn(ctx, start, (size_t)(end + 1 - start), true);
	*end = saved;
}

/* Where the line from `line` on is cut, of which more bytes than a line's limit
   are there: before a character that would be cut, if it is one. */
static char *
cut_at(char *line)
{
	char *limit = line + LINE_SPLIT_MAX;
	uint32_t point;

	for (int back = 1; back <= 3; back++) {
		unsigned char byte = (unsigned char)limit[-back];

		if (byte >= 0x80 && byte < 0xc0)
			continue;	/* not its first */
		/* Its beginning, and what comes then is no end of it. */
		if (byte < 0xc0 || -utf8_sequence(limit - back, (size_t)back,
		    &point) != back)
			break;
		return limit - back;
	}
	return limit;
}

/*
 * Where the lines from `start` on that may be passed on end: behind a newline,
 * or where a line has become too long (*ret_cut). Whatever stands between two
 * newlines less than a line's limit apart need not be looked at.
 */
static char *
passable(char *start, char *end, bool *ret_cut)
{
	char *line = start;

	*ret_cut = false;
	while (line < end) {
		size_t rest = (size_t)(end - line);
		size_t look = rest < LINE_SPLIT_MAX + 1 ? rest :
		    LINE_SPLIT_MAX + 1;
		char *newline = memrchr(line, '\n', look);

		if (newline == NULL) {
			*ret_cut = look > LINE_SPLIT_MAX;
			break;
		}
		line = newline + 1;
	}
	return line;
}

void
line_split_feed(struct line_split *s, char *data, size_t len,
    line_split_fn *fn, void *ctx)
{
	char *start = data - s->n_held, *end = data + len;
	size_t rest;
	bool cut;

	if (s->n_held > 0)
		memcpy(start, s->held, s->n_held);
	drop_held(s);
	do {
		char *to = passable(start, end, &cut);

		if (cut) {
			to = cut_at(to);
			end_line_at(start, to, fn, ctx);
		} else if (to > start) {
			fn(ctx, start, (size_t)(to - start), false);
		}
		start = to;
	} while (cut);

	rest = (size_t)(end - start);
	if (rest == 0)
		return;
	s->held = malloc(rest);
	if (s->held == NULL) {
		end_line_at(start, end, fn, ctx);
		return;
	}
	memcpy(s->held, start, rest);
	s->n_held = rest;
}

void
line_split_hold(struct line_split *s, const char *bytes, size_t len)
{
	if (len > LINE_SPLIT_MAX)
		len = LINE_SPLIT_MAX;
	drop_held(s);
	s->held = malloc(len);
	if (s->held == NULL)
		return;
	memcpy(s->held, bytes, len);
	s->n_held = len;
}

void
line_split_end(struct line_split *s, line_split_fn *fn, void *ctx)
{
	char line[LINE_SPLIT_MAX + 1];
	size_t len = s->n_held;

	if (len == 0)
		return;
	memcpy(line, s->held, len);
	line[len] = '\n';
	drop_held(s);
	fn(ctx, line, len + 1, false);
}
