/*
 * The client's end of a control socket: connects, sends requests, reads lines,
 * each with a time limit and no more memory than the longest line takes.
 */
#ifndef LINUX_CONTROL_CONTROL_LINK_H
#define LINUX_CONTROL_CONTROL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/mono.h"

struct answer_line;
struct request;
struct error;

struct control_link {
	int fd;
	char *path;	/* as it was given */
	pid_t pid;	/* of clusterd; 0: in a namespace not seen from here */
	uint64_t supervisor;	/* … the how-manieth one greeted */
	bool supervised;	/* … it has told */
	char *buffer;	/* ANSWER_LINE_MAX bytes */
	size_t start;	/* of what was not read yet */
	size_t scanned;	/* up to here there is no newline */
	size_t end;
};

#define CONTROL_LINK_INIT { .fd = -1 }

/*
 * Connect, and read the greeting, until `deadline`; a few times, where the
 * connection ends before, as it does when a supervisor is killed. With words, that begin with
 * the path: -ENOENT, nothing is there; -ECONNREFUSED, a file is there and
 * nobody behind it; -EACCES, the user may not; -ETIMEDOUT, it does not answer;
 * -EPROTO, it is no clusterd; -EPROTONOSUPPORT, it is a newer one; -errno.
 */
int control_link_open(struct control_link *client, const char *path,
    struct mono deadline, struct error *err);

void control_link_close(struct control_link *client);

/* -errno with words: -ECONNRESET, nobody is there any more. */
int control_link_send(struct control_link *client,
    const struct request *request, struct error *err);

/*
 * The next line, which is valid until the next call. Waits until `deadline` and
 * for `other_fd` (-1: none). 1: here it is. 0: the connection has ended.
 * -EINTR: a signal, or other_fd can be read. -ETIMEDOUT. With words: -EPROTO,
 * what comes is no line of the protocol; -errno.
 */
int control_link_read(struct control_link *client, struct mono deadline,
    int other_fd, struct answer_line *ret_line, struct error *err);

/* Would the next read have to wait? */
bool control_link_idle(struct control_link *client);

#endif
