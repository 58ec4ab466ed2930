/*
 * Where lines go: an inherited standard descriptor, or a file of our own.
 * Writing to it waits for no reader, whatever is at the other end (for a few
 * milliseconds where the kernel has no better), and never changes the
 * descriptor for the others who have it.
 */
#ifndef BASE_SINK_H
#define BASE_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct error;

enum sink_kind {
	SINK_NONE,
	SINK_SHARED,	/* as it came: a regular file, or a pipe or terminal
			   that could not be opened again */
	SINK_OWN,	/* a description of our own, non-blocking */
	SINK_SOCKET,	/* as it came, a socket, as a service's is */
};

struct sink {
	enum sink_kind kind;
	int fd;		/* the number that is written to; -1: none */
	bool waits;	/* poll(2) tells when it takes more: no regular file */
};

#define SINK_INIT { .kind = SINK_NONE, .fd = -1 }

/*
 * Take the inherited descriptor `fd`, which stays its owner's and has to stay
 * open. Never fails: what cannot be written to says so when it is written to.
 * What the sink had before is closed.
 */
void sink_inherit(struct sink *sink, int fd);

/*
 * Take the file at `path`: appended to, created 0640. 0 or -errno with words; on
 * failure the sink keeps what it had, else that is closed.
 */
int sink_open(struct sink *sink, const char *path, struct error *err);

/*
 * Write what can be written at once. Returns how many bytes of `len`, which
 * may be fewer, or -errno: -EAGAIN where the reader is slow. A pipe takes up to
 * PIPE_BUF bytes whole or not at all. SIGPIPE is the caller's to ignore,
 * SIGALRM is not to be blocked (base/alarm).
 */
ssize_t sink_write(struct sink *sink, const void *bytes, size_t len);

/*
 * The descriptor to poll for POLLOUT after -EAGAIN or a short write; -1 where
 * there is none (a regular file: a short write is a full disk, and -EAGAIN is
 * not to be expected). Borrowed, and good until the sink is changed or closed.
 */
int sink_poll_fd(const struct sink *sink);

/* Close what is our own of it; the sink may be used again. */
void sink_close(struct sink *sink);

#endif
