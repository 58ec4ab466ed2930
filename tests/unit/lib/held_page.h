/* A page that nobody brings (userfaultfd(2)): whoever copies from it in a system
   call sleeps, with all that he has locked. */
#ifndef TESTS_UNIT_LIB_HELD_PAGE_H
#define TESTS_UNIT_LIB_HELD_PAGE_H

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#define HELD_PAGE_NEEDS	"needs userfaultfd(2) of faults in system calls\n"

/* NULL: it cannot be had here. It is there as long as this process. */
static inline void *
held_page(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	range.range.start = (uintptr_t)page;
	range.range.len = size;
	return fd >= 0 && page != MAP_FAILED &&
	    ioctl(fd, UFFDIO_API, &api) == 0 &&
	    ioctl(fd, UFFDIO_REGISTER, &range) == 0 ? page : NULL;
}

#endif
