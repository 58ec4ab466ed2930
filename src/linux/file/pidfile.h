/* The pid file: written whole, locked for as long as we live. */
#ifndef LINUX_FILE_PIDFILE_H
#define LINUX_FILE_PIDFILE_H

#include <stdbool.h>
#include <sys/types.h>

struct error;

struct pidfile {
	int fd;		/* holds the lock; -1: none */
	char *path;
};

#define PIDFILE_INIT { .fd = -1 }

/*
 * Write `pid`, by which we are known, to a temporary file, lock that (fcntl(2)), and put
 * it into place. -EBUSY with words ("already running, pid N") when the file that is
 * there is locked: after a second at most, if N is no process. Else -errno with words.
 */
int pidfile_create(const char *path, pid_t pid, struct pidfile *ret_pidfile,
    struct error *err);

/* One that was made for `path` and is open as `fd`, which is taken, with its lock.
   -ENOMEM with words. */
int pidfile_go_on(const char *path, int fd, struct pidfile *ret_pidfile,
    struct error *err);

/* Is the file at the path still ours? */
bool pidfile_is_there(const struct pidfile *pidfile);

/* Remove the file if it is still ours, and let the lock go. */
void pidfile_remove(struct pidfile *pidfile);

#endif
