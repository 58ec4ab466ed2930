/*
 * Deaths, as they come and as many as a turn has room for. What a SIGCHLD names
 * is taken at once; whether there are others, of which the kernel has made one
 * signal, is asked with waitid(P_ALL), which looks at every child. With
 * thousands of them that takes long, so it is done within a budget and not all
 * the time, and when there are too many dead ones for that, child by child.
 */
#ifndef DAEMON_LIFE_REAPER_H
#define DAEMON_LIFE_REAPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "linux/loop/loop.h"
#include "linux/process/child_scan.h"

struct exit_status;
struct life;
struct workers;

struct reaper {
	struct loop *loop;
	struct life *life;
	struct workers *workers;
	void (*orphan_died)(void *ctx);
	void *ctx;
	struct loop_timer again;
	struct mono not_before;		/* the next look at all */
	struct child_scan scan;
	bool scanning;
	bool news;			/* of a death, since the last look */
	bool found;			/* one, in this scan */
	bool worker;			/* … in this look, a worker */
	bool orphan;			/* it was no worker */
	struct loop_timer look;		/* reaper_is_alone(): at all others'
					   children */
	uint64_t n_buried;		/* so many of our children, by now */
};

/* `orphan_died`: one or more, once in a look. -ENOMEM. Undone by _fini. */
int reaper_init(struct reaper *reaper, struct loop *loop, struct life *life,
    struct workers *workers, void (*orphan_died)(void *ctx), void *ctx);
void reaper_fini(struct reaper *reaper);

/* The keeper has reaped it, which has had it of a supervisor before. */
void reaper_fostered_died(struct reaper *reaper, pid_t pid,
    struct exit_status status);

/* There was a keeper, and is none any more: nobody tells of those any more. Where there
   may be any, they are looked at until the end. */
void reaper_is_alone(struct reaper *reaper);

/* SIGCHLD came, which named this child. */
void reaper_child_died(struct reaper *reaper, pid_t pid);

#endif
