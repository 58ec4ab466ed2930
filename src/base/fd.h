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

#endif
