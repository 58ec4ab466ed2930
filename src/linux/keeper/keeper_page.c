#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/keeper/keeper_page.h"
#include "linux/ledger/descriptors.h"

/* A descriptor, and what it is. */
struct own_fd {
	int fd;
	dev_t dev;
	ino_t ino;
};

/* Private to each process, and the same in both. */
static struct keeper_page *page;
static struct own_fd *own;
static size_t n_own;

struct keeper_page *
keeper_page(void)
{
	return page;
}

/* ---- what is open ---- */

static void
note_own(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	own[n_own++] = (struct own_fd){
		.fd = fd, .dev = st.st_dev, .ino = st.st_ino,
	};
}

static int
note_all(void)
{
	struct descriptors all;
	int code = descriptors_list(NULL, &all);

	if (code < 0 || all.n == 0)
		return code;
	own = calloc(all.n, sizeof(*own));
	for (size_t i = 0; own != NULL && i < all.n; i++)
		note_own(all.v[i]);
	free(all.v);
	return own == NULL ? -ENOMEM : 0;
}

bool
keeper_page_had(int fd)
{
	struct stat st;

	if (page == NULL)
		return true;
	for (size_t i = 0; i < n_own; i++)
		if (own[i].fd == fd)
			return fstat(fd, &st) == 0 &&
			    st.st_dev == own[i].dev && st.st_ino == own[i].ino;
	return false;
}

/* ---- the pages ---- */

int
keeper_page_open(void)
{
	struct keeper_page *p;
	int code = note_all();

	if (code < 0)
		return code;
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	*p = (struct keeper_page){
		.pid = getpid(), .ready_fd = -1, .kept_fd = -1,
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	if (p->wake_fd < 0) {
		code = -errno;
		(void)munmap(p, sizeof(*p));
		return code;
	}
	page = p;
	return 0;
}
