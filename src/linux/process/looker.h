/*
 * Looks into other processes, which may hold up whoever looks: reading their
 * memory, their fdinfo or their system call, or copying a descriptor, waits for
 * locks that they hold, and for pages of their file systems; and whoever had a
 * file last waits for its end. A child of ours does it; when it takes long it is
 * left alone with that, and another one takes its place. It is there while there
 * are looks, and ends by itself a little later.
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
	bool attaches;		/* it asks for the rights of PTRACE_ATTACH */
};

/* Are those looks made here, by whoever asks, who may be held up then? Not unless
   it is said: where nobody else may, see linux/process/yama.h. */
void looker_attaches_here(bool here);

/*
 * What the look returned, within 5 ms, or up to 40 ms where our child does not get
 * the CPU; or, after no more than a millisecond where others have taken that much
 * of late, or the same look has been late before:
 * -ETIMEDOUT: it takes long. It goes on for a while, at least for 100 ms: who asks
 *	again, and the same, gets what it comes to.
 * -EBUSY: it goes on still, or was given up a short time ago.
 * -EAGAIN: the same, but not for the sake of who is looked at: our child did not
 *	get the CPU, or there can be none for now.
 * -EMFILE, -ENFILE: there can be none, for want of descriptors.
 * -ETOOMANYREFS: all is there but the descriptors, which could not be sent.
 */
int looker_ask(const struct looker_whom *whom,
    const struct looker_question *question);

/* Is that an error that will be over, sooner or later? */
bool looker_is_held_up(int code);

/* Why there has been no child of late, whoever was to be looked at: -ETIMEDOUT: none
   comes to its first question; other -errno: none can be started. 0: there is. */
int looker_trouble(void);

/* For how long some look at this process has been held up of late, without one
   of its kind in between that was not; 0: none is. */
int64_t looker_held_up_ms(pid_t whom);

/* Is this one of our children that look, or did, and is not reaped? That it may be
   held up is nobody's business, nor is its end. */
bool looker_is(pid_t pid);

/* The child at hand ends, and is reaped, and so do the others if they can be ended.
   A process that was forked has its own, and leaves its parent's alone. */
void looker_end(void);

/* This child of ours is dead and reaped, whoever it was. Was it one that looks? */
bool looker_reaped(pid_t pid);

#endif
