#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sink.h"

static struct sink sink = SINK_INIT;
static enum log_level max_level = LOG_LEVEL_INFO;
static unsigned long dropped;

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error  ",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info   ",
	[LOG_LEVEL_DEBUG] = "debug  ",
};

int
log_open(const char *path, struct error *err)
{
	int code;

	if (path == NULL) {
		sink_inherit(&sink, STDERR_FILENO);
		return 0;
	}
	code = sink_open(&sink, path);
	if (code < 0)
		return error_set(err, code, "cannot open log file %s: %s",
		    path, strerror(-code));
	return 0;
}

void
log_set_level(enum log_level level)
{
	max_level = level;
}

bool
log_enabled(enum log_level level)
{
	return level <= max_level;
}

static bool
emit(const char *line, size_t len)
{
	return sink_write(&sink, line, len) == (ssize_t)len;
}

static size_t
put_time(char *line, size_t size)
{
	struct timespec ts = { 0 };
	struct tm tm;
	size_t len;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	if (localtime_r(&ts.tv_sec, &tm) == NULL)
		return 0;
	len = strftime(line, size, "%Y-%m-%d %H:%M:%S", &tm);
	len += (size_t)snprintf(line + len, size - len, ".%03ld ",
	    ts.tv_nsec / 1000000);
	return len;
}

/* Cut to the limit, make every byte printable, end in one newline. */
static size_t
finish_line(char *line, size_t start, size_t len)
{
	if (len > LOG_LINE_MAX - 1) {
		memcpy(line + LOG_LINE_MAX - 4, "...", 3);
		len = LOG_LINE_MAX - 1;
	}
	for (size_t i = start; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len] = '\n';
	return len + 1;
}

static void
report_dropped(void)
{
	char line[128];
	size_t len;

	len = put_time(line, sizeof(line));
	len += (size_t)snprintf(line + len, sizeof(line) - len,
	    "%s %lu log lines were dropped: the log could not be written\n",
	    level_names[LOG_LEVEL_WARNING], dropped);
	if (emit(line, len))
		dropped = 0;
}

static size_t
put_about(char *line, size_t size, const struct log_about *about)
{
	int n;

	if (about->app == NULL)
		return 0;
	if (about->instance < 0)
		n = snprintf(line, size, "%s: ", about->app);
	else if (about->pid == 0)
		n = snprintf(line, size, "%s[%ld]: ", about->app,
		    about->instance);
	else
		n = snprintf(line, size, "%s[%ld] pid %d: ", about->app,
		    about->instance, (int)about->pid);
	return n < 0 ? 0 : (size_t)n;
}

void
log_vabout(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX + 1];
	int saved = errno;
	size_t start, len;
	int n;

	if (!log_enabled(level))
		return;
	if (sink.kind == SINK_NONE)
		sink_inherit(&sink, STDERR_FILENO);

	start = put_time(line, sizeof(line));
	start += (size_t)snprintf(line + start, sizeof(line) - start, "%s ",
	    level_names[level]);
	start += put_about(line + start, sizeof(line) - start, about);
	n = vsnprintf(line + start, sizeof(line) - start, fmt, ap);
	len = finish_line(line, start, start + (n < 0 ? 0 : (size_t)n));

	if (dropped > 0)
		report_dropped();
	if (dropped > 0 || !emit(line, len))
		dropped++;
	errno = saved;
}

void
log_about(enum log_level level, const struct log_about *about,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_vabout(level, about, fmt, ap);
	va_end(ap);
}

void
log_write(enum log_level level, const char *fmt, ...)
{
	const struct log_about nothing = { .app = NULL };
	va_list ap;

	va_start(ap, fmt);
	log_vabout(level, &nothing, fmt, ap);
	va_end(ap);
}
