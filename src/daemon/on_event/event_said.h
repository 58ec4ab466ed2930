/*
 * What a command of `on_event` writes: its first lines go to the log, so much more
 * is read and thrown away, then it has nobody that reads.
 */
#ifndef DAEMON_ON_EVENT_EVENT_SAID_H
#define DAEMON_ON_EVENT_EVENT_SAID_H

#include <stdbool.h>
#include <stddef.h>

#include "linux/loop/loop.h"

#define EVENT_SAID_LOGGED	4096	/* bytes of them */
#define EVENT_SAID_READ		(1024 * 1024)
#define EVENT_SAID_LINE		500

struct conf_creds;

struct event_said {
	struct loop *loop;
	const char *event;	/* whose; static */
	int fd;
	loop_handle handle;
	size_t read;
	size_t logged;
	size_t len;		/* of what is no line yet */
	char line[EVENT_SAID_LINE];
};

/* *ret_end, which the caller owns, is for the command, of these credentials.
   -errno. */
int event_said_open(struct event_said *said, struct loop *loop,
    const char *event, const struct conf_creds *creds, int *ret_end);

/* Tell what is there, and the rest of a line. Fine for one that is closed. */
void event_said_close(struct event_said *said);

#endif
