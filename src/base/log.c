#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/log_limit.h"
#include "base/log_line.h"
#include "base/sink.h"

static struct sink sink = SINK_INIT;
static bool journal;		/* the sink is a stream to it */
static bool torn;		/* our last write ended within a line */
static bool to_stderr = true;
static log_aside_fn *aside;
static void *aside_ctx;
static enum log_level max_level = LOG_LEVEL_INFO;
static enum log_format format = LOG_FORMAT_TEXT;
static unsigned long dropped;
static struct log_limit limit;
static bool left_out;		/* there is something to tell */
static struct log_shared *shared;

static void
share(void)
{
	unsigned turn;

	if (shared == NULL)
		return;
	turn = shared->turn + 1;
	shared->v[turn % 2] = (struct log_state){
		.sink = sink, .journal = journal, .to_stderr = to_stderr,
		.max_level = max_level, .format = format,
	};
	__atomic_store_n(&shared->turn, turn, __ATOMIC_RELEASE);
}

void
log_share(struct log_shared *with)
{
	shared = with;
}

void
log_follow(const struct log_shared *from)
{
	unsigned turn = __atomic_load_n(&from->turn, __ATOMIC_ACQUIRE);
	const struct log_state *s = &from->v[turn % 2];

	if (turn == 0)
		return;
	sink = s->sink;
	journal = s->journal;
	to_stderr = s->to_stderr;
	max_level = s->max_level;
	format = s->format;
	torn = false;
}

int
log_own_fd(void)
{
	return sink.kind == SINK_OWN ? sink.fd : -1;
}

/*
 * JOURNAL_STREAM is device and inode of the socket that systemd made our
 * standard error or output (systemd.exec(5)); the variable alone says nothing,
 * it is inherited by whoever is started with another standard error too.
 */
static bool
is_journal(int fd)
{
	const char *value = getenv("JOURNAL_STREAM");
	char here[2 * 20 + 2];
	struct stat st;

	if (value == NULL || fstat(fd, &st) < 0)
		return false;
	snprintf(here, sizeof(here), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	return strcmp(value, here) == 0;
}

static void
choose_stderr(void)
{
	struct sink old = sink;

	sink = (struct sink)SINK_INIT;
	sink_inherit(&sink, STDERR_FILENO);
	journal = is_journal(STDERR_FILENO);
	share();
	sink_close(&old);
}

int
log_open(const char *path, struct error *err)
{
	struct sink old = sink, new = SINK_INIT;
	struct error why = ERROR_INIT;
	int code;

	if (path == NULL) {
		torn = torn && to_stderr;
		to_stderr = true;
		choose_stderr();
		return 0;
	}
	code = sink_open(&new, path, &why);
	if (code < 0)
		error_set(err, code, "cannot open log file %s: %s", path,
		    error_text(&why));
	error_clear(&why);
	if (code < 0)
		return code;
	sink = new;
	journal = false;
	torn = false;
	to_stderr = false;
	/* Never is what is told there closed. */
	share();
	sink_close(&old);
	return 0;
}

void
log_set_level(enum log_level level)
{
	max_level = level;
	share();
}

void
log_set_format(enum log_format new_format)
{
	format = new_format;
	share();
}

enum log_format
log_get_format(void)
{
	return format;
}

bool
log_enabled(enum log_level level)
{
	return level <= max_level;
}

bool
log_set_aside(log_aside_fn *fn, void *ctx)
{
	bool cut = aside == NULL && to_stderr && torn;

	aside = fn;
	aside_ctx = ctx;
	/* It is his to end. */
	if (to_stderr)
		torn = false;
	return cut;
}

void
log_lost(unsigned long lines)
{
	dropped += lines;
}

/*
 * Returns whether the whole of it was written. A disk that becomes full takes
 * the beginning of a line: what comes after it begins on a new one. `line` has
 * room for that before it.
 */
static bool
emit(char *line, size_t len)
{
	ssize_t n;

	if (aside != NULL && to_stderr)
		return aside(aside_ctx, line, len);
	if (torn) {
		*--line = '\n';
		len++;
	}
	n = sink_write(&sink, line, len);
	if (n > 0)
		torn = line[n - 1] != '\n';
	return n == (ssize_t)len;
}

static bool
write_line(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

static bool
write_line(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap)
{
	struct log_line line = {
		.format = format,
		.journal = journal,
		.level = level,
		.about = about,
	};
	char text[1 + LOG_LINE_MAX];
	size_t len;

	(void)clock_gettime(CLOCK_REALTIME, &line.time);
	len = log_line_format(&line, text + 1, fmt, ap);
	return emit(text + 1, len);
}

static const struct log_about clusterd = { .app = NULL };

static bool write_own(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static bool
write_own(enum log_level level, const char *fmt, ...)
{
	va_list ap;
	bool written;

	va_start(ap, fmt);
	written = write_line(level, &clusterd, fmt, ap);
	va_end(ap);
	return written;
}

/* What is dropped meanwhile counts anew. */
static bool
tell_dropped(void)
{
	unsigned long n = dropped;

	dropped = 0;
	if (n == 0 || write_own(LOG_LEVEL_WARNING, "%lu log lines were "
	    "dropped: the log could not be written", n))
		return true;
	dropped += n;
	return false;
}

static bool
try_line(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

static bool
try_line(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap)
{
	int saved = errno;
	bool written;

	if (!log_enabled(level))
		return true;
	if (sink.kind == SINK_NONE)
		choose_stderr();
	written = tell_dropped() && write_line(level, about, fmt, ap);
	errno = saved;
	return written;
}

void
log_vabout(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap)
{
	if (!try_line(level, about, fmt, ap))
		dropped++;
}

bool
log_try(enum log_level level, const struct log_about *about,
    const char *fmt, ...)
{
	va_list ap;
	bool written;

	va_start(ap, fmt);
	written = try_line(level, about, fmt, ap);
	va_end(ap);
	return written;
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
	va_list ap;

	va_start(ap, fmt);
	log_vabout(level, &clusterd, fmt, ap);
	va_end(ap);
}

static void
tell_left_out(const struct log_limit_kind *kind)
{
	const struct log_about about = {
		.app = kind->app[0] != '\0' ? kind->app : NULL, .instance = -1,
	};

	log_about(LOG_LEVEL_WARNING, &about, "%lu more lines such as \"%s\" "
	    "were left out", kind->left_out, kind->sample);
}

static void
vlimited(enum log_level level, const struct log_about *about, const void *which,
    bool vital, const char *fmt, va_list ap)
    __attribute__((format(printf, 5, 0)));

static void
vlimited(enum log_level level, const struct log_about *about, const void *which,
    bool vital, const char *fmt, va_list ap)
{
	struct log_limit_kind *kind;

	if (!log_enabled(level))
		return;
	if (log_limit_pass(&limit, about->app, which, vital, mono_now(),
	    tell_left_out, &kind)) {
		log_vabout(level, about, fmt, ap);
		return;
	}
	left_out = true;
	if (kind->left_out == 1)
		(void)vsnprintf(kind->sample, sizeof(kind->sample), fmt, ap);
}

void
log_voften(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap)
{
	vlimited(level, about, fmt, false, fmt, ap);
}

void
log_vital(enum log_level level, const struct log_about *about,
    const void *kind, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vlimited(level, about, kind, true, fmt, ap);
	va_end(ap);
}

void
log_often(enum log_level level, const struct log_about *about,
    const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_voften(level, about, fmt, ap);
	va_end(ap);
}

struct mono
log_left_out_due(void)
{
	return left_out ? log_limit_due(&limit) : MONO_NEVER;
}

void
log_tell_left_out(bool all)
{
	log_limit_tell(&limit, all ? MONO_NEVER : mono_now(), tell_left_out);
	left_out = !mono_is_never(log_limit_due(&limit));
}
