#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"
#include "linux/loop/loop.h"
#include "lib/alloc_fail.h"

/*
 * Linked with -Wl,--wrap= for each of these. Time is fake and only goes on
 * where the loop would sleep, so that nothing here takes any.
 */
struct mono __wrap_mono_now(void);
int __real_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max,
    int timeout);

static struct mono now;
static int slept_ms;		/* what the last wait was told; -1: for ever */
static unsigned waits;

struct mono
__wrap_mono_now(void)
{
	return now;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	int n = __real_epoll_wait(fd, events, max, 0);

	waits++;
	slept_ms = timeout;
	if (n != 0 || timeout == 0)
		return n;
	if (timeout > 0) {
		now = mono_add_ms(now, timeout);
		return 0;
	}
	/* Only a signal could end this sleep. */
	errno = EINTR;
	return -1;
}

static struct loop *
new_loop(void)
{
	struct loop *loop = NULL;

	now = (struct mono){ .ns = 1000 * INT64_C(1000000000) };
	alloc_works();
	assert_int_equal(loop_new(&loop, NULL), 0);
	return loop;
}

static uint32_t
roll(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

/* What was called, in its order: a letter for each call. */
static char calls[1024];
static size_t n_calls;

static void
record(char c)
{
	assert_true(n_calls + 1 < sizeof(calls));
	calls[n_calls++] = c;
	calls[n_calls] = '\0';
}

/* Compare and forget. */
static void
expect_calls(const char *expected)
{
	calls[n_calls] = '\0';
	assert_string_equal(calls, expected);
	n_calls = 0;
}

/* ---- timers ---- */

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	char letter;
	/* What its handler does beside recording. */
	struct alarm *clears, *sets, *kills;
	struct mono to;
};

static void
alarm_due(void *ctx)
{
	struct alarm *a = ctx;

	record(a->letter);
	/* It is off by the time it is told. */
	assert_true(mono_is_never(a->timer.due));
	if (a->clears != NULL)
		loop_timer_set(a->loop, &a->clears->timer, MONO_NEVER);
	if (a->kills != NULL)
		loop_timer_fini(a->loop, &a->kills->timer);
	if (a->sets != NULL)
		loop_timer_set(a->loop, &a->sets->timer, a->to);
}

static void
alarm_init(struct alarm *a, struct loop *loop, char letter)
{
	*a = (struct alarm){ .loop = loop, .letter = letter };
	assert_int_equal(loop_timer_init(loop, &a->timer, alarm_due, a), 0);
	assert_true(mono_is_never(a->timer.due));
}

static void
alarm_in_ms(struct alarm *a, int64_t ms)
{
	loop_timer_set(a->loop, &a->timer, (struct mono){
	    .ns = now.ns + ms * 1000000 });
}

static void
alarms_fini(struct alarm *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		loop_timer_fini(a[i].loop, &a[i].timer);
}

static void
timers_in_order(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		alarm_init(&a[i], loop, (char)('a' + i));
	alarm_in_ms(&a[0], 30);
	alarm_in_ms(&a[1], 10);
	alarm_in_ms(&a[2], 20);
	loop_turn(loop);
	assert_int_equal(slept_ms, 10);
	expect_calls("b");
	loop_turn(loop);
	assert_int_equal(slept_ms, 10);
	expect_calls("c");
	loop_turn(loop);
	expect_calls("a");
	/* Once each, and then nothing is due any more. */
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	expect_calls("");

	/* Late for all of them: one turn takes them, still in order. */
	for (size_t i = 0; i < 4; i++)
		alarm_in_ms(&a[i], 40 - 10 * (int64_t)i);
	now = mono_add_ms(now, 100);
	loop_turn(loop);
	assert_int_equal(slept_ms, 0);
	expect_calls("dcba");
	alarms_fini(a, 4);
	loop_free(loop);
}

static void
sleep_is_rounded_up(void **state)
{
	static const struct {
		int64_t ns;
		int ms;
	} rows[] = {
		{ 1, 1 },
		{ 999999, 1 },
		{ 1000000, 1 },
		{ 1000001, 2 },
		{ 1500000, 2 },
		{ 0, 0 },
		{ -1, 0 },
		{ -5000000, 0 },
		{ INT64_C(3600000) * 1000000, 3600000 },
		{ (int64_t)INT_MAX * 1000000, INT_MAX },
		{ ((int64_t)INT_MAX + 1) * 1000000, INT_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct loop *loop = new_loop();
		struct alarm a;

		alarm_init(&a, loop, 'a');
		loop_timer_set(loop, &a.timer, (struct mono){
		    .ns = now.ns + rows[i].ns });
		loop_turn(loop);
		assert_int_equal(slept_ms, rows[i].ms);
		/* Never early: one wait was enough, but for the longest. */
		expect_calls(i + 1 < sizeof(rows) / sizeof(*rows) ? "a" : "");
		loop_timer_fini(loop, &a.timer);
		loop_free(loop);
	}
	/* Ten years ahead: as long as epoll can, again and again. */
	{
		struct loop *loop = new_loop();
		struct alarm a;

		alarm_init(&a, loop, 'a');
		alarm_in_ms(&a, INT64_C(10) * 365 * 86400 * 1000);
		for (int i = 0; i < 146; i++) {
			loop_turn(loop);
			assert_int_equal(slept_ms, INT_MAX);
			expect_calls("");
		}
		loop_turn(loop);
		assert_in_range(slept_ms, 1, INT_MAX - 1);
		expect_calls("a");
		loop_timer_fini(loop, &a.timer);
		loop_free(loop);
	}
}

static unsigned rests;

static void
rest(void)
{
	rests++;
}

/* Once, and not as long as something is due soon. */
static void
at_rest_when_nothing_is_due_soon(void **state)
{
	static const struct {
		int64_t ms;	/* -1: no timer */
		unsigned rests;
	} rows[] = { { 0, 0 }, { 1, 0 }, { 999, 0 }, { 1000, 1 },
	    { 3600000, 1 }, { -1, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct loop *loop = new_loop();
		struct alarm a;

		rests = 0;
		alarm_init(&a, loop, 'a');
		loop_at_rest(loop, rest);
		if (rows[i].ms >= 0)
			alarm_in_ms(&a, rows[i].ms);
		loop_turn(loop);
		assert_int_equal(rests, rows[i].rests);
		expect_calls(rows[i].ms >= 0 ? "a" : "");
		/* Nothing is left to come: if it has not been yet, now. */
		for (int turns = 0; turns < 3; turns++) {
			loop_turn(loop);
			assert_int_equal(rests, 1);
		}
		loop_timer_fini(loop, &a.timer);
		loop_free(loop);
	}
}

static void
idle_sleeps_for_ever(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a;

	(void)state;
	waits = 0;
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	alarm_init(&a, loop, 'a');
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	alarm_in_ms(&a, 5);
	loop_timer_set(loop, &a.timer, MONO_NEVER);
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	/* One wait a turn. */
	assert_int_equal(waits, 3);
	expect_calls("");
	loop_timer_fini(loop, &a.timer);
	loop_free(loop);
}

static void
timer_is_replaced_or_cleared(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a[2], many[20];

	(void)state;
	alarm_init(&a[0], loop, 'a');
	alarm_init(&a[1], loop, 'b');
	alarm_in_ms(&a[0], 10);
	alarm_in_ms(&a[1], 20);
	alarm_in_ms(&a[0], 30);	/* later */
	loop_turn(loop);
	assert_int_equal(slept_ms, 20);
	expect_calls("b");
	alarm_in_ms(&a[1], 5);
	alarm_in_ms(&a[0], 1);	/* earlier */
	loop_turn(loop);
	assert_int_equal(slept_ms, 1);
	expect_calls("a");
	alarm_in_ms(&a[0], 1);
	loop_timer_set(loop, &a[0].timer, MONO_NEVER);
	loop_timer_set(loop, &a[0].timer, MONO_NEVER);
	loop_turn(loop);
	assert_int_equal(slept_ms, 4);
	expect_calls("b");
	alarms_fini(a, 2);
	/* Undone twice is undone once: there is still a place for each. */
	alarms_fini(a, 2);
	for (size_t i = 0; i < 20; i++) {
		alarm_init(&many[i], loop, (char)('a' + i));
		alarm_in_ms(&many[i], 1);
	}
	loop_turn(loop);
	assert_int_equal(n_calls, 20);
	n_calls = 0;
	alarms_fini(many, 20);
	loop_free(loop);
}

/* Of an owner whose start failed before it came to its timers. */
static void
timer_that_was_never_prepared(void **state)
{
	struct loop_timer never = { .fn = NULL };
	struct loop *loop;

	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	loop_timer_set(loop, &never, MONO_NEVER);
	loop_timer_set(loop, &never, now);
	loop_timer_start(loop, &never, 1);
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	loop_timer_fini(loop, &never);
	loop_free(loop);
}

static void
handler_clears_one_that_is_due(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a[3];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		alarm_init(&a[i], loop, (char)('a' + i));
		alarm_in_ms(&a[i], (int64_t)i);
	}
	a[0].clears = &a[1];
	now = mono_add_ms(now, 10);
	loop_turn(loop);
	expect_calls("ac");

	/* Or undoes it altogether; or itself. */
	for (size_t i = 0; i < 3; i++)
		alarm_in_ms(&a[i], (int64_t)i);
	a[0].clears = NULL;
	a[0].kills = &a[2];
	a[1].kills = &a[1];
	now = mono_add_ms(now, 10);
	loop_turn(loop);
	expect_calls("ab");
	alarms_fini(a, 3);
	loop_free(loop);
}

static void
handler_sets_a_timer(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a[2];

	(void)state;
	alarm_init(&a[0], loop, 'a');
	alarm_init(&a[1], loop, 'b');
	/* Itself, for later. */
	a[0].sets = &a[0];
	a[0].to = mono_add_ms(now, 50);
	alarm_in_ms(&a[0], 10);
	loop_turn(loop);
	expect_calls("a");
	a[0].sets = NULL;
	loop_turn(loop);
	assert_int_equal(slept_ms, 40);
	expect_calls("a");

	/* Another that was due in this turn, to later. */
	a[0].sets = &a[1];
	a[0].to = mono_add_ms(now, 100);
	alarm_in_ms(&a[0], 1);
	alarm_in_ms(&a[1], 2);
	now = mono_add_ms(now, 10);
	loop_turn(loop);
	expect_calls("a");
	loop_turn(loop);
	assert_int_equal(slept_ms, 90);
	expect_calls("b");

	/* Itself into the past, with nothing else set: once a turn. */
	a[0].sets = &a[0];
	a[0].to = (struct mono){ .ns = 1 };
	alarm_in_ms(&a[0], 0);
	for (int i = 0; i < 3; i++) {
		loop_turn(loop);
		assert_in_range(slept_ms, 0, 1);
		expect_calls("a");
	}
	alarms_fini(a, 2);
	loop_free(loop);
}

static void
set_anew_waits_for_the_next_turn(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		alarm_init(&a[i], loop, (char)('a' + i));
	a[0].sets = &a[0];
	a[0].to = (struct mono){ .ns = 1 };
	alarm_in_ms(&a[0], 0);
	alarm_in_ms(&a[1], 1);
	alarm_in_ms(&a[2], 1000);
	now = mono_add_ms(now, 10);
	loop_turn(loop);
	expect_calls("ab");
	loop_turn(loop);
	expect_calls("a");
	alarms_fini(a, 3);
	loop_free(loop);
}

static void
no_memory_for_a_timer(void **state)
{
	struct loop *loop = new_loop();
	struct alarm a[64];
	struct loop_timer refused;
	size_t n = 0;

	(void)state;
	alarm_init(&a[n], loop, 'a');
	alloc_fail(1, ALLOC_ALL);
	while (n + 1 < 64) {
		struct alarm *next = &a[n + 1];

		*next = (struct alarm){ .loop = loop,
			.letter = (char)('a' + (n + 1) % 26) };
		if (loop_timer_init(loop, &next->timer, alarm_due, next) < 0)
			break;
		n++;
	}
	n++;
	assert_true(n < 64);
	assert_int_equal(loop_timer_init(loop, &refused, alarm_due, &a[0]),
	    -ENOMEM);
	/* All that were prepared can be set, without memory. */
	for (size_t i = 0; i < n; i++)
		alarm_in_ms(&a[i], (int64_t)i);
	now = mono_add_ms(now, 1000);
	loop_turn(loop);
	assert_int_equal(n_calls, n);
	n_calls = 0;
	/* One place given back is one that can be had. */
	loop_timer_fini(loop, &a[0].timer);
	assert_int_equal(loop_timer_init(loop, &a[0].timer, alarm_due, &a[0]),
	    0);
	assert_int_equal(loop_timer_init(loop, &refused, alarm_due, &a[0]),
	    -ENOMEM);
	alloc_works();
	alarms_fini(a, n);
	loop_free(loop);
}

/* ---- timers against a plain array ---- */

#define MODEL_TIMERS 60

struct model {
	struct loop *loop;
	struct model_timer {
		struct loop_timer timer;
		struct model *model;
		bool prepared;
		int64_t due;	/* INT64_MAX: not set */
	} timers[MODEL_TIMERS];
	uint32_t seed;
	int64_t last_due;	/* of the one that ran before, this turn */
	unsigned ran, total;
};

static void
model_due(void *ctx)
{
	struct model_timer *t = ctx;
	struct model *m = t->model;

	/* Set, due, and no earlier than the one before. */
	assert_true(t->prepared);
	assert_true(t->due != INT64_MAX);
	assert_true(t->due <= now.ns);
	assert_true(t->due >= m->last_due);
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		if (m->timers[i].prepared)
			assert_true(m->timers[i].due >= t->due);
	m->last_due = t->due;
	t->due = INT64_MAX;
	m->ran++;
}

static int64_t
model_first(const struct model *m)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < MODEL_TIMERS; i++)
		if (m->timers[i].prepared && m->timers[i].due < first)
			first = m->timers[i].due;
	return first;
}

static void
model_set(struct model *m, struct model_timer *t)
{
	/* Coarse, so that many are due at the same time; some in the past. */
	t->due = now.ns + ((int64_t)(roll(&m->seed) % 60) - 5) * 500000;
	loop_timer_set(m->loop, &t->timer, (struct mono){ .ns = t->due });
}

static void
model_change(struct model *m)
{
	struct model_timer *t = &m->timers[roll(&m->seed) % MODEL_TIMERS];

	if (!t->prepared) {
		assert_int_equal(loop_timer_init(m->loop, &t->timer,
		    model_due, t), 0);
		t->prepared = true;
		t->due = INT64_MAX;
	}
	switch (roll(&m->seed) % 8) {
	case 0:
		loop_timer_fini(m->loop, &t->timer);
		t->prepared = false;
		t->due = INT64_MAX;
		break;
	case 1:
	case 2:
		loop_timer_set(m->loop, &t->timer, MONO_NEVER);
		t->due = INT64_MAX;
		break;
	default:
		model_set(m, t);
		break;
	}
}

static void
model_turn(struct model *m)
{
	int64_t first = model_first(m);
	int64_t wait = first == INT64_MAX ? -1 : first <= now.ns ? 0 :
	    (first - now.ns + 999999) / 1000000;

	m->ran = 0;
	m->last_due = INT64_MIN;
	loop_turn(m->loop);
	assert_int_equal(slept_ms, wait);
	/* All that is due has run. */
	assert_true(model_first(m) > now.ns);
	assert_int_equal(m->ran > 0, first != INT64_MAX);
	m->total += m->ran;
}

static void
random_timers(void **state)
{
	static struct model m;

	(void)state;
	m = (struct model){ .loop = new_loop(), .seed = 4 };
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		m.timers[i] = (struct model_timer){
			.model = &m, .due = INT64_MAX,
		};
	for (unsigned i = 0; i < 200000; i++) {
		model_change(&m);
		if (roll(&m.seed) % 6 == 0)
			model_turn(&m);
		if (roll(&m.seed) % 50 == 0)
			now.ns += roll(&m.seed) % 20000000;
	}
	while (model_first(&m) != INT64_MAX)
		model_turn(&m);
	assert_true(m.total > 20000);
	for (size_t i = 0; i < MODEL_TIMERS; i++)
		if (m.timers[i].prepared)
			loop_timer_fini(m.loop, &m.timers[i].timer);
	loop_free(m.loop);
}

/* ---- descriptors ---- */

struct watch {
	struct loop *loop;
	loop_handle handle;
	int fd;			/* an eventfd */
	char letter;
	uint32_t events;	/* of the last call */
	/* What its handler does beside recording. */
	struct watch *removes, *also_removes, *adds;
	bool add_late, drains;
	unsigned calls;
};

static void
watch_called(void *ctx, uint32_t events)
{
	struct watch *w = ctx;

	record(w->letter);
	w->events = events;
	w->calls++;
	if (w->drains) {
		eventfd_t value;

		assert_int_equal(eventfd_read(w->fd, &value), 0);
	}
	if (w->removes != NULL)
		loop_del(w->loop, &w->removes->handle);
	if (w->also_removes != NULL)
		loop_del(w->loop, &w->also_removes->handle);
	if (w->adds != NULL) {
		assert_int_equal(loop_add(w->loop, w->adds->fd, EPOLLIN,
		    w->add_late, watch_called, w->adds, &w->adds->handle), 0);
		w->adds = NULL;
	}
}

static void
watch_open(struct watch *w, struct loop *loop, char letter)
{
	*w = (struct watch){ .loop = loop, .letter = letter };
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(w->fd >= 0);
}

static void
watch_add(struct watch *w, bool late)
{
	assert_int_equal(loop_add(w->loop, w->fd, EPOLLIN, late, watch_called,
	    w, &w->handle), 0);
	assert_true(w->handle != 0);
}

static void
watch_init(struct watch *w, struct loop *loop, char letter, bool late)
{
	watch_open(w, loop, letter);
	watch_add(w, late);
}

static void
poke(const struct watch *w)
{
	assert_int_equal(eventfd_write(w->fd, 1), 0);
}

static void
watches_close(struct watch *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		loop_del(w[i].loop, &w[i].handle);
		assert_true(w[i].handle == 0);
		close(w[i].fd);
	}
}

static void
descriptors_are_level_triggered(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[2];

	(void)state;
	watch_init(&w[0], loop, 'a', false);
	watch_init(&w[1], loop, 'b', false);
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	expect_calls("");
	poke(&w[1]);
	loop_turn(loop);
	loop_turn(loop);
	expect_calls("bb");
	assert_int_equal(w[1].events, EPOLLIN);
	w[1].drains = true;
	loop_turn(loop);
	loop_turn(loop);
	expect_calls("b");
	watches_close(w, 2);
	loop_free(loop);
}

static void
late_ones_come_last(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[6];

	(void)state;
	/* Late, early, late, early, … in the order in which they are ready. */
	for (size_t i = 0; i < 6; i++)
		watch_init(&w[i], loop, (char)((i % 2 == 0 ? 'A' : 'a') + i),
		    i % 2 == 0);
	for (size_t i = 0; i < 6; i++)
		poke(&w[i]);
	loop_turn(loop);
	expect_calls("bdfACE");
	watches_close(w, 6);
	loop_free(loop);
}

static void
timers_come_after_descriptors(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[2];
	struct alarm a;

	(void)state;
	watch_init(&w[0], loop, 'L', true);
	watch_init(&w[1], loop, 'e', false);
	alarm_init(&a, loop, 't');
	alarm_in_ms(&a, 0);
	poke(&w[0]);
	poke(&w[1]);
	loop_turn(loop);
	expect_calls("eLt");
	/* Not due: the descriptors do not wait for it, nor it for them. */
	alarm_in_ms(&a, 5);
	loop_turn(loop);
	expect_calls("eL");
	now = mono_add_ms(now, 5);
	loop_turn(loop);
	expect_calls("eLt");
	loop_timer_fini(loop, &a.timer);
	watches_close(w, 2);
	loop_free(loop);
}

/* A signal that ends the wait: nothing to handle but what is due. */
static void
interrupted_wait(void **state)
{
	struct loop *loop = new_loop();
	struct watch w;

	(void)state;
	watch_init(&w, loop, 'a', false);
	loop_turn(loop);
	expect_calls("");
	poke(&w);
	loop_turn(loop);
	expect_calls("a");
	watches_close(&w, 1);
	loop_free(loop);
}

static void
removed_during_the_turn(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		watch_init(&w[i], loop, (char)('a' + i), i == 3);
	for (size_t i = 0; i < 4; i++)
		poke(&w[i]);
	/* One behind, one that is late, and itself. */
	w[0].removes = &w[1];
	w[0].also_removes = &w[3];
	w[2].removes = &w[2];
	loop_turn(loop);
	expect_calls("ac");
	assert_true(w[1].handle == 0);
	loop_turn(loop);
	expect_calls("a");

	/* Both sides remove each other: whoever comes first. */
	w[0].also_removes = NULL;
	watch_add(&w[1], false);
	w[1].removes = &w[0];
	loop_turn(loop);
	assert_int_equal(n_calls, 1);
	n_calls = 0;
	watches_close(w, 4);
	loop_free(loop);
}

/*
 * The slot of a removed registration is given to a new one in the same turn,
 * while the old one's event is still to come: it must not reach the new one.
 */
static void
stale_event_after_reuse(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[4];
	loop_handle old;

	(void)state;
	for (int late = 0; late < 2; late++) {
		watch_init(&w[0], loop, 'a', false);
		watch_init(&w[1], loop, 'b', late == 1);
		watch_open(&w[2], loop, 'c');
		poke(&w[0]);
		poke(&w[1]);
		old = w[1].handle;
		w[0].removes = &w[1];
		w[0].adds = &w[2];
		w[0].add_late = late == 1;
		loop_turn(loop);
		expect_calls("a");
		/* It is the same slot, and not the same handle. */
		assert_true((uint32_t)w[2].handle == (uint32_t)old);
		assert_true(w[2].handle != old);
		/* The old handle, kept by somebody, harms nobody. */
		loop_del(loop, &old);
		assert_true(old == 0);
		poke(&w[2]);
		loop_turn(loop);
		expect_calls("ac");
		watches_close(w, 3);
	}

	/* The same descriptor even, watched anew for somebody else. */
	watch_init(&w[0], loop, 'a', false);
	watch_init(&w[1], loop, 'b', false);
	poke(&w[0]);
	poke(&w[1]);
	w[2] = (struct watch){ .loop = loop, .letter = 'c', .fd = w[1].fd };
	w[0].removes = &w[1];
	w[0].adds = &w[2];
	loop_turn(loop);
	expect_calls("a");
	loop_turn(loop);
	expect_calls("ac");
	loop_del(loop, &w[2].handle);
	watches_close(w, 2);
	loop_free(loop);
}

/* So many are added by a handler that the slots move. */
static void
slots_grow_during_the_turn(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[100];

	(void)state;
	watch_init(&w[0], loop, 'x', false);
	for (size_t i = 1; i < 100; i++) {
		watch_open(&w[i], loop, 'x');
		poke(&w[i]);
		w[i - 1].adds = &w[i];
	}
	poke(&w[0]);
	/* Each turn adds one more, on whatever slot there is. */
	for (size_t turn = 1; turn <= 100; turn++) {
		loop_turn(loop);
		assert_int_equal(n_calls, turn);
		n_calls = 0;
	}
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(w[i].calls, 100 - i);
		for (size_t k = 0; k < i; k++)
			assert_true(w[i].handle != w[k].handle);
	}
	watches_close(w, 100);
	loop_turn(loop);
	expect_calls("");
	loop_free(loop);
}

static void
other_events(void **state)
{
	struct loop *loop = new_loop();
	struct watch w;

	(void)state;
	watch_init(&w, loop, 'a', false);
	assert_int_equal(loop_set_events(loop, w.handle, EPOLLIN | EPOLLOUT),
	    0);
	loop_turn(loop);
	expect_calls("a");
	assert_int_equal(w.events, EPOLLOUT);
	poke(&w);
	loop_turn(loop);
	expect_calls("a");
	assert_int_equal(w.events, EPOLLIN | EPOLLOUT);
	assert_int_equal(loop_set_events(loop, w.handle, 0), 0);
	loop_turn(loop);
	expect_calls("");
	assert_int_equal(slept_ms, -1);
	assert_int_equal(loop_set_events(loop, w.handle, EPOLLIN), 0);
	loop_turn(loop);
	expect_calls("a");
	assert_int_equal(w.events, EPOLLIN);
	watches_close(&w, 1);
	loop_free(loop);
}

static void
refused_registrations(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[3];
	loop_handle handle = 4711;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(file >= 0);
	watch_init(&w[0], loop, 'a', false);
	/* A regular file cannot be watched, nor a descriptor twice. */
	assert_int_equal(loop_add(loop, file, EPOLLIN, false, watch_called,
	    &w[0], &handle), -EPERM);
	assert_int_equal(loop_add(loop, w[0].fd, EPOLLIN, false, watch_called,
	    &w[0], &handle), -EEXIST);
	assert_int_equal(loop_add(loop, 1 << 20, EPOLLIN, false, watch_called,
	    &w[0], &handle), -EBADF);
	assert_true(handle == 4711);
	close(file);
	/* What was refused has taken no slot, and no event comes of it. */
	watch_init(&w[1], loop, 'b', false);
	watch_init(&w[2], loop, 'c', false);
	for (size_t i = 0; i < 3; i++)
		poke(&w[i]);
	loop_turn(loop);
	expect_calls("abc");
	watches_close(w, 3);
	/* Nothing is fine. */
	handle = 0;
	loop_del(loop, &handle);
	assert_true(handle == 0);
	loop_free(loop);
}

static void
no_memory_for_a_loop_or_a_slot(void **state)
{
	struct loop *loop = new_loop();
	struct loop *none = NULL;
	struct error err = ERROR_INIT;
	struct watch w[40];
	loop_handle handle = 4711;
	size_t n = 0;
	int code;

	(void)state;
	alloc_fail(1, ALLOC_ALL);
	assert_int_equal(loop_new(&none, &err), -ENOMEM);
	assert_null(none);
	assert_string_equal(error_text(&err), "out of memory");
	error_clear(&err);
	watch_open(&w[0], loop, 'a');
	assert_int_equal(loop_add(loop, w[0].fd, EPOLLIN, false, watch_called,
	    &w[0], &handle), -ENOMEM);
	assert_true(handle == 4711);
	alloc_works();
	watch_add(&w[n++], false);
	alloc_fail(1, ALLOC_ALL);
	for (;;) {
		assert_true(n < 40);
		watch_open(&w[n], loop, 'a');
		code = loop_add(loop, w[n].fd, EPOLLIN, false, watch_called,
		    &w[n], &w[n].handle);
		if (code < 0)
			break;
		n++;
	}
	assert_int_equal(code, -ENOMEM);
	assert_true(w[n].handle == 0);
	/* With one gone there is room for another. */
	loop_del(loop, &w[0].handle);
	watch_add(&w[n], false);
	for (size_t i = 1; i <= n; i++)
		poke(&w[i]);
	loop_turn(loop);
	assert_int_equal(n_calls, n);
	n_calls = 0;
	alloc_works();
	watches_close(w, n + 1);
	loop_free(loop);
	loop_free(NULL);
}

/* A handle that never was one, one behind the last slot, one of a free slot. */
static void
handles_of_nobody(void **state)
{
	struct loop *loop = new_loop();
	struct watch w[16];
	loop_handle forged;

	(void)state;
	forged = 1;
	loop_del(loop, &forged);
	assert_true(forged == 0);
	for (size_t i = 0; i < 16; i++) {
		watch_init(&w[i], loop, (char)('a' + i), false);
		poke(&w[i]);
	}
	for (uint64_t low = 15; low < 40; low++) {
		forged = UINT64_C(99) << 32 | low;
		loop_del(loop, &forged);
		assert_true(forged == 0);
		forged = low > 16 ? low : UINT32_MAX;
		loop_del(loop, &forged);
		forged = UINT64_C(1) << 32;
		loop_del(loop, &forged);
	}
	loop_turn(loop);
	expect_calls("abcdefghijklmnop");
	watches_close(w, 16);
	loop_free(loop);
}

/* 0 is a descriptor like any other. */
static void
descriptor_zero(void **state)
{
	int saved = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);
	struct loop *loop;
	struct watch w;

	(void)state;
	if (saved < 0)
		skip();	/* it is closed, and what we open would get it */
	loop = new_loop();
	watch_open(&w, loop, 'z');
	assert_int_equal(dup2(w.fd, STDIN_FILENO), STDIN_FILENO);
	close(w.fd);
	w.fd = STDIN_FILENO;
	watch_add(&w, false);
	poke(&w);
	loop_turn(loop);
	expect_calls("z");
	loop_del(loop, &w.handle);
	loop_turn(loop);
	expect_calls("");
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	close(saved);
	loop_free(loop);
}

static int
lowest_free_fd(void)
{
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_true(fd >= 0);
	close(fd);
	return fd;
}

static void
no_descriptor_for_a_loop(void **state)
{
	int before = lowest_free_fd();
	struct error err = ERROR_INIT;
	struct loop *loop = new_loop();
	struct rlimit limit, none;

	(void)state;
	/* One loop takes one, and gives it back. */
	assert_int_equal(lowest_free_fd(), before + 1);
	loop_free(loop);
	assert_int_equal(lowest_free_fd(), before);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	loop = NULL;
	assert_int_equal(loop_new(&loop, &err), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_null(loop);
	assert_true(str_starts(error_text(&err), "epoll_create1: "));
	assert_non_null(strstr(error_text(&err), strerror(EMFILE)));
	error_clear(&err);
}

/* Adds, removes and pokes at random: who is called is who is ready and there,
   each once a turn, the late ones behind the others. */
static void
random_descriptors(void **state)
{
	enum { N = 50 };
	struct loop *loop = new_loop();
	struct watch w[N];
	bool late[N] = { false };
	uint32_t seed = 77;
	unsigned total = 0;

	(void)state;
	for (size_t i = 0; i < N; i++)
		watch_open(&w[i], loop, 'x');
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned expected = 0;

		for (int k = 0; k < 3; k++) {
			size_t i = roll(&seed) % N;

			if (w[i].handle == 0) {
				late[i] = roll(&seed) % 3 == 0;
				watch_add(&w[i], late[i]);
			} else if (roll(&seed) % 2 == 0) {
				loop_del(loop, &w[i].handle);
			}
			w[i].letter = late[i] ? 'L' : 'e';
			i = roll(&seed) % N;
			poke(&w[i]);
			w[i].drains = true;
		}
		for (size_t i = 0; i < N; i++) {
			eventfd_t value;

			/* Ready? Read and put back. */
			w[i].calls = 0;
			if (w[i].handle != 0 &&
			    eventfd_read(w[i].fd, &value) == 0) {
				assert_int_equal(eventfd_write(w[i].fd,
				    value), 0);
				w[i].drains = roll(&seed) % 2 == 0;
				expected++;
			} else {
				w[i].drains = true;
			}
		}
		loop_turn(loop);
		assert_int_equal(n_calls, expected);
		for (size_t i = 1; i < n_calls; i++)
			assert_false(calls[i - 1] == 'L' && calls[i] == 'e');
		for (size_t i = 0; i < N; i++)
			assert_true(w[i].calls <= 1);
		n_calls = 0;
		total += expected;
	}
	assert_true(total > 50000);
	watches_close(w, N);
	loop_free(loop);
}

static void
late_ones_come_last_of_very_many(void **state)
{
	enum { N = 300 };
	static struct watch w[N];
	struct loop *loop = new_loop();
	struct alarm a;

	(void)state;
	for (size_t i = 0; i < N; i++) {
		watch_init(&w[i], loop, i == 0 ? 'L' : 'e', i == 0);
		poke(&w[i]);
	}
	alarm_init(&a, loop, 't');
	alarm_in_ms(&a, 0);
	loop_turn(loop);
	assert_int_equal(n_calls, N + 1);
	assert_int_equal(calls[N - 1], 'L');
	assert_int_equal(calls[N], 't');
	n_calls = 0;
	loop_timer_fini(loop, &a.timer);
	watches_close(w, N);
	loop_free(loop);
}

/* ---- later ---- */

static int steps_left;

static bool
step(void *ctx)
{
	(void)ctx;
	record('s');
	return --steps_left > 0;
}

struct untold {
	struct loop *loop;
	int fd;
	loop_handle handle;
};

static void
untold_ready(void *ctx, uint32_t events)
{
	struct untold *u = ctx;

	record(events == 0 ? '0' : (events & EPOLLIN) != 0 ? 'i' : '?');
	if (events == 0)
		loop_del(u->loop, &u->handle);
}

/* Events go before; but not for ever. */
static void
steps_are_taken_in_turns_without_events(void **state)
{
	struct loop *loop = new_loop();
	struct loop_later later = { .waits = false };
	struct untold busy = { .loop = loop, .fd = eventfd(1, EFD_CLOEXEC) };

	(void)state;
	assert_int_equal(loop_add(loop, busy.fd, EPOLLIN, false, untold_ready,
	    &busy, &busy.handle), 0);
	steps_left = 3;
	loop_later(loop, &later, step, NULL);
	loop_later(loop, &later, step, NULL);
	loop_turn(loop);
	expect_calls("i");
	assert_int_equal(loop_set_events(loop, busy.handle, 0), 0);
	loop_turn(loop);
	assert_int_equal(slept_ms, 0);
	expect_calls("s");
	assert_int_equal(loop_set_events(loop, busy.handle, EPOLLIN), 0);
	loop_turn(loop);
	expect_calls("i");
	now = mono_add_ms(now, LOOP_LATER_MS);
	loop_turn(loop);
	expect_calls("is");
	loop_turn(loop);
	expect_calls("is");
	assert_int_equal(loop_set_events(loop, busy.handle, 0), 0);
	loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	expect_calls("");

	/* Not wanted any more. */
	steps_left = 1;
	loop_later(loop, &later, step, NULL);
	loop_later_end(loop, &later);
	loop_later_end(loop, &later);
	loop_turn(loop);
	expect_calls("");
	loop_del(loop, &busy.handle);
	close(busy.fd);
	loop_free(loop);
}

#define UNTOLD 100

/* Whatever is done with it before the kernel knows of it. */
static void
watched_later(void **state)
{
	struct loop *loop = new_loop();
	struct untold u[UNTOLD];
	int file = open("/dev/null", O_RDWR | O_CLOEXEC);
	int real;

	(void)state;
	for (size_t i = 0; i < UNTOLD; i++) {
		u[i] = (struct untold){
			.loop = loop, .fd = eventfd(i < 2, EFD_CLOEXEC),
		};
		assert_int_equal(loop_add_later(loop, u[i].fd, EPOLLIN, false,
		    untold_ready, &u[i], &u[i].handle), 0);
	}
	/* Of these the one is not watched, the other one waits, one cannot be. */
	loop_del(loop, &u[0].handle);
	assert_int_equal(u[0].handle, 0);
	assert_int_equal(loop_set_events(loop, u[1].handle, 0), 0);
	real = u[50].fd;
	u[50].fd = file;
	loop_del(loop, &u[50].handle);
	assert_int_equal(loop_add_later(loop, file, EPOLLIN, false,
	    untold_ready, &u[50], &u[50].handle), 0);
	slept_ms = 0;
	for (int i = 0; i < UNTOLD && slept_ms >= 0; i++)
		loop_turn(loop);
	assert_int_equal(slept_ms, -1);
	assert_int_equal(u[50].handle, 0);
	expect_calls("0");
	assert_int_equal(loop_set_events(loop, u[1].handle, EPOLLIN), 0);
	loop_turn(loop);
	expect_calls("i");
	loop_del(loop, &u[1].handle);
	/* The last one is watched, as any other one. */
	assert_int_equal(eventfd_write(u[UNTOLD - 1].fd, 1), 0);
	loop_turn(loop);
	expect_calls("i");
	for (size_t i = 0; i < UNTOLD; i++) {
		loop_del(loop, &u[i].handle);
		close(i == 50 ? real : u[i].fd);
	}
	close(file);
	loop_free(loop);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_in_order),
		cmocka_unit_test(sleep_is_rounded_up),
		cmocka_unit_test(idle_sleeps_for_ever),
		cmocka_unit_test(at_rest_when_nothing_is_due_soon),
		cmocka_unit_test(timer_is_replaced_or_cleared),
		cmocka_unit_test(timer_that_was_never_prepared),
		cmocka_unit_test(handler_clears_one_that_is_due),
		cmocka_unit_test(handler_sets_a_timer),
		cmocka_unit_test(no_memory_for_a_timer),
		cmocka_unit_test(random_timers),
		cmocka_unit_test(descriptors_are_level_triggered),
		cmocka_unit_test(late_ones_come_last),
		cmocka_unit_test(timers_come_after_descriptors),
		cmocka_unit_test(interrupted_wait),
		cmocka_unit_test(removed_during_the_turn),
		cmocka_unit_test(stale_event_after_reuse),
		cmocka_unit_test(slots_grow_during_the_turn),
		cmocka_unit_test(other_events),
		cmocka_unit_test(refused_registrations),
		cmocka_unit_test(no_memory_for_a_loop_or_a_slot),
		cmocka_unit_test(handles_of_nobody),
		cmocka_unit_test(descriptor_zero),
		cmocka_unit_test(no_descriptor_for_a_loop),
		cmocka_unit_test(random_descriptors),
		cmocka_unit_test(set_anew_waits_for_the_next_turn),
		cmocka_unit_test(late_ones_come_last_of_very_many),
		cmocka_unit_test(steps_are_taken_in_turns_without_events),
		cmocka_unit_test(watched_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
