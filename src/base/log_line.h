/*
 * What a line of the log looks like:
 *
 *	2026-11-23 11:00:00.123 info    web[2] pid 4711: ready after 12ms
 *	{"time":"2026-11-23T10:00:00.123Z","level":"info","app":"web",
 *	"instance":2,"pid":4711,"message":"ready after 12ms"}
 *
 * the second one without the break. A journal has time and level of its own:
 *
 *	<6>web[2] pid 4711: ready after 12ms
 *
 * No memory is asked for, nothing is written: base/log does that.
 */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

enum log_format {
	LOG_FORMAT_TEXT,
	LOG_FORMAT_JSON,
};

/* Longest line, newline included; longer ones are cut and end in "...". */
#define LOG_LINE_MAX 4096	/* PIPE_BUF: a pipe takes it whole or not */

/* What a line is about: `web`, `web[2]` or `web[2] pid 4711`. */
struct log_about {
	const char *app;	/* NULL: clusterd itself; the rest is unused */
	long instance;		/* -1: none */
	pid_t pid;		/* 0: none */
};

struct log_line {
	enum log_format format;
	bool journal;		/* with a priority, see sd-daemon(3) */
	struct timespec time;	/* CLOCK_REALTIME */
	enum log_level level;
	const struct log_about *about;
};

/*
 * Write the line, with its newline at the end and no other control byte in it,
 * at most LOG_LINE_MAX bytes. Returns how many. A message that is too long is
 * cut and ends in "..."; one line of JSON is valid whatever the bytes are.
 */
size_t log_line_format(const struct log_line *line, char ret_text[LOG_LINE_MAX],
    const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

#endif
