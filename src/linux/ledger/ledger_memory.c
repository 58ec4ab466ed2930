#include <sys/mman.h>
#include <sys/resource.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "core/ledger/ledger.h"
#include "linux/ledger/ledger_memory.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U	/* Linux 6.3 */
#endif

/* Where none may be executed, this has to be said. */
static int
make_file(void)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("clusterd-ledger", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("clusterd-ledger", flags);
	return fd < 0 ? -errno : fd;
}

/* Beyond the limit there would be a signal (setrlimit(2)). */
static int
set_size(int fd)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	    limit.rlim_cur < LEDGER_SIZE)
		return -EFBIG;
	if (ftruncate(fd, (off_t)LEDGER_SIZE) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	    F_SEAL_SEAL) < 0)
		return -errno;
	return 0;
}

int
ledger_memory_open(int fd, struct ledger *ret, struct error *err)
{
	void *memory = mmap(NULL, LEDGER_SIZE, PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	if (memory == MAP_FAILED)
		return error_set(err, -errno, "cannot map the ledger: %s",
		    strerror(errno));
	return ledger_open(ret, memory, LEDGER_SIZE, err);
}

int
ledger_memory_new(struct ledger *ret, int *ret_fd, struct error *err)
{
	void *memory = MAP_FAILED;
	int fd = make_file();
	int code = fd < 0 ? fd : set_size(fd);

	if (code == 0) {
		memory = mmap(NULL, LEDGER_SIZE, PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
		code = memory == MAP_FAILED ? -errno : 0;
	}
	if (code < 0) {
		if (fd >= 0)
			fd_close(&fd);
		return error_set(err, code, "cannot make the ledger: %s",
		    strerror(-code));
	}
	ledger_format(ret, memory);
	*ret_fd = fd_take(&fd);
	return 0;
}

void
ledger_memory_renew(const struct ledger *ledger)
{
	struct ledger renewed;

	if (madvise(ledger->memory, ledger->size, MADV_REMOVE) < 0)
		memset(ledger->memory, 0, ledger->size);
	ledger_format(&renewed, ledger->memory);
}
