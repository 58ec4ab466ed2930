/*
 * Looks into workers that may take as long as the worker likes: a child makes them
 * (linux/process/looker), and the loop hears of it. One that has no answer costs its
 * app the look; others wait meanwhile, until the child is given up.
 */
#ifndef DAEMON_WATCH_LOOKS_H
#define DAEMON_WATCH_LOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "linux/loop/loop.h"
#include "linux/process/held_up.h"
#include "linux/process/looker.h"
#include "linux/process/waiting.h"

struct conf_creds;
struct orphans;

/* So many children are left to what holds them up, each by another app. */
#define LOOKS_LEFT_MAX	64

/* More questions than these are not asked at a time; nor about more sockets. */
#define LOOKS_MAX	8
#define LOOKS_INOS_MAX	256

struct looks {
	struct loop *loop;
	struct orphans *orphans;	/* who leave the children alone */
	struct looker child;
	loop_handle handle;
	struct loop_timer late;		/* it has had long enough: … */
	uint64_t seen_to;		/* … at this question, … */
	struct held_up held_up;		/* … this is what it was seen at, … */
	struct mono see_again;		/* … next time then */
	struct mono heard;		/* when the latest answer came */
	TAILQ_HEAD(looks_askeds, looks_asked) asked; /* in the order of the questions */
	size_t n_asked;
	uint64_t last;			/* question */
	uint64_t lost;			/* with which a child has ended; 0: none */
	struct {
		pid_t pid;		/* killed, not reaped; 0: free */
		uint64_t whose;		/* 0: it had not begun */
	} left[LOOKS_LEFT_MAX];
	pid_t ended;			/* the last that did by itself, till it is
					   reaped; 0: none */
	unsigned unbegun;		/* so many in a row have ended so */
	struct mono not_before;		/* is another one started */
};

/* -ENOMEM. Undone by _fini, fine for one that was never begun; nobody is told of
   what is outstanding. It waits until the children are gone, for a second at most:
   for the end of the program, after all else. */
int looks_init(struct looks *s, struct loop *loop, struct orphans *orphans);
void looks_fini(struct looks *s);

/* Questions are about to come: a child begins meanwhile. It takes about as long as a
   start of ours. */
void looks_prepare(struct looks *s);

/* Has everybody else to wait until an answer has come? */
bool looks_are_many(const struct looks *s);

/* Who asks, for which app, about whom, and as whom (inspect_begin()). */
struct looks_whom {
	uint64_t whose;		/* the app, by a number that is no other's, nor 0 */
	pid_t pid;
	const struct conf_creds *creds;
	/* In a turn of the loop, or in looks_await(). 0: *seen, and for how long
	   it was looked; -ETIMEDOUT: it was looked for so long, and there is no
	   answer; -EBUSY: nor was it looked, as another one of the app has none;
	   -ECANCELED: nor is there a child to ask. */
	void (*answered)(void *ctx, int code, enum waiting seen,
	    int64_t took_ns);
	void *ctx;
};

/*
 * waiting_look(). 0: ->answered() will be called, unless looks_forget() is before.
 * -EBUSY: an earlier look at that app has no answer as yet, or at too many others;
 * other -errno: no child can look for now, and who may be held up has to do it.
 */
int looks_waiting(struct looks *s, const struct looks_whom *whom,
    const uint64_t *inos, size_t n);

/* What this one has asked interests nobody any more. */
void looks_forget(struct looks *s, const void *ctx);

/* Wait so long for what this one has asked. 0: there is nothing to wait for any
   more; -ETIMEDOUT: there is no answer as yet. */
int looks_await(struct looks *s, const void *ctx, int64_t ms);

/* This child of ours is about to be reaped, whoever it is. True: it was one of
   these; who has asked it may be told by that. */
bool looks_reaped(struct looks *s, pid_t pid);

/* In the child: what is asked there; returns the exit status. */
int looks_serve(int fd);

#endif
