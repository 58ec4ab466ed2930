/*
 * The directory for workers' sd_notify(3) sockets: this clusterd's own, removed
 * at its end, and by the next one if it was killed. A lock on it (flock(2))
 * tells that its owner lives; systemd-tmpfiles(8) leaves such ones alone too.
 */
#ifndef LINUX_CHILD_NOTIFY_DIR_H
#define LINUX_CHILD_NOTIFY_DIR_H

#include <stdbool.h>

struct error;

struct notify_dir {
	int fd;		/* with the lock; -1: there is none */
	char *path;
};

#define NOTIFY_DIR_INIT { .fd = -1 }

/* A socket's path there must fit, with a name of so many bytes. */
#define NOTIFY_NAME_MAX 20

/*
 * Make it below `runtime`, a directory to which nobody else may write (NULL:
 * there is none), or else below $TMPDIR or /tmp; where it is the `first`, remove
 * those of the dead there. Does not wait. -errno with words: it is nowhere to be had.
 */
int notify_dir_open(const char *runtime, bool first,
    struct notify_dir *ret_dir, struct error *err);

/* One that another has made: the descriptor is the directory's from now on. -ENOMEM:
   it is closed. */
int notify_dir_take(struct notify_dir *dir, int fd, const char *path);

/* Remove it with what is left in it. NULL path and -1 are fine. */
void notify_dir_close(struct notify_dir *dir);

#endif
