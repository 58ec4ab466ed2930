#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/log_line.h"

/* 2026-11-23 10:00:00.123456789 UTC */
#define NOW { .tv_sec = 1795428000, .tv_nsec = 123456789 }

static const struct log_about nothing = { .app = NULL };
static const struct log_about app = { .app = "web", .instance = -1 };
static const struct log_about seat = { .app = "web", .instance = 2 };
static const struct log_about worker = {
	.app = "web", .instance = 0, .pid = 4711,
};

static char text[LOG_LINE_MAX + 1];

static size_t format(const struct log_line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* To `text`; what stands behind the line's end is not touched. */
static size_t
format(const struct log_line *line, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	memset(text, 0x55, sizeof(text));
	va_start(ap, fmt);
	len = log_line_format(line, text, fmt, ap);
	va_end(ap);
	assert_in_range(len, 1, LOG_LINE_MAX);
	assert_int_equal(text[len - 1], '\n');
	assert_int_equal(text[LOG_LINE_MAX], 0x55);
	text[len] = '\0';
	assert_int_equal(strcspn(text, "\n"), len - 1);
	return len;
}

static void
as_text(void **state)
{
	struct log_line line = { .time = NOW };

	(void)state;
	line.level = LOG_LEVEL_INFO;
	line.about = &nothing;
	format(&line, "start %s", "complete");
	assert_string_equal(text,
	    "2026-11-23 10:00:00.123 info    start complete\n");
	line.level = LOG_LEVEL_ERROR;
	line.about = &app;
	format(&line, "gone");
	assert_string_equal(text,
	    "2026-11-23 10:00:00.123 error   web: gone\n");
	line.level = LOG_LEVEL_WARNING;
	line.about = &seat;
	format(&line, "gone");
	assert_string_equal(text,
	    "2026-11-23 10:00:00.123 warning web[2]: gone\n");
	line.level = LOG_LEVEL_DEBUG;
	line.about = &worker;
	format(&line, "a\nb\x1b[0m\x7f\xff");
	assert_string_equal(text, "2026-11-23 10:00:00.123 debug   "
	    "web[0] pid 4711: a?b?[0m?\xff\n");
}

static void
as_json(void **state)
{
	struct log_line line = { .format = LOG_FORMAT_JSON, .time = NOW };

	(void)state;
	line.level = LOG_LEVEL_INFO;
	line.about = &nothing;
	format(&line, "start %s", "complete");
	assert_string_equal(text, "{\"time\":\"2026-11-23T10:00:00.123Z\","
	    "\"level\":\"info\",\"message\":\"start complete\"}\n");
	line.level = LOG_LEVEL_ERROR;
	line.about = &app;
	format(&line, "gone");
	assert_string_equal(text, "{\"time\":\"2026-11-23T10:00:00.123Z\","
	    "\"level\":\"error\",\"app\":\"web\",\"message\":\"gone\"}\n");
	line.level = LOG_LEVEL_WARNING;
	line.about = &seat;
	format(&line, "gone");
	assert_string_equal(text, "{\"time\":\"2026-11-23T10:00:00.123Z\","
	    "\"level\":\"warning\",\"app\":\"web\",\"instance\":2,"
	    "\"message\":\"gone\"}\n");
	line.level = LOG_LEVEL_DEBUG;
	line.about = &worker;
	format(&line, "a \"b\"\n\xff");
	assert_string_equal(text, "{\"time\":\"2026-11-23T10:00:00.123Z\","
	    "\"level\":\"debug\",\"app\":\"web\",\"instance\":0,\"pid\":4711,"
	    "\"message\":\"a \\\"b\\\"\\n\xef\xbf\xbd\"}\n");
}

/* The time of the text is that of the place, the time of JSON is not. */
static void
in_another_place(void **state)
{
	struct log_line line = { .time = NOW, .about = &nothing };

	(void)state;
	setenv("TZ", "XXX-5:30", 1);
	tzset();
	format(&line, "x");
	assert_string_equal(text, "2026-11-23 15:30:00.123 error   x\n");
	line.format = LOG_FORMAT_JSON;
	format(&line, "x");
	assert_non_null(strstr(text, "\"2026-11-23T10:00:00.123Z\""));
	setenv("TZ", "UTC", 1);
	tzset();
}

static void
for_the_journal(void **state)
{
	struct log_line line = {
		.journal = true, .time = NOW, .about = &worker,
	};

	(void)state;
	line.level = LOG_LEVEL_ERROR;
	format(&line, "x");
	assert_string_equal(text, "<3>web[0] pid 4711: x\n");
	line.level = LOG_LEVEL_WARNING;
	format(&line, "x");
	assert_string_equal(text, "<4>web[0] pid 4711: x\n");
	line.level = LOG_LEVEL_INFO;
	format(&line, "x");
	assert_string_equal(text, "<6>web[0] pid 4711: x\n");
	line.level = LOG_LEVEL_DEBUG;
	line.about = &nothing;
	format(&line, "x");
	assert_string_equal(text, "<7>x\n");
	line.format = LOG_FORMAT_JSON;
	format(&line, "x");
	assert_string_equal(text, "<7>{\"time\":\"2026-11-23T10:00:00.123Z\","
	    "\"level\":\"debug\",\"message\":\"x\"}\n");
}

/* Around the limit, a byte more each time. */
static void
long_text(void **state)
{
	struct log_line line = { .time = NOW, .about = &worker };
	static char message[2 * LOG_LINE_MAX];
	size_t head;

	(void)state;
	head = format(&line, "%s", "") - 1;
	memset(message, 'm', sizeof(message) - 1);
	for (size_t len = LOG_LINE_MAX - 200; len < LOG_LINE_MAX + 200; len++) {
		size_t full = head + len + 1;
		size_t n = format(&line, "%.*s", (int)len, message);

		assert_int_equal(n, full < LOG_LINE_MAX ? full : LOG_LINE_MAX);
		assert_int_equal(strcmp(text + n - 4, "...\n") == 0,
		    full > LOG_LINE_MAX);
	}
	format(&line, "%s", message);
	assert_string_equal(text + LOG_LINE_MAX - 5, "m...\n");
}

/* Is the line's message whole characters, up to its quote, its brace and its
   end? Returns its length. */
static size_t
expect_whole(const char *unit)
{
	const char *at = strstr(text, "\"message\":\"");
	const char *from;
	size_t len = strlen(unit);

	assert_non_null(at);
	from = at += strlen("\"message\":\"");
	while (strncmp(at, unit, len) == 0)
		at += len;
	if (strncmp(at, "...", 3) == 0)
		at += 3;
	assert_string_equal(at, "\"}\n");
	return (size_t)(at - from);
}

static void
long_json(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{ "m", "m" },
		{ "\"", "\\\"" },
		{ "\x01", "\\u0001" },
		{ "\xe2\x82\xac", "\xe2\x82\xac" },
		{ "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80" },
		{ "\xff", "\xef\xbf\xbd" },
	};
	struct log_line line = {
		.format = LOG_FORMAT_JSON, .time = NOW, .about = &worker,
	};
	static char message[2 * LOG_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t in = strlen(rows[i].in), out = strlen(rows[i].out);
		size_t room, n;

		room = LOG_LINE_MAX - format(&line, "%s", "");
		message[0] = '\0';
		for (n = 0; (n + 1) * in < sizeof(message); n++) {
			size_t len;

			memcpy(message + n * in, rows[i].in, in + 1);
			if (n * out + 100 < room)
				continue;
			format(&line, "%s", message);
			len = expect_whole(rows[i].out);
			if ((n + 1) * out <= room)
				assert_int_equal(len, (n + 1) * out);
			else
				assert_in_range(len, room - out - 3, room);
			if (n * out > room + 100)
				break;
		}
	}
}

/* No app has such a name: the line is valid all the same. */
static void
a_long_name(void **state)
{
	static char name[3 * LOG_LINE_MAX];
	const struct log_about about = {
		.app = name, .instance = 4095, .pid = 4194304,
	};
	struct log_line line = {
		.format = LOG_FORMAT_JSON, .time = NOW, .about = &about,
	};

	(void)state;
	memset(name, 1, sizeof(name) - 1);
	format(&line, "mm");
	assert_non_null(strstr(text, "\\u0001...\",\"instance\":4095,"
	    "\"pid\":4194304,\"message\":\"mm\"}\n"));
	line.format = LOG_FORMAT_TEXT;
	assert_int_equal(format(&line, "mm"), LOG_LINE_MAX);
	assert_string_equal(text + LOG_LINE_MAX - 5, "?...\n");
}

/* ---- where it goes ---- */

static char path[] = "/tmp/test_log.XXXXXX";
static int saved_stderr;

static int
open_log(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	if (fd < 0)
		return -1;
	close(fd);
	saved_stderr = dup(STDERR_FILENO);
	return log_open(path, NULL);
}

static int
close_log(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	unsetenv("JOURNAL_STREAM");
	log_set_format(LOG_FORMAT_TEXT);
	unlink(path);
	memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	return log_open(NULL, NULL);
}

/* What is in the file. */
static char *
contents(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, text, LOG_LINE_MAX);
	close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	return text;
}

static void
about_something(void **state)
{
	(void)state;
	log_app(LOG_LEVEL_INFO, "api", "%s %d", "words", 1);
	assert_non_null(strstr(contents(), " info    api: words 1\n"));
	log_about(LOG_LEVEL_ERROR, &worker, "died");
	assert_non_null(strstr(contents(), " error   web[0] pid 4711: died\n"));
	log_debug("not at this level");
	assert_null(strstr(contents(), "not at this"));
	log_set_format(LOG_FORMAT_JSON);
	errno = ENOENT;
	log_about(LOG_LEVEL_ERROR, &seat, "died again");
	assert_int_equal(errno, ENOENT);
	assert_non_null(strstr(contents(), "\"level\":\"error\",\"app\":\"web\","
	    "\"instance\":2,\"message\":\"died again\"}\n"));
}

static void
set_journal(int fd, int by)
{
	char value[64];
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(value, sizeof(value), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino + (uintmax_t)by);
	setenv("JOURNAL_STREAM", value, 1);
}

static void
expect_read(int fd, const char *expected)
{
	ssize_t n = read(fd, text, LOG_LINE_MAX);

	assert_true(n > 0);
	text[n] = '\0';
	assert_string_equal(text, expected);
}

static void
a_stream_to_the_journal(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0,
	    fds), 0);
	dup2(fds[1], STDERR_FILENO);
	set_journal(STDERR_FILENO, 0);
	assert_int_equal(log_open(NULL, NULL), 0);
	log_about(LOG_LEVEL_WARNING, &worker, "careful");
	expect_read(fds[0], "<4>web[0] pid 4711: careful\n");
	/* A file is none, whatever the variable says. */
	assert_int_equal(log_open(path, NULL), 0);
	log_info("to the file");
	assert_non_null(strstr(contents(), "info    to the file\n"));

	/* Only who is there when the log is opened counts. */
	set_journal(STDERR_FILENO, 1);
	assert_int_equal(log_open(NULL, NULL), 0);
	log_info("not to the journal");
	assert_true(read(fds[0], text, 1) == 1 && text[0] != '<');
	close(fds[0]);
	close(fds[1]);
}

static void
no_stream_to_the_journal(void **state)
{
	static const char *const values[] = {
		"", ":", "0:0", "1", "x:y", "99999999999999999999:1",
	};
	int fds[2];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	dup2(fds[1], STDERR_FILENO);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		setenv("JOURNAL_STREAM", values[i], 1);
		assert_int_equal(log_open(NULL, NULL), 0);
		log_info("x");
		assert_true(read(fds[0], text, LOG_LINE_MAX) > 1);
		assert_int_not_equal(text[0], '<');
	}
	close(fds[0]);
	close(fds[1]);
}

/* A disk that becomes full within a line, and empty again: the limit on the
   size of a file is as one. */
static void
a_torn_line(void **state)
{
	const struct rlimit full = { 40, RLIM_INFINITY };
	const struct rlimit empty = { RLIM_INFINITY, RLIM_INFINITY };
	char *line, *rest;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	log_set_format(LOG_FORMAT_JSON);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	log_info("one that does not fit");
	log_info("and one behind it");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &empty), 0);
	log_info("there is room again");
	rest = contents();
	line = strsep(&rest, "\n");
	assert_int_equal(strlen(line), 40);
	line = strsep(&rest, "\n");
	assert_int_equal(line[0], '{');
	assert_non_null(strstr(line, "\"level\":\"warning\",\"message\":\"2 log "
	    "lines were dropped: the log could not be written\"}"));
	line = strsep(&rest, "\n");
	assert_int_equal(line[0], '{');
	assert_non_null(strstr(line, "\"message\":\"there is room again\"}"));
	assert_string_equal(rest, "");
}

/* Somebody else writes there too: he takes ours, or loses them. */
static bool takes;
static char taken[3 * LOG_LINE_MAX];
static size_t n_taken;

static bool
take_aside(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	if (takes) {
		memcpy(taken + n_taken, line, len);
		n_taken += len;
		taken[n_taken] = '\0';
	}
	return takes;
}

static void
a_line_beside_others(void **state)
{
	const char *said = taken;

	(void)state;
	assert_false(log_set_aside(take_aside, NULL));
	takes = true;
	log_info("to the file");
	assert_string_equal(taken, "");
	assert_int_equal(dup2(open(path, O_WRONLY | O_APPEND),
	    STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(log_open(NULL, NULL), 0);
	log_info("taken");
	assert_non_null(strstr(said, " info    taken\n"));
	takes = false;
	log_info("lost");
	/* Not counted: whoever tries comes again. */
	assert_false(log_try(LOG_LEVEL_INFO, &app, "tried"));
	assert_true(log_try(LOG_LEVEL_DEBUG, &app, "of no interest"));
	takes = true;
	assert_true(log_try(LOG_LEVEL_INFO, &app, "tried again"));
	assert_non_null(strstr(said, "warning 1 log lines were dropped"));
	assert_non_null(strstr(said, "web: tried again\n"));
	assert_null(strstr(said, "tried\n"));
	/* Some that had been taken. */
	log_lost(3);
	log_info("more");
	assert_non_null(strstr(said, "warning 3 log lines were dropped"));
	log_set_aside(NULL, NULL);
	said = contents();
	assert_non_null(strstr(said, "to the file\n"));
	assert_null(strstr(said, "taken"));
}

/* What we have left there he has to end. */
static void
a_torn_line_beside_others(void **state)
{
	struct rlimit limit, full;

	(void)state;
	assert_int_equal(dup2(open(path, O_WRONLY | O_APPEND),
	    STDERR_FILENO), STDERR_FILENO);
	assert_int_equal(log_open(NULL, NULL), 0);
	log_info("whole");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	full = limit;
	full.rlim_cur = strlen(contents()) + 5;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
	log_info("torn");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(log_set_aside(take_aside, NULL));
	assert_false(log_set_aside(NULL, NULL));
	takes = false;
}

static void
a_log_that_cannot_be_opened(void **state)
{
	struct error err = ERROR_INIT;

	(void)state;
	assert_int_equal(log_open("/proc/none/log", &err), -ENOENT);
	assert_string_equal(error_text(&err), "cannot open log file "
	    "/proc/none/log: No such file or directory");
	error_clear(&err);
	log_info("still here");
	assert_non_null(strstr(contents(), "info    still here\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_text),
		cmocka_unit_test(as_json),
		cmocka_unit_test(in_another_place),
		cmocka_unit_test(for_the_journal),
		cmocka_unit_test(long_text),
		cmocka_unit_test(long_json),
		cmocka_unit_test(a_long_name),
		cmocka_unit_test_setup_teardown(about_something, open_log,
		    close_log),
		cmocka_unit_test_setup_teardown(a_stream_to_the_journal,
		    open_log, close_log),
		cmocka_unit_test_setup_teardown(no_stream_to_the_journal,
		    open_log, close_log),
		cmocka_unit_test_setup_teardown(a_torn_line, open_log,
		    close_log),
		cmocka_unit_test_setup_teardown(a_torn_line_beside_others, open_log,
		    close_log),
		cmocka_unit_test_setup_teardown(a_line_beside_others,
		    open_log, close_log),
		cmocka_unit_test_setup_teardown(a_log_that_cannot_be_opened,
		    open_log, close_log),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
