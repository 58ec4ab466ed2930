#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "core/output/line_split.h"
#include "core/output/out_form.h"
#include "core/output/out_tag.h"
#include "daemon/output/out_kept.h"
#include "daemon/output/out_losses.h"
#include "daemon/output/out_place.h"

/* ---- keeping ---- */

/* Where the next bytes go, and how many have room; NULL: no memory. */
static char *
end_of(struct out_kept *kept, size_t *ret_room)
{
	if (kept->bytes == NULL)
		kept->bytes = malloc(OUT_KEPT_MAX);
	if (kept->bytes == NULL)
		return NULL;
	/* A short move makes much room. */
	if (kept->head >= OUT_KEPT_LOW && kept->n <= OUT_KEPT_LOW) {
		memmove(kept->bytes, kept->bytes + kept->head, kept->n);
		kept->head = 0;
	}
	*ret_room = OUT_KEPT_MAX - kept->head - kept->n;
	return kept->bytes + kept->head + kept->n;
}

size_t
out_kept_room(struct out_kept *kept)
{
	size_t room = OUT_KEPT_MAX;

	if (kept->bytes != NULL)
		(void)end_of(kept, &room);
	return room;
}

bool
out_kept_add(struct out_kept *kept, const char *bytes, size_t len)
{
	size_t room = 0;
	char *to = end_of(kept, &room);

	if (to == NULL || len > room)
		return false;
	memcpy(to, bytes, len);
	kept->n += len;
	return true;
}

static void
note_app(struct out_kept *kept, const char *app, bool first)
{
	if (first)
		strcpy(kept->app, app);
	else if (strcmp(kept->app, app) != 0)
		*kept->app = '\0';
}

bool
out_kept_add_of(struct out_kept *kept, const char *app, const char *bytes,
    size_t len)
{
	bool first = kept->n == 0;

	if (!out_kept_add(kept, bytes, len))
		return false;
	note_app(kept, app, first);
	return true;
}

size_t
out_kept_add_lines(struct out_kept *kept, const char *app,
    const struct out_form *form, const char *lines, size_t len)
{
	bool first = kept->n == 0;
	const char *at = lines, *end = lines + len;
	size_t room;
	char *start = end_of(kept, &room), *to = start;

	if (start == NULL)
		return 0;
	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t n = out_form_put(form, at, (size_t)(newline - at),
		    form->goes_on && newline + 1 == end, to, room);

		if (n == 0)
			break;
		to += n;
		room -= n;
		at = newline + 1;
	}
	kept->n += (size_t)(to - start);
	if (to != start)
		note_app(kept, app, first);
	return (size_t)(at - lines);
}

void
out_kept_forget(struct out_kept *kept)
{
	free(kept->bytes);
	kept->bytes = NULL;
	kept->head = kept->n = 0;
}

/* ---- whose it is ---- */

/* By its tag; "": clusterd's own. */
static void
read_tag(const char *line, size_t len, char ret_app[CONF_NAME_MAX + 1])
{
	if (!out_tag_read(line, len, ret_app))
		*ret_app = '\0';
}

/* `done` of `len` bytes were written, and the last line of those not to its
   end. `old`: they began within one. */
static void
note_cut(struct out_place *place, const char *bytes, size_t done, size_t len,
    bool old)
{
	const char *newline = memrchr(bytes, '\n', done);
	const char *line = newline != NULL ? newline + 1 : bytes;
	char app[CONF_NAME_MAX + 1];

	if (newline == NULL && old)
		return;
	read_tag(line, len - (size_t)(line - bytes), app);
	out_place_set_cut(place, app);
}

/* The first may be the end of one that was cut. */
static void
lose_tagged(const struct out_kept *kept, const struct out_place *place,
    struct out_losses *losses)
{
	const char *line = kept->bytes + kept->head, *end = line + kept->n;
	char app[CONF_NAME_MAX + 1];
	unsigned long own = 0;
	bool cut = place->mid_line;

	for (const char *next; line < end; line = next) {
		next = memchr(line, '\n', (size_t)(end - line));
		next = next != NULL ? next + 1 : end;
		if (cut)
			strcpy(app, place->cut_app);
		else
			read_tag(line, (size_t)(next - line), app);
		cut = false;
		if (*app == '\0')
			own++;
		else
			out_losses_add(losses, app, 1);
	}
	log_lost(own);
}

void
out_kept_lose(struct out_kept *kept, const struct out_place *place,
    struct out_losses *losses)
{
	if (kept->n > 0 && kept->tagged)
		lose_tagged(kept, place, losses);
	else if (kept->n > 0)
		out_losses_add(losses, kept->app,
		    line_split_count(kept->bytes + kept->head, kept->n));
	out_kept_forget(kept);
}

/* ---- writing ---- */

/* As much of it as belongs into one file, unless a line is in the midst. */
static size_t
piece_of(const struct out_kept *kept, struct out_place *place)
{
	if (kept->tagged || place->conf == NULL || place->mid_line)
		return kept->n;
	return out_place_piece(place, kept->bytes + kept->head, kept->n);
}

size_t
out_kept_write(struct out_kept *kept, struct out_place *place, int *ret_code)
{
	size_t written = 0;

	*ret_code = 0;
	while (kept->n > 0 && *ret_code == 0) {
		const char *bytes = kept->bytes + kept->head;
		bool old = place->mid_line;
		size_t n = out_place_write(place, bytes, piece_of(kept, place),
		    ret_code);

		if (n > 0 && place->mid_line && kept->tagged)
			note_cut(place, bytes, n, kept->n, old);
		kept->head += n;
		kept->n -= n;
		written += n;
	}
	if (kept->n == 0)
		out_kept_forget(kept);
	return written;
}
