/* Descriptors for the standard streams of a worker. */
#ifndef LINUX_FILE_STDIO_FDS_H
#define LINUX_FILE_STDIO_FDS_H

/*
 * Another open file description of where our own descriptor `fd` leads: a pipe,
 * a terminal, or a file that is appended to. Close-on-exec, the caller's. -errno
 * where there is none to be had: a socket cannot be opened, a file that is not
 * appended to would be written over from its beginning, and a pipe may be
 * another user's.
 */
int stdio_reopen(int fd);

/*
 * Something to read from that has no end and no content: a pipe whose reader is
 * its only writer, so that it stays so whoever dies. Close-on-exec, the
 * caller's. -errno.
 */
int stdio_endless(void);

#endif
