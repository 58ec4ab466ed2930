/* To go on in the background, as a daemon does. */
#ifndef LINUX_KEEPER_BACKGROUND_H
#define LINUX_KEEPER_BACKGROUND_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

/* What is told to who waits: one of these, its text, and NUL. The end of the file
   without the last one says that it will not come. */
#define BACKGROUND_LOGS		'L'	/* the log of that path has the words from now
					   on */
#define BACKGROUND_FAILED	'F'	/* these apps have failed so far */
#define BACKGROUND_READY	'R'

/* Of which that much is read. */
#define BACKGROUND_TEXT_MAX	PIPE_BUF

struct background_told {
	bool ready;
	char log[BACKGROUND_TEXT_MAX];		/* empty: it has none so far */
	char failed[BACKGROUND_TEXT_MAX];	/* empty: none */
};

void background_tell(int fd, char what, const char *text);

/*
 * Fork; the child has a session of its own, and returns 0 with *ret_fd, to which
 * background_tell() writes, and which it closes then. The parent returns the
 * child's pid with *ret_fd, from which it reads. -errno.
 */
pid_t background_fork(int *ret_fd);

/*
 * In the parent: wait until it is ready, or has ended; signals to stop are passed
 * on meanwhile. Returns the exit status, or dies as the child did. Where it is not
 * ready and has a log, only that says why.
 */
int background_await(pid_t pid, int fd, struct background_told *ret);

/* From now on standard output and error are `log`, and there is no standard input.
   -1: there is no log any more, they stay what they are. */
void background_drop_streams(int log);

#endif
