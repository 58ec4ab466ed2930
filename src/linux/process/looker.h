/*
 * Looks into other processes, which may hold up whoever looks: reading their
 * memory, their fdinfo or their system call, or copying a descriptor, waits for
 * locks that they hold, and for pages of their file systems; and whoever had a
 * file last waits for its end. A child of ours does it, which is given up when
 * it takes long; then another one takes its place. It is there while there are
 * looks, and ends by itself a little later.
 */
#ifndef LINUX_PROCESS_LOOKER_H
#define LINUX_PROCESS_LOOKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct conf_creds;

/* What a question and an answer may have at most. */
#define LOOKER_BYTES_MAX	8192
#define LOOKER_FDS_MAX		16

/* Descriptors that come with an answer, close-on-exec. */
struct looker_fds {
	int v[LOOKER_FDS_MAX];
	size_t n;
};

/*
 * A look: it runs in the child, with a copy of the argument, and fills in *ret
 * and *fds; both are empty at first. What it leaves in *fds is closed there when
 * it has been sent. 0, or -errno.
 */
typedef int looker_fn(const void *arg, void *ret, struct looker_fds *fds);

/* Who is looked at: it has no more looks of that kind for a while if one takes
   long. And as whom, see inspect_begin(); NULL: as we are. */
struct looker_whom {
	pid_t pid;
	const struct conf_creds *creds;
};

struct looker_question {
	looker_fn *fn;
	const void *arg;
	size_t arg_len;
	void *ret;		/* untouched unless an answer has come */
	size_t ret_len;
	struct looker_fds *fds;	/* the caller's then; NULL: none are sent */
};

/*
 * What the look returned, within a few milliseconds, or as long as our child
 * does not get the CPU; or -ETIMEDOUT: it takes long, and was given up; -EBUSY:
 * the same look at the same process was, a short time ago, or is held up still,
 * so that there is none; -EAGAIN: not for the sake of who is looked at, for our
 * child did not get the CPU. Where there can be no child, the look is made here,
 * unless somebody is known to hold up looks: -EAGAIN.
 */
int looker_ask(const struct looker_whom *whom,
    const struct looker_question *question);

/* Is that an error that will be over, sooner or later? */
bool looker_is_held_up(int code);

/* For how long some look at this process has been held up of late, without one
   of its kind in between that was not; 0: none is. */
int64_t looker_held_up_ms(pid_t whom);

/* Is this one of our children that look? That it may be held up is nobody's
   business. */
bool looker_is(pid_t pid);

/* The child at hand ends, and is reaped. A process that was forked calls it, too,
   if it is to look by itself: the one at hand is its parent's. */
void looker_end(void);

/* This child of ours is dead and reaped, whoever it was. */
void looker_reaped(pid_t pid);

#endif
