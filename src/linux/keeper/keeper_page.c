#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
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

static struct keeper_page *
new_page(void)
{
	void *p = mmap(NULL, sizeof(struct keeper_page),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

/* The table of descriptors is one, and the supervisor's needs; so has the limit to be,
   of those who begin with what another one has left. */
static void
raise_nofile(struct rlimit *ret_before)
{
	struct rlimit most;

	if (getrlimit(RLIMIT_NOFILE, ret_before) < 0)
		*ret_before = (struct rlimit){ 1024, 4096 };
	most = *ret_before;
	most.rlim_cur = most.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &most);
}

int
keeper_page_open(void)
{
	struct keeper_page *p;
	int code = note_all();

	if (code < 0)
		return code;
	p = new_page();
	if (p == NULL)
		return -errno;
	*p = (struct keeper_page){
		.pid = getpid(), .ready_fd = -1, .kept_fd = -1,
		.asker_fd = -1, .ledger_fd = -1,
		.upgrade_fds = { -1, -1, -1 },
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
	};
	if (p->wake_fd < 0) {
		code = -errno;
		(void)munmap(p, sizeof(*p));
		return code;
	}
	p->low_fd = fcntl(p->wake_fd, F_DUPFD_CLOEXEC, 0);
	raise_nofile(&p->nofile);
	page = p;
	return 0;
}

void
keeper_page_close(void)
{
	(void)setrlimit(RLIMIT_NOFILE, &page->nofile);
	fd_close(&page->low_fd);
	fd_close(&page->wake_fd);
	(void)munmap(page, sizeof(*page));
	free(own);
	page = NULL;
	own = NULL;
	n_own = 0;
}

/* ---- from one program to the next ---- */

int
keeper_state_put(int fd, const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0)
			return -errno;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
keeper_state_get(int fd, void *bytes, size_t n)
{
	char *at = bytes;

	while (n > 0) {
		ssize_t done = read(fd, at, n);

		if (done <= 0)
			return done < 0 ? -errno : -EBADMSG;
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
keeper_page_hand_over(int fd)
{
	uint64_t n = n_own;
	int code = keeper_state_put(fd, &n, sizeof(n));

	return code == 0 ? keeper_state_put(fd, own, n_own * sizeof(*own)) :
	    code;
}

static int
take_own(int fd)
{
	uint64_t n;
	int code = keeper_state_get(fd, &n, sizeof(n));

	if (code < 0 || n == 0)
		return code;
	own = calloc((size_t)n, sizeof(*own));
	if (own == NULL)
		return -ENOMEM;
	n_own = (size_t)n;
	return keeper_state_get(fd, own, n_own * sizeof(*own));
}

int
keeper_page_take(int fd)
{
	struct keeper_page *p = new_page();
	int code = p == NULL ? -errno : keeper_state_get(fd, p, sizeof(*p));

	if (code == 0)
		code = take_own(fd);
	if (code == 0)
		page = p;
	return code;
}
