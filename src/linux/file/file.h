/* Small files, read whole; and what a name stands for. */
#ifndef LINUX_FILE_FILE_H
#define LINUX_FILE_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct error;

/*
 * Read a file of at most `max` bytes (also from /proc, where sizes are not
 * known beforehand) and add a NUL. The caller frees *ret_text. -errno, with
 * words when `err` is given; -EFBIG beyond `max`; -EISDIR; -ENOTSUP for what is
 * no regular file, such as a FIFO, which could hold us up or be read by half.
 */
int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len,
    struct error *err);

/* The same, see open_trusted(). */
int file_read_trusted(const char *path, size_t max, char **ret_text,
    size_t *ret_len, struct error *err);

/* As file_read(), but of a longer file only the first `max` bytes. */
int file_read_start(const char *path, size_t max, char **ret_text,
    size_t *ret_len);

/* Is the open file the one of that name, which may have been removed or be another's by
   now? A symbolic link is not followed. False: also where that cannot be told. */
bool file_has_name(int fd, const char *name);

#endif
