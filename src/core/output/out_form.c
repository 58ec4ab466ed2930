#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "core/output/out_form.h"

#define JSON_END	"\"}"
#define JSON_GOES_ON	"\",\"cont\":true}"

/* ---- what stands before ---- */

static void
put_time_place(struct out_form *f)
{
	f->time_at = f->head_len;
	f->head_len += ISO_TIME_LEN;
	out_form_set_time(f, 0);
}

static void
put_text(struct out_form *f, const char *text)
{
	size_t len = strlen(text);

	memcpy(f->head + f->head_len, text, len);
	f->head_len += len;
}

static void
make_json(struct out_form *f, const char *app, unsigned instance,
    unsigned stream)
{
	char text[64];

	put_text(f, "{\"time\":\"");
	put_time_place(f);
	put_text(f, "\",\"app\":\"");
	put_text(f, app);
	snprintf(text, sizeof(text), "\",\"instance\":%u,\"stream\":\"%s\","
	    "\"line\":\"", instance, stream == 1 ? "stdout" : "stderr");
	put_text(f, text);
}

void
out_form_make(struct out_form *f, enum out_kind kind, bool timed,
    const char *app, unsigned instance, unsigned stream, bool colour)
{
	*f = (struct out_form){
		.kind = kind, .timed = timed || kind == OUT_KIND_JSON,
	};
	if (kind == OUT_KIND_JSON) {
		make_json(f, app, instance, stream);
		return;
	}
	if (timed) {
		put_time_place(f);
		put_text(f, " ");
	}
	if (kind == OUT_KIND_TAG)
		f->head_len += out_tag_make(f->head + f->head_len, app,
		    instance, colour);
}

void
out_form_set_time(struct out_form *f, int64_t ms)
{
	if (f->timed)
		iso_time_put(f->head + f->time_at, ms);
}

size_t
out_form_line_cost(const struct out_form *f)
{
	return f->head_len +
	    (f->kind == OUT_KIND_JSON ? strlen(JSON_END) : 0);
}

size_t
out_form_byte_cost(const struct out_form *f)
{
	return f->kind == OUT_KIND_JSON ? JSON_CHAR_MAX : 1;
}

/* ---- lines ---- */

struct room {
	char *at, *end;
};

/* False: it does not fit. */
static bool
put(struct room *to, const char *bytes, size_t len)
{
	if (len > (size_t)(to->end - to->at))
		return false;
	memcpy(to->at, bytes, len);
	to->at += len;
	return true;
}

/* Bytes that stand in a string as they are. */
static size_t
count_plain(const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && bytes[n] >= ' ' && bytes[n] < 0x7f &&
	    bytes[n] != '"' && bytes[n] != '\\')
		n++;
	return n;
}

static bool
put_escaped(struct room *to, const char *bytes, size_t len)
{
	while (len > 0) {
		char escaped[JSON_CHAR_MAX];
		size_t n = count_plain(bytes, len), n_escaped;

		if (!put(to, bytes, n))
			return false;
		bytes += n;
		len -= n;
		if (len == 0)
			break;
		n = json_escape_char(bytes, len, escaped, &n_escaped);
		if (!put(to, escaped, n_escaped))
			return false;
		bytes += n;
		len -= n;
	}
	return true;
}

size_t
out_form_put(const struct out_form *f, const char *line, size_t len,
    bool goes_on, char *to, size_t room)
{
	struct room out = { .at = to, .end = to + room };
	const char *tail = goes_on ? JSON_GOES_ON : JSON_END;
	bool fits = put(&out, f->head, f->head_len);

	if (f->kind == OUT_KIND_JSON)
		fits = fits && put_escaped(&out, line, len) &&
		    put(&out, tail, strlen(tail));
	else
		fits = fits && put(&out, line, len);
	fits = fits && put(&out, "\n", 1);
	return fits ? (size_t)(out.at - to) : 0;
}
