/*
 * Ownership of file descriptors: a variable that owns one starts at -1, and a
 * transfer is visible as fd_take().
 */
#ifndef BASE_FD_H
#define BASE_FD_H

/* Close *fd if it is open and set it to -1; errno is kept. */
void fd_close(int *fd);

/* Hand the descriptor over: returns *fd and leaves -1 behind. */
int fd_take(int *fd);

/*
 * For main(), before anything else is opened: a standard descriptor that is closed must
 * not become something of ours, which whoever inherits it would read or write. It is
 * /dev/null then, for the other direction: what it is used for fails by EBADF, as if it
 * were closed.
 */
void fd_hold_standard(void);

#endif
