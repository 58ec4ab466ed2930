#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mono.h"
#include "base/str.h"
#include "linux/loop/loop.h"
#include "turns.h"

struct mono __wrap_mono_now(void);
int __real_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
/* What -D_FORTIFY_SOURCE makes of it. */
int __wrap___poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);

static struct mono now = { .ns = 1000 * INT64_C(1000000000) };
static struct mono until;	/* no sleep is longer */
static int n_events;		/* of the last turn */
static struct loop *loop;
static void (*after_turn)(void *ctx);
static void *after_ctx;

struct mono
__wrap_mono_now(void)
{
	return now;
}

static void
sleep_for(int timeout)
{
	struct mono end = timeout < 0 ? until : mono_add_ms(now, timeout);

	if (mono_before(until, end))
		end = until;
	if (mono_before(now, end))
		now = end;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	n_events = __real_epoll_wait(fd, events, max, 0);
	if (n_events == 0)
		sleep_for(timeout);
	return n_events;
}

/* Here time is not the test's to stop: nobody else would come. */
int
__wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
	int ready = __real_poll(fds, n, 0);

	if (ready == 0 && timeout > 0)
		now = mono_add_ms(now, timeout);
	return ready;
}

int
__wrap___poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	assert_true(n * sizeof(*fds) <= size);
	return __wrap_poll(fds, n, timeout);
}

void
turns_begin(struct loop *of, void (*after)(void *ctx), void *ctx)
{
	loop = of;
	after_turn = after;
	after_ctx = ctx;
}

static void
turn(void)
{
	loop_turn(loop);
	if (after_turn != NULL)
		after_turn(after_ctx);
}

void
turns_run(void)
{
	unsigned turns = 0;

	until = now;
	do {
		turn();
		assert_true(turns++ < 100000);
	} while (n_events > 0);
}

void
turns_pass(int64_t ms)
{
	until = mono_add_ms(now, ms);
	while (mono_before(now, until))
		turn();
	turns_run();
}

/* ---- the log ---- */

static struct strbuf lines = STRBUF_INIT;
static char *last;
static bool log_takes;

static bool
hear_line(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	if (log_takes)
		strbuf_add(&lines, line, len);
	return log_takes;
}

void
hear(bool takes)
{
	assert_int_equal(log_open(NULL, NULL), 0);
	log_takes = takes;
	(void)log_set_aside(hear_line, NULL);
}

const char *
heard(void)
{
	free(last);
	last = strbuf_take(&lines);
	assert_non_null(last);
	return last;
}

uint64_t
told_losses(const char *text)
{
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, " of output ")) != NULL;
	     at++) {
		const char *number = at - strlen(" line");

		/* "12 lines", "1 line" */
		if (at[-1] == 's')
			number--;
		while (number > text && number[-1] != ' ')
			number--;
		sum += strtoull(number, NULL, 10);
	}
	return sum;
}
