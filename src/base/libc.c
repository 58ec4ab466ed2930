#include <sys/syscall.h>

#include <stdint.h>
#include <unistd.h>

#include "base/libc.h"

#ifdef LIBC_LACKS_STATX
int
statx(int dir, const char *path, int flags, unsigned int mask,
    struct statx *ret_stat)
{
	return (int)syscall(SYS_statx, dir, path, flags, mask, ret_stat);
}
#endif

#ifdef LIBC_LACKS_PWRITEV2
ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
	/* In two halves; where a long holds it all, the second is not looked
	   at. */
	return syscall(SYS_pwritev2, fd, iov, (long)n, (long)at,
	    (long)((uint64_t)at >> 32), flags);
}
#endif
