/*
 * Things that are to be looked at, each when it is due, with one timer for all
 * of them. For the modules that look.
 */
#ifndef DAEMON_WATCH_LOOK_QUEUE_H
#define DAEMON_WATCH_LOOK_QUEUE_H

#include <stdbool.h>
#include <sys/queue.h>

#include "base/mono.h"
#include "linux/loop/loop.h"

/* A part of what is looked at. */
struct look_entry {
	TAILQ_ENTRY(look_entry) link;
	struct mono due;	/* MONO_NEVER: not for now */
	bool listed;
};

struct look_queue {
	struct loop *loop;
	struct loop_timer timer;
	TAILQ_HEAD(look_entries, look_entry) entries;
};

/* `fn` is called when the timer is due, and sets it again. -ENOMEM. Undone by
   _fini, when nothing is listed any more. */
int look_queue_init(struct look_queue *q, struct loop *loop,
    void (*fn)(void *ctx), void *ctx);
void look_queue_fini(struct look_queue *q);

/* Behind the others; due never. */
void look_queue_add(struct look_queue *q, struct look_entry *e);
/* Fine for one that is not listed. The timer stays as it is. */
void look_queue_remove(struct look_queue *q, struct look_entry *e);
/* Behind the others again. */
void look_queue_rotate(struct look_queue *q, struct look_entry *e);

/* Due in `ms` milliseconds from `now`; the timer comes no later. */
void look_queue_set(struct look_queue *q, struct look_entry *e,
    struct mono now, int64_t ms);

/* The first that is due, or NULL where none is to be looked at. */
struct look_entry *look_queue_first(const struct look_queue *q);

/* The timer, for nothing else than this. */
void look_queue_wake(struct look_queue *q, struct mono when);

#endif
