/*
 * The looks that have not been answered in time, a process and a kind each: their
 * children, and the answers that may come yet. For linux/process/looker alone.
 */
#ifndef LINUX_PROCESS_HELD_UP_H
#define LINUX_PROCESS_HELD_UP_H

#include "base/mono.h"
#include "linux/process/look_child.h"

/* So many are known; of more, the oldest whose child is not there any more is
   forgotten. There must be no more children than that. */
#define HELD_UP_MAX	256

struct held_up {
	pid_t whom;		/* 0: a free place */
	looker_fn *fn;
	struct look_child child;	/* that is there still; fd: of a late
					   answer */
	pid_t by;		/* who was asked, also when it is not there */
	struct look_asked asked;	/* … and the question; */
	void *arg;			/* owned */
	void *ret;			/* owned: what it has come to, as of
					   held_up_collect(), … */
	int code;
	struct mono collected;		/* … and when */
	bool answered;		/* it holds up nobody any more, but nobody has
				   asked for that again as yet */
	bool starved;
	struct mono checked;	/* whether it still is */
	bool began_starved;
	pid_t behind;		/* the child that has this question too, after
				   that of the entry whose child it is; 0: none */
	uint64_t turn;		/* among those behind the same */
	bool later;		/* nobody has waited for it */
	bool spoilt;		/* its child has questions whose answers nobody
				   waits for any more */
	bool slow;		/* its answer came late, and was fetched */
	struct mono began;
	struct mono since;
	struct mono until;
	int gap_ms;
};

/* None is known, and nobody is told: at first, and in a process that was forked,
   whose parent's they are. */
void held_up_reset(bool forked);

/* Is this child late with an answer, since a moment ago? */
bool held_up_is_soon_free(pid_t by);

/* Who has answered meanwhile holds up nobody any more. */
void held_up_settle(pid_t whom, looker_fn *fn);

/* What is known of that look, but for the answers. */
struct held_up *held_up_find(pid_t whom, looker_fn *fn);

/* May there be no such look, for now? 0; -EBUSY; -EAGAIN: for the want of CPU. As
   long as one child of ours sleeps there, no other one is to; with so many that
   `crowded` is true, no other look at the same process. */
int held_up_code(pid_t whom, looker_fn *fn, bool crowded);

/* A look was not answered in time, as its child did not get the CPU or not. The
   child is the entry's then. NULL: it was killed. */
struct held_up *held_up_blame(pid_t whom, looker_fn *fn,
    const struct look_child *child, bool starved);

/* This look was. */
void held_up_forgive(pid_t whom, looker_fn *fn);

/* Its child has that question, and may answer it yet; or there are too many of
   those: then it is killed. */
void held_up_keep_question(struct held_up *h, const struct look_asked *asked,
    const void *arg);

/*
 * Another question for a child that has some which nobody waits for, or that does
 * nothing but wait for the CPU: when it has it, it answers all that it has been asked.
 * False: there is no such child, or it has enough questions.
 */
bool held_up_queue(pid_t whom, const struct look_asked *asked,
    const struct looker_question *question);

/*
 * Who has answered meanwhile is free for the next question, and its answer is kept
 * for a while for who asks that again; but one with descriptors stays where it is
 * until it is fetched. True: *ret_child, which has looked at *ret_whom last, is the
 * caller's; or, where *ret_goes_on, it is not, has another question, and is to be
 * watched again. There may be more.
 */
bool held_up_collect(struct look_child *ret_child, pid_t *ret_whom,
    looker_fn **ret_fn, bool *ret_goes_on);

/* The answer to that question, if it has come late: true; *ret_child is the
   caller's, if its fd is not -1. */
bool held_up_take_late(pid_t whom, const struct look_asked *asked,
    const struct looker_question *question, int *ret_code,
    struct look_child *ret_child);

/* Those whose time is over are killed; nobody may ever ask for them again. */
void held_up_end_overdue(void);

/* This process ends: nothing is known any more. Their children are the caller's to
   kill. */
void held_up_end_all(void);

/* Does one of the children wait for the CPU, and somebody for it? */
bool held_up_starves(void);

/* Has one of them questions that nobody waits for? */
bool held_up_has_later(void);

/* Those whose answers have come late and have not been asked for again: their number,
   or more than `max`. */
size_t held_up_answered(pid_t *ret_whom, size_t max);

/* As looker_held_up_ms(). */
int64_t held_up_ms(pid_t whom);

/* This child is dead, and reaped. */
void held_up_reaped(pid_t pid);

#endif
