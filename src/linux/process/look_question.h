/* What linux/process/looker is asked. */
#ifndef LINUX_PROCESS_LOOK_QUESTION_H
#define LINUX_PROCESS_LOOK_QUESTION_H

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
   long. And as whom, see inspect_begin(); NULL: as we are. What comes late is an
   answer for that occasion alone. */
struct looker_whom {
	pid_t pid;
	const struct conf_creds *creds;
	uint64_t occasion;
};

struct looker_question {
	looker_fn *fn;
	const void *arg;
	size_t arg_len;
	void *ret;		/* untouched unless an answer has come */
	size_t ret_len;
	struct looker_fds *fds;	/* the caller's then; NULL: none are sent */
	bool once;		/* who asks does not come again: it is waited for
				   up to 40 ms if it works, or would if it had the
				   CPU */
	bool later;		/* who asks comes again when there is news: where
				   that is told (looker_keep()), it is not waited
				   for, and answered with others of that kind */
	pid_t *by;		/* the child that it is for, if it is there yet,
				   and which it was, as far as it has answered; 0:
				   any. NULL: the same */
	bool attaches;		/* it asks for the rights of PTRACE_ATTACH */
};

#endif
