/* What Linux has and not every C library: musl has these from 1.2.5 on. */
#ifndef BASE_LIBC_H
#define BASE_LIBC_H

#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef STATX_INO
#define LIBC_LACKS_STATX
#include <linux/stat.h>
int statx(int dir, const char *path, int flags, unsigned int mask,
    struct statx *ret_stat);	/* statx(2) */
#endif

#ifndef RWF_NOWAIT
#define LIBC_LACKS_PWRITEV2
#define RWF_NOWAIT	0x8
ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t at,
    int flags);			/* pwritev2(2) */
#endif

#endif
