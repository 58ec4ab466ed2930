/* Opening a file whose directory may belong to somebody we do not trust. */
#ifndef BASE_OPEN_TRUSTED_H
#define BASE_OPEN_TRUSTED_H

#include <sys/types.h>

struct error;

/*
 * As open(2), of an absolute path, but symbolic links are only followed, anywhere
 * in it, if they belong to root or to us: who owns a directory could otherwise
 * have us write to, or read, a file of root's. O_CLOEXEC is implied. -errno with
 * words, in which the path is not: -ELOOP also for such a link.
 */
int open_trusted(const char *path, int flags, mode_t mode, struct error *err);

/* Links in `dir`, absolute and without empty or `.` parts, are followed whoever
   they belong to, where a path begins with it: whoever has started us has named
   it, and who owns those has what we do in his hands anyway. Borrowed, NULL for
   none. */
void open_trusted_below(const char *dir);

#endif
