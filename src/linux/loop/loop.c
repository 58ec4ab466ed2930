#include <sys/epoll.h>

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "linux/loop/loop.h"

#define FEW_EVENTS 64

struct slot {
	int fd;			/* -1: free */
	uint32_t generation;
	uint32_t events;	/* of one that the kernel is not told of yet */
	bool untold;
	bool late;
	uint32_t next_free;	/* slot number + 1, when free */
	loop_fn *fn;
	void *ctx;
};

/* So long nothing is due: it is worth while to let go of what is mapped again then. */
#define REST_MS	1000

struct loop {
	int epoll;
	struct slot *slots;
	uint32_t n_slots;
	uint32_t first_free;	/* slot number + 1; 0: none */
	struct loop_timer **heap;	/* binary heap by due time */
	size_t n_heap;
	size_t n_timers;	/* prepared ones: the heap has room for all */
	size_t heap_cap;
	struct mono running;	/* the time at which timers are run; else 0 */
	struct epoll_event *events;	/* of a turn */
	uint32_t events_cap;
	uint64_t turn;
	void (*at_rest)(void);
	struct loop_later *later;
	struct loop_later tell;	/* slots that are untold, … */
	uint32_t told;		/* … from this one on */
};

/* So many slots are looked at in a step. */
#define TELL_SLOTS	32

int
loop_new(struct loop **ret_loop, struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		int code = -errno;

		free(loop);
		return error_set(err, code, "epoll_create1: %s",
		    strerror(-code));
	}
	*ret_loop = loop;
	return 0;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	fd_close(&loop->epoll);
	free(loop->slots);
	free(loop->heap);
	free(loop->events);
	free(loop);
}

static uint64_t
handle_of(const struct loop *loop, uint32_t index)
{
	/* + 1, so that no handle is 0 */
	return (uint64_t)loop->slots[index].generation << 32 | (index + 1);
}

static struct slot *
slot_of(struct loop *loop, loop_handle handle)
{
	uint32_t index = (uint32_t)handle - 1;

	if (handle == 0 || index >= loop->n_slots ||
	    loop->slots[index].fd < 0 ||
	    loop->slots[index].generation != (uint32_t)(handle >> 32))
		return NULL;
	return &loop->slots[index];
}

static bool
grow_slots(struct loop *loop)
{
	uint32_t n = loop->n_slots == 0 ? 16 : loop->n_slots * 2;
	struct slot *slots = reallocarray(loop->slots, n, sizeof(*slots));

	if (slots == NULL)
		return false;
	for (uint32_t i = n; i-- > loop->n_slots; ) {
		slots[i] = (struct slot){
			.fd = -1, .next_free = loop->first_free,
		};
		loop->first_free = i + 1;
	}
	loop->slots = slots;
	loop->n_slots = n;
	return true;
}

static int
tell_kernel(const struct loop *loop, uint32_t index, int fd, uint32_t events)
{
	struct epoll_event ev = {
		.events = events, .data.u64 = handle_of(loop, index),
	};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int
add(struct loop *loop, const struct slot *wanted, loop_handle *ret_handle)
{
	uint32_t index;
	struct slot *slot;
	int code;

	assert(wanted->fd >= 0);
	if (loop->first_free == 0 && !grow_slots(loop))
		return -ENOMEM;
	index = loop->first_free - 1;
	slot = &loop->slots[index];
	code = wanted->untold ? 0 :
	    tell_kernel(loop, index, wanted->fd, wanted->events);
	if (code < 0)
		return code;
	loop->first_free = slot->next_free;
	slot->fd = wanted->fd;
	slot->events = wanted->events;
	slot->untold = wanted->untold;
	slot->late = wanted->late;
	slot->fn = wanted->fn;
	slot->ctx = wanted->ctx;
	*ret_handle = handle_of(loop, index);
	return 0;
}

int
loop_add(struct loop *loop, int fd, uint32_t events, bool late, loop_fn *fn,
    void *ctx, loop_handle *ret_handle)
{
	return add(loop, &(struct slot){
		.fd = fd, .events = events, .late = late, .fn = fn, .ctx = ctx,
	}, ret_handle);
}

/* The handler may add others, and so move the slots. */
static bool
tell_some(void *ctx)
{
	struct loop *loop = ctx;

	for (int i = 0; i < TELL_SLOTS && loop->told < loop->n_slots; i++) {
		const uint32_t index = loop->told++;
		struct slot *slot = &loop->slots[index];

		if (slot->fd < 0 || !slot->untold)
			continue;
		if (tell_kernel(loop, index, slot->fd, slot->events) == 0)
			slot->untold = false;
		else
			slot->fn(slot->ctx, 0);
	}
	return loop->told < loop->n_slots;
}

int
loop_add_later(struct loop *loop, int fd, uint32_t events, bool late,
    loop_fn *fn, void *ctx, loop_handle *ret_handle)
{
	int code = add(loop, &(struct slot){
		.fd = fd, .events = events, .untold = true, .late = late,
		.fn = fn, .ctx = ctx,
	}, ret_handle);

	if (code < 0)
		return code;
	if (!loop->tell.waits || (uint32_t)*ret_handle - 1 < loop->told)
		loop->told = (uint32_t)*ret_handle - 1;
	loop_later(loop, &loop->tell, tell_some, loop);
	return 0;
}

int
loop_set_events(struct loop *loop, loop_handle handle, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = handle };
	struct slot *slot = slot_of(loop, handle);

	assert(slot != NULL);
	slot->events = events;
	if (slot->untold)
		return 0;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, slot->fd, &ev) < 0)
		return -errno;
	return 0;
}

void
loop_del(struct loop *loop, loop_handle *handle)
{
	struct slot *slot = slot_of(loop, *handle);

	if (slot != NULL) {
		/* Explicit, because a forked child may share the file
		   description and so keep it in the set after our close
		   (epoll(7), question 6). */
		if (!slot->untold)
			(void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, slot->fd,
			    NULL);
		slot->fd = -1;
		slot->generation++;
		slot->next_free = loop->first_free;
		loop->first_free = (uint32_t)(slot - loop->slots) + 1;
	}
	*handle = 0;
}

static void
heap_place(struct loop *loop, size_t pos, struct loop_timer *timer)
{
	loop->heap[pos] = timer;
	timer->pos = pos;
}

static void
heap_up(struct loop *loop, struct loop_timer *timer)
{
	size_t pos = timer->pos;

	while (pos > 0) {
		struct loop_timer *parent = loop->heap[(pos - 1) / 2];

		if (!mono_before(timer->due, parent->due))
			break;
		heap_place(loop, pos, parent);
		pos = (pos - 1) / 2;
	}
	heap_place(loop, pos, timer);
}

static void
heap_down(struct loop *loop, struct loop_timer *timer)
{
	size_t pos = timer->pos;

	for (;;) {
		size_t child = pos * 2 + 1;

		if (child >= loop->n_heap)
			break;
		if (child + 1 < loop->n_heap &&
		    mono_before(loop->heap[child + 1]->due,
		    loop->heap[child]->due))
			child++;
		if (!mono_before(loop->heap[child]->due, timer->due))
			break;
		heap_place(loop, pos, loop->heap[child]);
		pos = child;
	}
	heap_place(loop, pos, timer);
}

static void
heap_remove(struct loop *loop, struct loop_timer *timer)
{
	struct loop_timer *last = loop->heap[--loop->n_heap];

	timer->due = MONO_NEVER;
	if (last == timer)
		return;
	heap_place(loop, timer->pos, last);
	heap_up(loop, last);
	heap_down(loop, last);
}

int
loop_timer_init(struct loop *loop, struct loop_timer *timer,
    void (*fn)(void *ctx), void *ctx)
{
	if (loop->n_timers == loop->heap_cap) {
		size_t cap = loop->heap_cap == 0 ? 16 : loop->heap_cap * 2;
		struct loop_timer **heap = reallocarray(loop->heap, cap,
		    sizeof(struct loop_timer *));

		if (heap == NULL)
			return -ENOMEM;
		loop->heap = heap;
		loop->heap_cap = cap;
	}
	loop->n_timers++;
	*timer = (struct loop_timer){
		.due = MONO_NEVER, .fn = fn, .ctx = ctx,
	};
	return 0;
}

void
loop_timer_fini(struct loop *loop, struct loop_timer *timer)
{
	if (timer->fn == NULL)
		return;
	loop_timer_set(loop, timer, MONO_NEVER);
	loop->n_timers--;
	timer->fn = NULL;
}

void
loop_timer_set(struct loop *loop, struct loop_timer *timer, struct mono due)
{
	bool was_set = !mono_is_never(timer->due);

	/* Never prepared, and all zero: a due time of 0 is no setting. */
	if (timer->fn == NULL)
		return;
	if (mono_is_never(due)) {
		if (was_set)
			heap_remove(loop, timer);
		return;
	}
	/* Not in the turn that sets it, or it could run again and again. */
	if (loop->running.ns != 0 && !mono_before(loop->running, due))
		due.ns = loop->running.ns + 1;
	timer->due = due;
	if (!was_set) {
		assert(loop->n_heap < loop->heap_cap);
		heap_place(loop, loop->n_heap++, timer);
	}
	heap_up(loop, timer);
	heap_down(loop, timer);
}

void
loop_timer_start(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
	if (mono_is_never(timer->due))
		loop_timer_set(loop, timer, mono_add_ms(mono_now(), ms));
}

/* Milliseconds until the next timer, rounded up; -1: there is none. */
static int
wait_ms(const struct loop *loop)
{
	int64_t ns;

	if (loop->n_heap == 0)
		return -1;
	ns = loop->heap[0]->due.ns - mono_now().ns;
	if (ns <= 0)
		return 0;
	if (ns / 1000000 >= INT_MAX)
		return INT_MAX;
	return (int)((ns + 999999) / 1000000);
}

static void
dispatch(struct loop *loop, const struct epoll_event *events, int n, bool late)
{
	for (int i = 0; i < n; i++) {
		struct slot *slot = slot_of(loop, events[i].data.u64);

		if (slot != NULL && slot->late == late)
			slot->fn(slot->ctx, events[i].events);
	}
}

/* Those due now; one that a handler sets anew waits for the next turn. */
static void
run_timers(struct loop *loop)
{
	if (loop->n_heap == 0)
		return;
	loop->running = mono_now();
	while (loop->n_heap > 0 &&
	    !mono_before(loop->running, loop->heap[0]->due)) {
		struct loop_timer *timer = loop->heap[0];

		heap_remove(loop, timer);
		timer->fn(timer->ctx);
	}
	loop->running.ns = 0;
}

/* Room for all events at once, or the order among them would be lost; short of
   memory, what there is room for. Up to FEW_EVENTS the stack has it. */
static void
make_room(struct loop *loop)
{
	struct epoll_event *events;

	if (loop->n_slots <= FEW_EVENTS || loop->n_slots <= loop->events_cap)
		return;
	events = reallocarray(loop->events, loop->n_slots, sizeof(*events));
	if (events == NULL)
		return;
	loop->events = events;
	loop->events_cap = loop->n_slots;
}

/* ---- later ---- */

void
loop_later(struct loop *loop, struct loop_later *later,
    bool (*step)(void *ctx), void *ctx)
{
	struct loop_later **end = &loop->later;

	if (later->waits)
		return;
	while (*end != NULL)
		end = &(*end)->next;
	*later = (struct loop_later){
		.step = step, .ctx = ctx, .waits = true,
		.by = mono_add_ms(mono_now(), LOOP_LATER_MS),
	};
	*end = later;
}

void
loop_later_end(struct loop *loop, struct loop_later *later)
{
	for (struct loop_later **p = &loop->later; later->waits && *p != NULL;
	    p = &(*p)->next)
		if (*p == later) {
			*p = later->next;
			break;
		}
	later->waits = false;
}

static void
step_later(struct loop *loop, bool idle)
{
	struct loop_later *first = loop->later;

	if (first == NULL || (!idle && mono_before(mono_now(), first->by)))
		return;
	if (!first->step(first->ctx))
		loop_later_end(loop, first);
}

uint64_t
loop_turn_number(const struct loop *loop)
{
	return loop->turn;
}

bool
loop_budget_left(const struct loop *loop, struct loop_budget *budget,
    int64_t ns)
{
	struct mono now = mono_now();

	/* The first turn, before any event, is number 0. */
	if (budget->turn != loop->turn || budget->until.ns == 0) {
		budget->turn = loop->turn;
		budget->until = (struct mono){ now.ns + ns };
	}
	return mono_before(now, budget->until);
}

void
loop_at_rest(struct loop *loop, void (*fn)(void))
{
	loop->at_rest = fn;
}

static void
rest(struct loop *loop, int ms)
{
	void (*fn)(void) = loop->at_rest;

	if (fn == NULL || (ms >= 0 && ms < REST_MS))
		return;
	loop->at_rest = NULL;
	fn();
}

void
loop_turn(struct loop *loop)
{
	struct epoll_event few[FEW_EVENTS];
	struct epoll_event *events = few;
	int n, ms, max = FEW_EVENTS;

	make_room(loop);
	if (loop->events_cap > FEW_EVENTS) {
		events = loop->events;
		max = (int)loop->events_cap;
	}
	ms = loop->later != NULL ? 0 : wait_ms(loop);
	if (loop->later == NULL)
		rest(loop, ms);
	n = epoll_wait(loop->epoll, events, max, ms);
	assert(n >= 0 || errno == EINTR);
	loop->turn++;
	if (n > 0) {
		dispatch(loop, events, n, false);
		dispatch(loop, events, n, true);
	}
	run_timers(loop);
	step_later(loop, n <= 0);
}
