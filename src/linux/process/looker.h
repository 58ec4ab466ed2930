/*
 * A child of ours that looks into other processes. To read their memory, their
 * fdinfo or their system call waits for locks that they hold, and for pages of
 * their file systems: whoever looks may sleep for as long as they like, and not even
 * SIGKILL ends that. It is asked, and answers, by a socket; one that does not
 * answer is killed and left alone, and another one takes its place.
 *
 * It is our program, executed once more: a fork would copy our page tables, which
 * takes as long as what is to be avoided.
 */
#ifndef LINUX_PROCESS_LOOKER_H
#define LINUX_PROCESS_LOOKER_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/mono.h"

/* What a question and an answer may have at most. */
#define LOOKER_BYTES_MAX	4096

struct looker {
	int fd;			/* owned; -1: there is none */
	pid_t pid;
	bool begun;
};

#define LOOKER_INIT { .fd = -1 }

/* Our main() does what is said at looker_fd(). Until this is called there can be
   none. */
void looker_can_be(void);

/*
 * The child may stand still while it executes, and is to have no descriptors of ours
 * then: it shares our table, but for those from this number on, by which it has its
 * socket, and which stands for what `blank` does else. Both stay open. Without such a
 * number, or before Linux 5.9, it has copies of all until it has executed.
 */
void looker_lend(int fd, int blank);

/* For main(), before anything else: the descriptor that looker_serve() is to serve,
   and nothing else is to be done; or -1. */
int looker_fd(int argc, char *argv[]);

/*
 * Answer what is asked, one after the other: `answer` has room for LOOKER_BYTES_MAX
 * bytes, and its length is returned. Until nobody is there any more who could ask,
 * or has asked for a fifth of a second, and at first for a second. Returns the exit
 * status.
 */
int looker_serve(int fd, size_t (*fn)(const void *question, size_t len,
    void *answer));

/* 0; -ENOTSUP: there can be none, or it may not look where we may; other -errno.
   It ends with us, and is reaped like any other child. */
int looker_start(struct looker *k);

/* -EAGAIN: it has too many questions already; other -errno: it is gone. They may be
   asked before it has begun. */
int looker_ask(const struct looker *k, const void *question, size_t len);

/* The length of the next answer; 0: none is there; -errno: it is gone; -EPERM: it
   says that it may not do what we may. */
ssize_t looker_receive(struct looker *k, void *answer);

/* This child of ours is about to be reaped, whoever it is, and its number will be
   another's: a struct looker's pid is to be 0 by then. That it is gone is told by its
   descriptor, too. */
void looker_reaped(pid_t pid);

/* It is asked no more, and ends by itself, … */
void looker_leave(struct looker *k);

/* … or is killed, too, if it has not been reaped. */
void looker_kill(struct looker *k);

#endif
