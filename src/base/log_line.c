#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log_line.h"

#define CUT "..."

/* A name of an app has 32 bytes, which take no escaping: anything longer is
   cut, so that there is room for a message in any case. */
#define NAME_ROOM 128

static const struct {
	const char *name;
	const char *padded;
	char priority;		/* of syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", "error  ", '3' },
	[LOG_LEVEL_WARNING] = { "warning", "warning", '4' },
	[LOG_LEVEL_INFO] = { "info", "info   ", '6' },
	[LOG_LEVEL_DEBUG] = { "debug", "debug  ", '7' },
};

/* Text in a place that ends; what does not fit is left out. */
struct out {
	char *text;
	size_t len;
	size_t size;
	bool cut;	/* something was left out */
};

static void
put_bytes(struct out *out, const char *bytes, size_t len)
{
	if (len > out->size - out->len) {
		len = out->size - out->len;
		out->cut = true;
	}
	memcpy(out->text + out->len, bytes, len);
	out->len += len;
}

static void
put(struct out *out, const char *text)
{
	put_bytes(out, text, strlen(text));
}

static void put_printf(struct out *out, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A few words, not a message. */
static void
put_printf(struct out *out, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0)
		put(out, text);
}

static void
put_time(struct out *out, const struct tm *tm, char separator,
    const struct timespec *time)
{
	put_printf(out, "%04d-%02d-%02d%c%02d:%02d:%02d.%03ld",
	    tm->tm_year + 1900, tm->tm_mon + 1, tm->tm_mday, separator,
	    tm->tm_hour, tm->tm_min, tm->tm_sec, time->tv_nsec / 1000000);
}

/* ---- text ---- */

static void
put_about(struct out *out, const struct log_about *about)
{
	if (about->app == NULL)
		return;
	put(out, about->app);
	if (about->instance >= 0) {
		put_printf(out, "[%ld]", about->instance);
		if (about->pid != 0)
			put_printf(out, " pid %d", (int)about->pid);
	}
	put(out, ": ");
}

static void
put_text(struct out *out, const struct log_line *line, const char *message)
{
	struct tm tm;
	size_t start;

	if (!line->journal) {
		if (localtime_r(&line->time.tv_sec, &tm) != NULL) {
			put_time(out, &tm, ' ', &line->time);
			put(out, " ");
		}
		put(out, levels[line->level].padded);
		put(out, " ");
	}
	start = out->len;
	put_about(out, line->about);
	put(out, message);
	if (out->cut)
		memcpy(out->text + out->len - strlen(CUT), CUT, strlen(CUT));
	for (size_t i = start; i < out->len; i++)
		if ((unsigned char)out->text[i] < ' ' || out->text[i] == 0x7f)
			out->text[i] = '?';
}

/* ---- json ---- */

/* As it stands within quotes, in at most `room` bytes. */
static void
put_escaped(struct out *out, const char *text, size_t room)
{
	const char *end = text + strlen(text);
	const size_t limit = out->len + room;
	/* Up to where the mark can take the place of what follows. */
	size_t fits = out->len;

	while (text < end) {
		char escaped[JSON_CHAR_MAX];
		size_t len;

		text += json_escape_char(text, (size_t)(end - text), escaped,
		    &len);
		if (out->len + len > limit) {
			out->len = fits;
			put(out, CUT);
			return;
		}
		put_bytes(out, escaped, len);
		if (out->len + strlen(CUT) <= limit)
			fits = out->len;
	}
}

static void
put_json(struct out *out, const struct log_line *line, const char *message)
{
	const struct log_about *about = line->about;
	struct tm tm;

	put(out, "{");
	if (gmtime_r(&line->time.tv_sec, &tm) != NULL) {
		put(out, "\"time\":\"");
		put_time(out, &tm, 'T', &line->time);
		put(out, "Z\",");
	}
	put(out, "\"level\":\"");
	put(out, levels[line->level].name);
	put(out, "\",");
	if (about->app != NULL) {
		put(out, "\"app\":\"");
		put_escaped(out, about->app, NAME_ROOM);
		put(out, "\",");
		if (about->instance >= 0)
			put_printf(out, "\"instance\":%ld,", about->instance);
		if (about->instance >= 0 && about->pid != 0)
			put_printf(out, "\"pid\":%d,", (int)about->pid);
	}
	put(out, "\"message\":\"");
	put_escaped(out, message, out->size - out->len - strlen("\"}"));
	put(out, "\"}");
}

size_t
log_line_format(const struct log_line *line, char ret_text[LOG_LINE_MAX],
    const char *fmt, va_list ap)
{
	struct out out = { .text = ret_text, .size = LOG_LINE_MAX - 1 };
	/* What is cut here does not fit into the line either. */
	char message[LOG_LINE_MAX + 1];

	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	if (line->journal)
		put_printf(&out, "<%c>", levels[line->level].priority);
	if (line->format == LOG_FORMAT_JSON)
		put_json(&out, line, message);
	else
		put_text(&out, line, message);
	ret_text[out.len] = '\n';
	return out.len + 1;
}
