/*
 * Looks into other processes, which may hold up whoever looks: reading their
 * memory, their fdinfo or their system call, or copying a descriptor, waits for
 * locks that they hold, and for pages of their file systems; and whoever had a
 * file last waits for its end. A child of ours does it; when it takes long it is
 * left alone with that, and another one takes its place.
 */
#ifndef LINUX_PROCESS_LOOKER_H
#define LINUX_PROCESS_LOOKER_H

#include "linux/process/look_question.h"

/* Are those looks made here, by whoever asks, who may be held up then? Not unless
   it is said: where nobody else may, see linux/process/yama.h. */
void looker_attaches_here(bool here);

/*
 * From now on there is always a child for the next look, if that can be: one that has
 * yet to be started answers late where there is much to do. Returns a descriptor, not
 * the caller's, that is readable when one that was late has answered, until
 * looker_news(): who had no answer may ask again. Or -errno. looker_end() undoes it.
 */
int looker_keep(void);
void looker_news(void);

/* After looker_news(): is it worth while to ask again about this process? Either
   there is an answer, or a child that is free. */
bool looker_has_news_of(pid_t whom);

/*
 * What the look returned, within 5 ms; or, after no more than a millisecond where
 * others have taken that much of late, or the same look has been late before:
 * -ETIMEDOUT: it takes long. It goes on for a while, at least for 100 ms: who asks
 *	again, and the same, gets what it comes to, for two seconds.
 * -EBUSY: it goes on still, or was given up a short time ago.
 * -EAGAIN: the same, but not for the sake of who is looked at: our child did not
 *	get the CPU, has not begun as yet, or there can be none for now.
 * -EMFILE, -ENFILE: there can be none, for want of descriptors.
 * -ETOOMANYREFS: all is there but the descriptors, which could not be sent.
 * Where none could be started for a second, it is made here, but at nobody who has
 * held up a child of late: whoever asks may be held up.
 */
int looker_ask(const struct looker_whom *whom,
    const struct looker_question *question);

/* Is that an error that will be over, sooner or later? */
bool looker_is_held_up(int code);

/* How many looks have come to such an error: who makes many, and concludes from all
   of them, can see whether all were answered. */
uint64_t looker_unanswered(void);

/* Why there has been no child of late, whoever was to be looked at, and for how long:
   -ETIMEDOUT: none comes to its first question; other -errno: none can be started,
   and looks are made here.
   0: there is. */
int looker_trouble(int64_t *ret_ms);

/* For how long some look at this process has been held up of late, without one
   of its kind in between that was not; 0: none is. */
int64_t looker_held_up_ms(pid_t whom);

/* Is this one of our children that look, or did, and is not reaped? That it may be
   held up is nobody's business, nor is its end. */
bool looker_is(pid_t pid);

/* The children end, those of linux/process/helper too, and are reaped, but for
   those that cannot be ended.
   A process that was forked has its own, and leaves its parent's alone. */
void looker_end(void);

/* This child of ours is dead and reaped, whoever it was. Was it one that looks? */
bool looker_reaped(pid_t pid);

#endif
