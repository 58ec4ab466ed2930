/*
 * clusterd's own log: one line per event, to stderr or to a file, as text or as
 * JSON (base/log_line); where stderr is the journal's, with priorities. Writing
 * never blocks and never fails towards the caller: a line that cannot be
 * written at once (full pipe, full disk) is dropped and counted, and the count
 * is reported before the next line that gets through.
 *
 * There is one log per process, hence the hidden state. After fork() a child
 * must not use it.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/log_line.h"
#include "base/mono.h"
#include "base/sink.h"

struct error;

/*
 * Send the log to the file at `path` (absolute; appended to, created 0640), or
 * to stderr when NULL. On failure (-errno with words) the log stays where it
 * was. Also reopens: call it again with the same path. `path` is copied.
 * Whether stderr is the journal's is found out each time.
 */
int log_open(const char *path, struct error *err);

/*
 * Where the log goes, and how, for another process that has the same table of
 * descriptors: written there from now on, whenever it changes, so that it is
 * whole at any moment. `shared` is the caller's, all zero at first, and stays.
 */
struct log_shared {
	unsigned turn;		/* which of the two; 0: none */
	struct log_state {
		struct sink sink;
		bool journal;
		bool to_stderr;
		enum log_level max_level;
		enum log_format format;
	} v[2];
};

void log_share(struct log_shared *shared);

/* The other one: take it, before a line is written. What it opens is not ours to
   close; but a child by fork(2) that logs itself may, and does. */
void log_follow(const struct log_shared *shared);

/* The descriptor that the log has for itself; -1: none. */
int log_own_fd(void);

/*
 * Somebody else writes to our standard error too, and lines there must not cut
 * each other: he is given those that go there, and writes them, now or later.
 * False: the line is lost. NULL: nobody, we write them ourselves. Returns
 * whether the last line there is one that we have written in part.
 */
typedef bool log_aside_fn(void *ctx, const char *line, size_t len);
bool log_set_aside(log_aside_fn *fn, void *ctx);

/* He has lost lines that he had said he would write. */
void log_lost(unsigned long lines);

/* Lines above `level` are left out. */
void log_set_level(enum log_level level);

void log_set_format(enum log_format format);
enum log_format log_get_format(void);

/* `fmt` without newline. Safe whatever bytes the arguments hold: control
   bytes become '?', or are escaped in JSON. */
void log_write(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void log_about(enum log_level level, const struct log_about *about,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void log_vabout(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/*
 * For what a worker or a client can bring about as often as it likes: of each app
 * and `fmt` there are 20 lines a second, the others are counted. The count is
 * told with the next line of that kind, or by log_tell_left_out().
 */
void log_often(enum log_level level, const struct log_about *about,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void log_voften(enum log_level level, const struct log_about *about,
    const char *fmt, va_list ap) __attribute__((format(printf, 3, 0)));

/* The same, where each line tells something: a kind is `kind`, an address that
   lines of the same content have in common, and what others say leaves none out. */
void log_vital(enum log_level level, const struct log_about *about,
    const void *kind, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* When log_tell_left_out() is to be called; MONO_NEVER: nothing is left out. */
struct mono log_left_out_due(void);

/* `all`: of this second, too. */
void log_tell_left_out(bool all);

/* About the app of that name; NULL: clusterd itself. */
#define log_app(level, name, ...) \
	log_about(level, &(const struct log_about){ \
	    .app = (name), .instance = -1 }, __VA_ARGS__)

#define log_app_often(level, name, ...) \
	log_often(level, &(const struct log_about){ \
	    .app = (name), .instance = -1 }, __VA_ARGS__)

/* As log_about(), but false where the line had to be dropped, which then counts
   for nothing: the caller comes again. */
bool log_try(enum log_level level, const struct log_about *about,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Would a line of that level be written? */
bool log_enabled(enum log_level level);

/* Of clusterd itself. */
#define log_own_often(level, ...) \
	log_often(level, &(const struct log_about){ .app = NULL }, __VA_ARGS__)

#define log_error(...)		log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...)	log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)		log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)		log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
