/*
 * The event loop: epoll for descriptors, a heap for timers, one wait for both.
 * With nothing to do it sleeps without a timeout: no system call at all.
 *
 * A turn takes descriptors first, those added with `late` last among them, and
 * timers after all: a worker's word that it is ready is heard before its exit,
 * and both before its deadline.
 *
 * epoll's data is a slot number and its generation, never a pointer, so that
 * an event for something that a handler of the same turn has removed finds
 * nobody. Handlers may add and remove anything.
 */
#ifndef LINUX_LOOP_LOOP_H
#define LINUX_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mono.h"

struct error;
struct loop;

/* `events`: EPOLLIN and so on, as epoll_ctl(2) has them. */
typedef void loop_fn(void *ctx, uint32_t events);

/* Which registration; 0 is none. */
typedef uint64_t loop_handle;

/* -errno with words. */
int loop_new(struct loop **ret_loop, struct error *err);
void loop_free(struct loop *loop);

/*
 * Watch `fd` (level-triggered), which stays the caller's, who must remove the
 * handle before closing it. -errno: -ENOMEM, -ENOSPC (epoll's own limit).
 */
int loop_add(struct loop *loop, int fd, uint32_t events, bool late,
    loop_fn *fn, void *ctx, loop_handle *ret_handle);

/*
 * The same, but the kernel is told later, as by loop_later() below: what is ready
 * is heard of then. Where it cannot be watched after all `fn` is called with no events,
 * and has to forget it. -ENOMEM.
 */
int loop_add_later(struct loop *loop, int fd, uint32_t events, bool late,
    loop_fn *fn, void *ctx, loop_handle *ret_handle);

/* Other events for the same registration; 0 pauses it. -errno. */
int loop_set_events(struct loop *loop, loop_handle handle, uint32_t events);

/* Forget the registration and set *handle to 0; 0 is fine. */
void loop_del(struct loop *loop, loop_handle *handle);

struct loop_timer {
	struct mono due;	/* MONO_NEVER: not set */
	size_t pos;		/* in the heap, when set */
	void (*fn)(void *ctx);
	void *ctx;
};

/*
 * Prepare a timer; reserves its place in the heap, so that setting it later
 * cannot fail. -ENOMEM. Undone by loop_timer_fini(), which is fine for one that
 * was never prepared, if it is all zero.
 */
int loop_timer_init(struct loop *loop, struct loop_timer *timer,
    void (*fn)(void *ctx), void *ctx);
void loop_timer_fini(struct loop *loop, struct loop_timer *timer);

/* Fire once at or after `due`; replaces an earlier setting; MONO_NEVER: off. Of
   one that was never prepared, if it is all zero, nothing comes. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer,
    struct mono due);

/* Fire in `ms` milliseconds, unless it is set already. */
void loop_timer_start(struct loop *loop, struct loop_timer *timer,
    int64_t ms);

/* The number of the present turn, for what is to be done so and so often in
   each. */
uint64_t loop_turn_number(const struct loop *loop);

/* What a kind of work may take of each turn, all of it together; all zero: it has
   taken nothing yet. */
struct loop_budget {
	uint64_t turn;		/* that it is about: … */
	struct mono until;	/* … there is time until then */
};

/* Is there time left for it in this turn? It begins with the first question: `ns`
   from then on. */
bool loop_budget_left(const struct loop *loop, struct loop_budget *budget,
    int64_t ns);

/*
 * Work that nobody waits for, in steps that are short: a step in each turn that has
 * no events, and in each of all from LOOP_LATER_MS after it was asked for on. All zero:
 * none.
 */
#define LOOP_LATER_MS 10

struct loop_later {
	struct loop_later *next;
	bool (*step)(void *ctx);	/* false: that was the last one */
	void *ctx;
	struct mono by;
	bool waits;
};

/* Behind what waits already; of one that does `step` goes on. */
void loop_later(struct loop *loop, struct loop_later *later,
    bool (*step)(void *ctx), void *ctx);

/* No step comes any more. */
void loop_later_end(struct loop *loop, struct loop_later *later);

/* Once, the next time that the loop is about to wait and no timer is due within a second:
   `fn`, which may not touch the loop. */
void loop_at_rest(struct loop *loop, void (*fn)(void));

/*
 * One turn: wait for events or the next timer, and handle them. Never fails:
 * an error of epoll_wait(2) other than EINTR would be a bug of ours.
 */
void loop_turn(struct loop *loop);

#endif
