#include <string.h>

#include "base/iso_time.h"
#include "base/json.h"
#include "base/num.h"
#include "base/str.h"
#include "cli/ctl_log_line.h"
#include "cli/ctl_text.h"
#include "core/control/answer.h"

static const struct answer_field *
find_field(const struct answer_line *line, const char *key)
{
	for (size_t i = 0; i < line->n_fields; i++)
		if (strcmp(line->fields[i].key, key) == 0)
			return &line->fields[i];
	return NULL;
}

static const char *
get(const struct answer_line *line, const char *key)
{
	const char *value = answer_line_get(line, key);

	return value != NULL ? value : "?";
}

/* ---- JSON ---- */

/* RFC 3339, in UTC. */
static void
put_time(struct strbuf *sb, uint64_t ms)
{
	char text[ISO_TIME_LEN];

	iso_time_put(text, ms > INT64_MAX ? INT64_MAX : (int64_t)ms);
	strbuf_printf(sb, "\"time\":\"%.*s\",", ISO_TIME_LEN, text);
}

static void
put_json(struct strbuf *sb, const struct answer_line *line)
{
	const struct answer_field *text = find_field(line, "text");
	uint64_t n;

	strbuf_putc(sb, '{');
	if (answer_line_number(line, "time_ms", &n))
		put_time(sb, n);
	strbuf_puts(sb, "\"app\":");
	json_put_string(sb, get(line, "app"));
	if (answer_line_number(line, "instance", &n))
		strbuf_printf(sb, ",\"instance\":%llu", (unsigned long long)n);
	strbuf_puts(sb, ",\"stream\":");
	json_put_string(sb, get(line, "stream"));
	strbuf_puts(sb, ",\"line\":");
	json_put_bytes(sb, text != NULL ? text->value : "",
	    text != NULL ? text->len : 0);
	strbuf_puts(sb, find_field(line, "cont") != NULL ? ",\"cont\":true}\n" :
	    "}\n");
}

/* ---- text ---- */

/* "web.2 | ", in the colour that clusterd's own prefix has. */
static void
put_tag(struct strbuf *sb, const struct answer_line *line, bool colour)
{
	static const unsigned char colours[] = {
		36, 33, 32, 35, 34, 96, 93, 92, 95, 94,
	};
	const char *app = get(line, "app");
	uint64_t instance = 0;
	unsigned sum;

	(void)answer_line_number(line, "instance", &instance);
	sum = (unsigned)instance;
	for (const char *c = app; *c != '\0'; c++)
		sum += (unsigned char)*c;
	if (colour)
		strbuf_printf(sb, "\033[%dm", colours[sum % sizeof(colours)]);
	ctl_text_put(sb, app);
	strbuf_printf(sb, ".%llu |%s ", (unsigned long long)instance,
	    colour ? "\033[0m" : "");
}

/* The length of the sequence at `s` that sets colours and the like, or 0. */
static size_t
sgr_length(const char *s)
{
	size_t n;

	if (s[0] != '\033' || s[1] != '[')
		return 0;
	n = 2 + strspn(s + 2, "0123456789;:");
	return s[n] == 'm' ? n + 1 : 0;
}

/* `text` may be written to. */
static void
put_for_terminal(struct strbuf *sb, char *text, bool colour)
{
	bool coloured = false;

	while (*text != '\0') {
		size_t sgr = sgr_length(text);
		size_t len = *text == '\t' || *text == '\033' ? 1 :
		    strcspn(text, "\t\033");
		char next = text[len];

		if (sgr > 0) {
			if (colour)
				strbuf_add(sb, text, sgr);
			coloured = colour;
			text += sgr;
			continue;
		}
		if (*text == '\t') {
			strbuf_putc(sb, '\t');
		} else {
			text[len] = '\0';
			ctl_text_put(sb, text);
			text[len] = next;
		}
		text += len;
	}
	if (coloured)
		strbuf_puts(sb, "\033[0m");
}

static void
put_text(struct strbuf *sb, const struct answer_field *text,
    const struct ctl_log_style *style)
{
	size_t len = text->len;

	if (!style->terminal) {
		strbuf_add(sb, text->value, len);
		return;
	}
	if (len > 0 && text->value[len - 1] == '\r')
		text->value[--len] = '\0';
	for (size_t i = 0; i < len; i++)
		if (text->value[i] == '\0')
			text->value[i] = '?';
	put_for_terminal(sb, text->value, style->colour);
}

void
ctl_log_line(struct strbuf *sb, const struct answer_line *line,
    const struct ctl_log_style *style)
{
	const struct answer_field *text = find_field(line, "text");

	if (style->json) {
		put_json(sb, line);
		return;
	}
	put_tag(sb, line, style->colour);
	if (text != NULL)
		put_text(sb, text, style);
	strbuf_putc(sb, '\n');
}

/* ---- what is not there ---- */

void
ctl_log_lost(struct strbuf *sb, const struct answer_line *line)
{
	strbuf_printf(sb, "%s: %s lines are missing here, they were "
	    "overwritten before they could be sent", get(line, "app"),
	    get(line, "count"));
}

static void
put_place(struct strbuf *sb, const char *stream, const char *place)
{
	if (strcmp(place, "inherit") == 0)
		strbuf_printf(sb, "%s goes where that of clusterd goes (its "
		    "terminal, the journal of its service, or what its start "
		    "has put there)", stream);
	else
		strbuf_printf(sb, "%s is thrown away", stream);
}

static bool
is_elsewhere(const char *place)
{
	return strcmp(place, "inherit") == 0 || strcmp(place, "null") == 0;
}

bool
ctl_log_all_elsewhere(const struct answer_line *line)
{
	return is_elsewhere(get(line, "stdout")) &&
	    is_elsewhere(get(line, "stderr"));
}

/* Of one stream alone, the other one's lines are here. */
static void
put_half(struct strbuf *sb, const char *key, const char *stream,
    const char *place)
{
	strbuf_puts(sb, "not all of the output passes through clusterd: ");
	put_place(sb, stream, place);
	strbuf_printf(sb, "; with \"%s = prefix\" it would", key);
}

void
ctl_log_elsewhere(struct strbuf *sb, const struct answer_line *line)
{
	const char *out = get(line, "stdout"), *err = get(line, "stderr");

	strbuf_printf(sb, "%s: ", get(line, "app"));
	if (!is_elsewhere(out)) {
		put_half(sb, "stderr", "standard error", err);
		return;
	}
	if (!is_elsewhere(err)) {
		put_half(sb, "stdout", "standard output", out);
		return;
	}
	strbuf_puts(sb, "the output does not pass through clusterd: ");
	if (strcmp(out, err) == 0) {
		put_place(sb, "it", out);
	} else {
		put_place(sb, "standard output", out);
		strbuf_puts(sb, ", ");
		put_place(sb, "standard error", err);
	}
	strbuf_puts(sb, "; with \"stdout = prefix\" and \"stderr = prefix\" "
	    "it would");
}
