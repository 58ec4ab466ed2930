/*
 * One child of ours that looks at other processes, and may sleep there. It serves
 * one question after the other, and ends by itself when nobody is there any more
 * who asks, or fetches what it has answered.
 */
#ifndef LINUX_PROCESS_LOOK_CHILD_H
#define LINUX_PROCESS_LOOK_CHILD_H

#include "base/mono.h"
#include "linux/process/look_question.h"

struct look_child {
	int fd;			/* owned; -1: it is asked no more */
	pid_t pid;		/* 0: none */
	bool begun;		/* it has said that it serves */
	struct mono since;	/* when it was started */
};

/* A question as it is sent: two are the same if all of their bytes are. */
struct look_asked {
	looker_fn *fn;
	uint32_t uid, gid;
	uint32_t as_other, has_user;
	uint64_t with_fds;
	uint64_t occasion;
	size_t ret_len;
	size_t arg_len;
};
void look_child_asked(const struct looker_whom *whom,
    const struct looker_question *question, struct look_asked *ret_asked);

/* 0 or -errno. What it does first is to close what it has of ours, and to say so:
   look_child_await() tells that there is something, look_child_begins() takes it.
   Until then there is nothing that it could be asked. False: it has ended. */
int look_child_start(struct look_child *c);
bool look_child_begins(struct look_child *c);

/* Send it. False: it has ended. */
bool look_child_ask(const struct look_child *c,
    const struct look_asked *asked, const struct looker_question *question);

/* It is not needed for now, and ends by itself after two seconds without a question.
   False: it has ended. */
bool look_child_rest(const struct look_child *c);

/*
 * Wait for what it sends, or its end: for `wait_ms`, and for `starved_ms` if it
 * would go on if it had the CPU, or also if it goes on (`works`). 0; -ETIMEDOUT: it sleeps, or works; -EAGAIN: it
 * did not get the CPU.
 */
int look_child_await(const struct look_child *c, int64_t wait_ms,
    int64_t starved_ms, bool works);

/* Has it sent anything, or ended? */
bool look_child_answered(const struct look_child *c);

/* Does it run, or would if it had the CPU? */
bool look_child_is_runnable(const struct look_child *c);

/* Is there anything of what it has sent? */
bool look_child_has_sent(const struct look_child *c);

/* Has it not come to the question? What was before holds it up. */
bool look_child_is_untaken(const struct look_child *c);

/* Its answer, as of looker_ask(). False: it has ended. */
bool look_child_receive(const struct look_child *c,
    const struct looker_question *question, int *ret_code);

/* It ends by itself, and c->pid stays as it is until it is reaped. Killed, too, if
   that has not been yet. */
void look_child_leave(struct look_child *c);
void look_child_kill(struct look_child *c);

#endif
