/* To go on in the background, as a daemon does. */
#ifndef LINUX_KEEPER_BACKGROUND_H
#define LINUX_KEEPER_BACKGROUND_H

#include <stdbool.h>
#include <sys/types.h>

/* What is told to who waits; the end of the file says that it will not come. */
#define BACKGROUND_LOGS		'L'	/* the log has the words from now on */
#define BACKGROUND_READY	'R'

/*
 * Fork; the child has a session of its own, and returns 0 with *ret_fd, to which
 * it writes the bytes above, and which it closes then. The parent returns the
 * child's pid with *ret_fd, from which it reads them. -errno.
 */
pid_t background_fork(int *ret_fd);

/*
 * In the parent: wait until it is ready, or has ended; signals to stop are passed
 * on meanwhile. Returns the exit status, or dies as the child did. *ret_logged:
 * it was not ready, and only its log says why.
 */
int background_await(pid_t pid, int fd, bool *ret_logged);

/* From now on there are no standard streams. */
void background_drop_streams(void);

#endif
