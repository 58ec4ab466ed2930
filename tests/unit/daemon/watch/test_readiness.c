/* Who is looked at, and when, whatever becomes of the looks: what is asked for and
   answered the test says, and time is fake. */
#include <sys/epoll.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "core/conf/conf.h"
#include "core/worker/drain.h"
#include "daemon/spec/app_spec.h"
#include "daemon/spec/spec_lanes.h"
#include "daemon/watch/drain_sight.h"
#include "daemon/watch/hint.h"
#include "daemon/watch/looks.h"
#include "daemon/watch/readiness.h"
#include "daemon/workers/worker.h"
#include "daemon/workers/workers.h"

#define WORKERS	3

struct mono __wrap_mono_now(void);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);
bool __wrap_drain_sight_open(const struct worker *w,
    struct drain_tally *ret_open);
int64_t __wrap_drain_sight_queue(const struct worker *w,
    struct sockdiag *diag);
void __wrap_hint_unseen(const struct worker *w);
bool __wrap_looks_are_many(const struct looks *s);
int __wrap_looks_await(struct looks *s, const void *ctx, int64_t ms);
void __wrap_looks_forget(struct looks *s, const void *ctx);
int __wrap_looks_waiting(struct looks *s, const struct looks_whom *whom,
    const uint64_t *inos, size_t n);
size_t __wrap_spec_lanes_inodes(struct app_spec *spec,
    const struct lane_holder *holder, uint64_t *inos, size_t n);
void __wrap_worker_log_often(enum log_level level, const struct worker *w,
    const char *fmt, ...);
void __wrap_worker_post(struct worker *w, enum worker_event event);

static struct mono now;
static struct loop *loop;
static struct readiness readiness;
static struct looks looks;
static struct address listens;
static struct conf_app conf;
static struct app_spec spec;
static struct crew crew;
static struct worker workers[WORKERS];
static struct looks_whom asked[WORKERS];	/* pid 0: it is not being asked about */
static unsigned n_posted, n_told;
static int64_t awaited_ms;

struct mono
__wrap_mono_now(void)
{
	return now;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	(void)fd;
	(void)events;
	(void)max;
	assert_true(timeout >= 0);
	now = mono_add_ms(now, timeout);
	return 0;
}

/* Each one serves somebody whom it has accepted. */
bool
__wrap_drain_sight_open(const struct worker *w, struct drain_tally *ret_open)
{
	(void)w;
	ret_open->busy = 1;
	return true;
}

int64_t
__wrap_drain_sight_queue(const struct worker *w, struct sockdiag *diag)
{
	(void)w;
	(void)diag;
	return 0;
}

void
__wrap_hint_unseen(const struct worker *w)
{
	(void)w;
}

bool
__wrap_looks_are_many(const struct looks *s)
{
	(void)s;
	return false;
}

/* There is no answer. */
int
__wrap_looks_await(struct looks *s, const void *ctx, int64_t ms)
{
	(void)s;
	(void)ctx;
	assert_true(ms >= 0);
	now = mono_add_ms(now, ms);
	awaited_ms += ms;
	return -ETIMEDOUT;
}

void
__wrap_looks_forget(struct looks *s, const void *ctx)
{
	(void)s;
	for (size_t i = 0; i < WORKERS; i++)
		if (asked[i].ctx == ctx)
			asked[i].pid = 0;
}

int
__wrap_looks_waiting(struct looks *s, const struct looks_whom *whom,
    const uint64_t *inos, size_t n)
{
	(void)s;
	(void)inos;
	(void)n;
	assert_in_range(whom->pid, 1, WORKERS);
	assert_int_equal(asked[whom->pid - 1].pid, 0);
	asked[whom->pid - 1] = *whom;
	return 0;
}

size_t
__wrap_spec_lanes_inodes(struct app_spec *s, const struct lane_holder *holder,
    uint64_t *inos, size_t n)
{
	(void)s;
	(void)holder;
	(void)inos;
	(void)n;
	return 0;
}

void
__wrap_worker_log_often(enum log_level level, const struct worker *w,
    const char *fmt, ...)
{
	(void)level;
	(void)w;
	(void)fmt;
	n_told++;
}

void
__wrap_worker_post(struct worker *w, enum worker_event event)
{
	(void)w;
	(void)event;
	n_posted++;
}

static int
set_up(void **state)
{
	(void)state;
	now = (struct mono){ .ns = 1000 * INT64_C(1000000000) };
	conf = (struct conf_app){
		.listens = &listens, .n_listens = 1, .ready = CONF_READY_ACCEPT,
	};
	spec = (struct app_spec){ .conf = &conf };
	memset(workers, 0, sizeof(workers));
	memset(asked, 0, sizeof(asked));
	n_posted = n_told = 0;
	awaited_ms = 0;
	if (loop_new(&loop, NULL) < 0 || readiness_init(&readiness, loop) < 0)
		return -1;
	readiness.by = &looks;
	for (size_t i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){
			.crew = &crew, .spec = &spec, .pid = (pid_t)i + 1,
		};
		if (readiness_join(&readiness, &workers[i]) < 0)
			return -1;
	}
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORKERS; i++) {
		readiness_forget(&workers[i]);
		readiness_leave(&workers[i]);
	}
	readiness_fini(&readiness);
	loop_free(loop);
	return 0;
}

static bool
is_asked(size_t i)
{
	return asked[i].pid != 0;
}

/* Returns after how long. */
static int64_t
turn_until_asked(size_t i)
{
	struct mono begin = now;

	while (!is_asked(i))
		loop_turn(loop);
	return mono_ms_between(begin, now);
}

static void
answer(size_t i, int code)
{
	assert_true(is_asked(i));
	asked[i].pid = 0;
	asked[i].answered(asked[i].ctx, code, WAITING_NO, 0);
}

/* Each of them serves somebody: as who looks is held up, only that tells it. */
static void
all_that_retire_in_a_turn_are_looked_at_though_none_is_answered(void **state)
{
	enum worker_event event;

	(void)state;
	for (size_t i = 0; i < WORKERS; i++)
		readiness_watch(&workers[i]);
	for (size_t i = 0; i < WORKERS; i++) {
		event = WORKER_EV_RETIRE;
		assert_true(readiness_look_now(&workers[i], &event));
		assert_int_equal(event, WORKER_EV_WAITS);
		assert_true(is_asked(i));
	}
	/* And the turn is no longer than with one. */
	assert_int_equal(awaited_ms, 3);
	assert_int_equal(n_posted, 0);
}

/* Who looks is free again before that: they are not all to wait for the one again. */
static void
who_was_not_looked_at_for_another_is_so_before_that_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORKERS; i++)
		readiness_watch(&workers[i]);
	(void)turn_until_asked(WORKERS - 1);
	answer(0, -ETIMEDOUT);
	for (size_t i = 1; i < WORKERS; i++)
		answer(i, -EBUSY);
	for (size_t i = 1; i < WORKERS; i++)
		assert_true(turn_until_asked(i) < 500);
	assert_false(is_asked(0));
	assert_int_equal(n_told, 1);
	assert_true(turn_until_asked(0) > 0);
}

static void
who_holds_up_a_look_again_is_left_alone_for_twice_as_long(void **state)
{
	int64_t pause = 1000;

	(void)state;
	readiness_watch(&workers[0]);
	(void)turn_until_asked(0);
	for (unsigned n = 0; n < 9; n++) {
		answer(0, -ETIMEDOUT);
		assert_in_range(turn_until_asked(0), pause, pause + 100);
		pause = pause < 64000 ? 2 * pause : 64000;
	}
	assert_int_equal(n_told, 1);
	/* Another process may be better. */
	readiness_forget(&workers[0]);
	asked[0].pid = 0;
	readiness_watch(&workers[0]);
	(void)turn_until_asked(0);
	answer(0, -ETIMEDOUT);
	assert_in_range(turn_until_asked(0), 1000, 1100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    all_that_retire_in_a_turn_are_looked_at_though_none_is_answered,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    who_was_not_looked_at_for_another_is_so_before_that_one,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    who_holds_up_a_look_again_is_left_alone_for_twice_as_long,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
