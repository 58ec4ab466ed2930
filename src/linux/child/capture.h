/* A program that is asked for a text, and waited for. */
#ifndef LINUX_CHILD_CAPTURE_H
#define LINUX_CHILD_CAPTURE_H

#include <stddef.h>

#include "base/mono.h"

struct error;

#define CAPTURE_FD	3

/*
 * Run argv, looked up in PATH, and take what it writes to descriptor 3, at most
 * `max` bytes; its standard output is our standard error. It has until the
 * deadline, then all of its process group is killed. 0: it ended with status 0;
 * the caller frees *ret_text (NUL added). -errno with words: -ENOENT: there is no
 * such program; -ETIMEDOUT; -EFBIG; -EIO: it failed.
 */
int capture(char *const argv[], size_t max, struct mono deadline,
    char **ret_text, size_t *ret_len, struct error *err);

#endif
