/* When a stop that drains is one that does not any more. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>

#include "base/error.h"
#include "core/conf/conf.h"
#include "daemon/above.h"
#include "daemon/apps/apps.h"
#include "daemon/config/reload.h"
#include "daemon/control/control.h"
#include "daemon/sockets/listeners.h"
#include "daemon/stopping.h"
#include "daemon/workers/workers.h"

#define DRAIN_MS 3000
#define STOP_MS 7000

/* Linked with -Wl,--wrap= for each of these. Time goes on where the loop would
   sleep, by a second at most. */
void __wrap_above_tell_stop(struct above *above, const struct config *config,
    const char *words, int64_t delay_ms);
void __wrap_above_tell_more(struct above *above, int64_t ms);
int64_t __wrap_apps_drain(struct apps *apps);
bool __wrap_apps_have_retired(const struct apps *apps);
void __wrap_apps_stop(struct apps *apps);
void __wrap_listeners_shut(struct listeners *listeners);
void __wrap_reload_cancel(struct reloads *rs);
struct mono __wrap_mono_now(void);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);

static struct mono now, begun, may_end;
static unsigned told_more;
static int64_t retire_ms;	/* until all have been told */
static bool drained, stopped;

void
__wrap_above_tell_stop(struct above *above, const struct config *config,
    const char *words, int64_t delay_ms)
{
	(void)above;
	(void)config;
	(void)words;
	(void)delay_ms;
}

void
__wrap_above_tell_more(struct above *above, int64_t ms)
{
	(void)above;
	told_more++;
	may_end = mono_add_ms(now, ms);
}

int64_t
__wrap_apps_drain(struct apps *apps)
{
	(void)apps;
	drained = true;
	return DRAIN_MS;
}

bool
__wrap_apps_have_retired(const struct apps *apps)
{
	(void)apps;
	return mono_ms_between(begun, now) >= retire_ms;
}

void
__wrap_apps_stop(struct apps *apps)
{
	(void)apps;
	stopped = true;
}

void
__wrap_listeners_shut(struct listeners *listeners)
{
	(void)listeners;
}

void
__wrap_reload_cancel(struct reloads *rs)
{
	(void)rs;
}

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
	now = mono_add_ms(now, timeout < 0 || timeout > 1000 ? 1000 : timeout);
	return 0;
}

/* Returns after how long it stops. */
static int64_t
stop_after(int64_t ms)
{
	struct error err = ERROR_INIT;
	struct conf_app app = {
		.drain_timeout_ms = DRAIN_MS, .stop_timeout_ms = STOP_MS,
	};
	struct config config = { .apps = &app, .n_apps = 1 };
	struct workers workers = { .stopping = false };
	struct reloads reloads = { .config = &config };
	struct control_program program = { .starting = false };
	struct apps apps = { .first = NULL };
	struct listeners listeners = LISTENERS_INIT;
	struct above above = ABOVE_INIT;
	struct stopping s = {
		.workers = &workers, .listeners = &listeners, .apps = &apps,
		.reloads = &reloads, .program = &program, .above = &above,
	};
	struct loop *loop;

	now = begun = (struct mono){ .ns = 1000000000 };
	retire_ms = ms;
	drained = stopped = false;
	told_more = 0;
	assert_int_equal(loop_new(&loop, &err), 0);
	assert_int_equal(stopping_init(&s, loop), 0);
	stopping_leave(&s);
	assert_true(drained);
	assert_true(workers.stopping);
	stopping_turn(&s);
	while (!stopped) {
		assert_in_range(mono_ms_between(begun, now), 0, 60000);
		loop_turn(loop);
		stopping_turn(&s);
	}
	stopping_fini(&s);
	loop_free(loop);
	/* Whoever is above waits for those who are told to stop then. */
	assert_int_equal(told_more, 1);
	assert_true(mono_before(mono_add_ms(now, 2 * STOP_MS), may_end));
	return mono_ms_between(begun, now);
}

static void
who_drains_has_its_time(void **state)
{
	(void)state;
	assert_in_range(stop_after(0), DRAIN_MS, DRAIN_MS + 2000);
}

static void
it_begins_when_the_last_was_told(void **state)
{
	(void)state;
	assert_in_range(stop_after(20000), 20000 + DRAIN_MS,
	    20000 + DRAIN_MS + 2000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_drains_has_its_time),
		cmocka_unit_test(it_begins_when_the_last_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
