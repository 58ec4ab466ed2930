/*
 * What a worker listens on may be tried only, and closed again at once: port
 * finders do that, on all addresses. A listener does not begin to listen for
 * that, nor does an address take another one's place; and nobody is told that a
 * program listens elsewhere. What is still there a moment later was meant.
 */
#ifndef DAEMON_ADOPT_ADOPT_TRYOUT_H
#define DAEMON_ADOPT_ADOPT_TRYOUT_H

#include "base/mono.h"
#include "linux/loop/loop.h"

struct error;
struct listener;
struct orphans;
struct seccomp_call;
struct worker;
struct workers;

struct tryouts {
	struct loop *loop;
	struct workers *workers;
	struct orphans *orphans;
	struct loop_timer timer;
	struct mono due;
	struct mono next_look;	/* into the kernel's tables: not before */
	struct mono next_spell;	/* for what nobody waits for: not before */
};

/* -ENOMEM. Undone by _fini. */
int tryout_init(struct tryouts *tryouts, struct loop *loop,
    struct workers *workers, struct orphans *orphans);
void tryout_fini(struct tryouts *tryouts);

/* A server has come to listen on it; its lane is known. If others serve it, or
   it is UDP and bound, that is that. -errno with words. */
int tryout_begin(struct worker *worker, struct listener *listener,
    struct error *err);

/* It is ready: what it listens on was meant. */
void tryout_hurry(struct worker *worker);

/* `call` is a listen(2) on a socket that is none of ours. */
void tryout_elsewhere(struct worker *worker, const struct seccomp_call *call);

/* With the process they are over. */
void tryout_forget(struct worker *worker);

#endif
