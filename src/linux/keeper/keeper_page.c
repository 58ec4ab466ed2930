#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "linux/keeper/keeper_page.h"

#define FIRST_FD	3

/* Where there is no /proc to list them. */
#define UNLISTED_MAX	65536

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

struct fds {
	int *v;
	size_t n;
	size_t cap;
};

static int
add(struct fds *fds, int fd)
{
	if (fds->n == fds->cap) {
		size_t cap = fds->cap == 0 ? 64 : fds->cap * 2;
		int *v = reallocarray(fds->v, cap, sizeof(*v));

		if (v == NULL)
			return -ENOMEM;
		fds->v = v;
		fds->cap = cap;
	}
	fds->v[fds->n++] = fd;
	return 0;
}

static int
add_by_trying(struct fds *fds)
{
	long end = sysconf(_SC_OPEN_MAX);
	int code = 0;

	if (end < 0 || end > UNLISTED_MAX)
		end = UNLISTED_MAX;
	for (int fd = FIRST_FD; fd < end && code == 0; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			code = add(fds, fd);
	return code;
}

static int
list(struct fds *fds)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	int code = 0;

	if (dir == NULL)
		return add_by_trying(fds);
	while (code == 0 && (entry = readdir(dir)) != NULL) {
		uint64_t fd;

		if (num_parse(entry->d_name, FIRST_FD, INT32_MAX, &fd) &&
		    (int)fd != dirfd(dir))
			code = add(fds, (int)fd);
	}
	closedir(dir);
	return code;
}

int
keeper_each_fd(void (*fn)(int fd))
{
	struct fds fds = { .v = NULL };
	int code = list(&fds);

	for (size_t i = 0; i < fds.n; i++)
		fn(fds.v[i]);
	free(fds.v);
	return code;
}

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

static size_t n_open;

static void
count(int fd)
{
	(void)fd;
	n_open++;
}

static int
note_all(void)
{
	int code = keeper_each_fd(count);

	if (code < 0 || n_open == 0)
		return code;
	own = calloc(n_open, sizeof(*own));
	return own == NULL ? -ENOMEM : keeper_each_fd(note_own);
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
		.pid = getpid(), .ready_fd = -1,
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
