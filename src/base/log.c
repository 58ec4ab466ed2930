#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"

enum sink {
	SINK_INHERITED,	/* stderr as it came: a regular file, or a pipe or
			   terminal that could not be opened again */
	SINK_OWN,	/* `own_fd`: our own description, non-blocking */
	SINK_SOCKET,	/* stderr is a socket, as a service's is */
};

static enum sink sink = SINK_INHERITED;
static bool sink_chosen;
static int own_fd = -1;
static enum log_level max_level = LOG_LEVEL_INFO;
static unsigned long dropped;

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error  ",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info   ",
	[LOG_LEVEL_DEBUG] = "debug  ",
};

/*
 * The inherited stderr shares its file description with whoever started us, so
 * O_NONBLOCK must not be set on it. A pipe or terminal is opened once more
 * through /proc, which makes a description of our own (proc(5)).
 */
static void
choose_stderr(void)
{
	struct stat st;
	int fd;

	sink_chosen = true;
	sink = SINK_INHERITED;
	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode)) {
		sink = SINK_SOCKET;
		return;
	}
	if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
		return;
	fd = open("/proc/self/fd/2",
	    O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0) {
		own_fd = fd;
		sink = SINK_OWN;
	}
}

int
log_open(const char *path, struct error *err)
{
	int fd;

	if (path == NULL) {
		fd_close(&own_fd);
		choose_stderr();
		return 0;
	}
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
	    O_NONBLOCK, 0640);
	if (fd < 0) {
		int code = -errno;

		return error_set(err, code, "cannot open log file %s: %s",
		    path, strerror(-code));
	}
	fd_close(&own_fd);
	own_fd = fd;
	sink = SINK_OWN;
	sink_chosen = true;
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

/*
 * A description that is shared with others: RWF_NOWAIT asks for this one write
 * what O_NONBLOCK would for all (pwritev2(2)). Not every kind of file knows it;
 * then POLLOUT is the next best: on a pipe it means room for PIPE_BUF bytes
 * (pipe(7)), on a regular file it is always there.
 */
static ssize_t
write_inherited(const char *line, size_t len)
{
	const struct iovec iov = {
		.iov_base = (void *)(uintptr_t)line, .iov_len = len,
	};
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n = pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT);

	if (n >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS &&
	    errno != EINVAL))
		return n;
	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return -1;
	return write(STDERR_FILENO, line, len);
}

static bool
emit(const char *line, size_t len)
{
	ssize_t n;

	switch (sink) {
	case SINK_OWN:
		n = write(own_fd, line, len);
		break;
	case SINK_SOCKET:
		n = send(STDERR_FILENO, line, len,
		    MSG_DONTWAIT | MSG_NOSIGNAL);
		break;
	default:
		n = write_inherited(line, len);
		break;
	}
	return n == (ssize_t)len;
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

void
log_write(enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX + 1];
	int saved = errno;
	size_t start, len;
	va_list ap;
	int n;

	if (!log_enabled(level))
		return;
	if (!sink_chosen)
		choose_stderr();

	start = put_time(line, sizeof(line));
	start += (size_t)snprintf(line + start, sizeof(line) - start, "%s ",
	    level_names[level]);
	va_start(ap, fmt);
	n = vsnprintf(line + start, sizeof(line) - start, fmt, ap);
	va_end(ap);
	len = finish_line(line, start, start + (n < 0 ? 0 : (size_t)n));

	if (dropped > 0)
		report_dropped();
	if (dropped > 0 || !emit(line, len))
		dropped++;
	errno = saved;
}
