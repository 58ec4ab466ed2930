#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sink.h"

static char bytes[3 * PIPE_BUF];

/* As XFS and btrfs answer for a regular file, and as a terminal does. */
static int nowait_error;

ssize_t __real_pwritev2(int fd, const struct iovec *iov, int n, off_t at,
    int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int n, off_t at,
    int flags);

ssize_t
__wrap_pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
	if (nowait_error == 0)
		return __real_pwritev2(fd, iov, n, at, flags);
	errno = nowait_error;
	return -1;
}

/* Fill it: what it took, all in all. A blocking write would hang here. */
static size_t
fill(struct sink *sink, size_t len)
{
	size_t sum = 0;
	ssize_t n;

	while ((n = sink_write(sink, bytes, len)) > 0)
		sum += (size_t)n;
	assert_int_equal(n, -EAGAIN);
	return sum;
}

static void
empty(int fd, size_t len)
{
	static char there[sizeof(bytes)];

	while (len > 0) {
		ssize_t n = read(fd, there, len < sizeof(there) ? len :
		    sizeof(there));

		assert_true(n > 0);
		len -= (size_t)n;
	}
}

static void
expect_blocking(int fd)
{
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

static bool
writable(const struct sink *sink)
{
	struct pollfd p = { .fd = sink_poll_fd(sink), .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0;
}

static void
a_full_pipe(void **state)
{
	struct sink sink = SINK_INIT;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sink_inherit(&sink, fds[1]);
	assert_int_equal(sink.kind, SINK_OWN);
	for (size_t len = 100; len <= sizeof(bytes); len *= 7) {
		size_t sum = fill(&sink, len);

		assert_false(writable(&sink));
		empty(fds[0], sum);
		assert_true(writable(&sink));
	}
	expect_blocking(fds[1]);
	sink_close(&sink);
	/* The inherited one stays open. */
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[0]);
	close(fds[1]);
}

/* As where /proc is not mounted. */
static void
a_pipe_that_stays_shared(void **state)
{
	struct sink sink = SINK_INIT;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	sink = (struct sink){ .kind = SINK_SHARED, .fd = fds[1],
	    .waits = true };
	empty(fds[0], fill(&sink, PIPE_BUF));
	empty(fds[0], fill(&sink, 3 * PIPE_BUF));
	assert_true(writable(&sink));
	assert_int_equal(sink_poll_fd(&sink), fds[1]);
	expect_blocking(fds[1]);
	sink_close(&sink);
	assert_int_equal(sink_poll_fd(&sink), -1);
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[0]);
	close(fds[1]);
}

static void
a_full_socket(void **state)
{
	struct sink sink = SINK_INIT;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	sink_inherit(&sink, fds[1]);
	assert_int_equal(sink.kind, SINK_SOCKET);
	empty(fds[0], fill(&sink, 1000));
	assert_true(writable(&sink));
	assert_int_equal(sink_poll_fd(&sink), fds[1]);
	expect_blocking(fds[1]);
	/* The reader is gone: no SIGPIPE. */
	close(fds[0]);
	assert_int_equal(sink_write(&sink, "x", 1), -EPIPE);
	sink_close(&sink);
	close(fds[1]);
}

static void
a_file(void **state)
{
	char path[] = "/tmp/test_sink.XXXXXX";
	int fd = mkstemp(path);
	struct sink sink = SINK_INIT;
	struct stat st;
	char text[16] = "";

	(void)state;
	assert_true(fd >= 0);
	sink_inherit(&sink, fd);
	assert_int_equal(sink.kind, SINK_SHARED);
	assert_int_equal(sink_poll_fd(&sink), -1);
	assert_int_equal(sink_write(&sink, "inherited ", 10), 10);
	/* Another name fails: the sink stays as it was. */
	assert_int_equal(sink_open(&sink, "/proc/none/here", NULL), -ENOENT);
	assert_int_equal(sink.fd, fd);
	assert_int_equal(sink_open(&sink, path, NULL), 0);
	assert_int_equal(sink.kind, SINK_OWN);
	assert_int_equal(sink_poll_fd(&sink), -1);
	assert_int_equal(sink_write(&sink, "own", 3), 3);
	assert_int_equal(pread(fd, text, sizeof(text), 0), 13);
	assert_string_equal(text, "inherited own");
	unlink(path);
	assert_int_equal(sink_open(&sink, path, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0137, 0);
	unlink(path);
	sink_close(&sink);
	close(fd);
}

static void
a_file_that_would_rather_wait(void **state)
{
	char path[] = "/tmp/test_sink.XXXXXX";
	int fd = mkstemp(path);
	struct sink sink = SINK_INIT;

	(void)state;
	assert_true(fd >= 0);
	unlink(path);
	sink_inherit(&sink, fd);
	nowait_error = EAGAIN;
	assert_int_equal(sink_write(&sink, "line\n", 5), 5);
	nowait_error = 0;
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
	sink_close(&sink);
	close(fd);
}

/* There it can be written while POLLOUT is told, and that blocks for the rest. */
static void
a_terminal_that_stays_shared(void **state)
{
	struct sink sink = SINK_INIT;
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	int slave;

	(void)state;
	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	sink = (struct sink){ .kind = SINK_SHARED, .fd = slave,
	    .waits = true };
	/* Of lengths that do not add up to what it takes. */
	assert_true(fill(&sink, 1000) > 0);
	empty(master, 1);
	(void)fill(&sink, sizeof(bytes));
	expect_blocking(slave);
	sink_close(&sink);
	close(slave);
	close(master);
}

static void
a_pipe_of_a_kernel_without_nowait(void **state)
{
	nowait_error = EOPNOTSUPP;
	a_pipe_that_stays_shared(state);
	nowait_error = 0;
}

static void
a_full_disk(void **state)
{
	struct sink sink = SINK_INIT;

	(void)state;
	assert_int_equal(sink_open(&sink, "/dev/full", NULL), 0);
	assert_int_equal(sink_write(&sink, "x", 1), -ENOSPC);
	sink_close(&sink);
	assert_int_equal(sink_write(&sink, "x", 1), -EBADF);
}

static void
no_descriptor(void **state)
{
	struct sink sink = SINK_INIT;

	(void)state;
	assert_int_equal(sink_poll_fd(&sink), -1);
	assert_int_equal(sink_write(&sink, "x", 1), -EBADF);
	sink_inherit(&sink, 1000000);
	assert_int_equal(sink_write(&sink, "x", 1), -EBADF);
	assert_int_equal(sink_poll_fd(&sink), -1);
	sink_close(&sink);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_pipe),
		cmocka_unit_test(a_pipe_that_stays_shared),
		cmocka_unit_test(a_full_socket),
		cmocka_unit_test(a_file),
		cmocka_unit_test(a_file_that_would_rather_wait),
		cmocka_unit_test(a_terminal_that_stays_shared),
		cmocka_unit_test(a_pipe_of_a_kernel_without_nowait),
		cmocka_unit_test(a_full_disk),
		cmocka_unit_test(no_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
