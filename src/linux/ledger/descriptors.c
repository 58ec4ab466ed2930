#include <sys/eventfd.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "linux/ledger/descriptors.h"
#include "linux/socket/socket_close.h"

#define FIRST 3		/* behind the standard streams */

static int
add(struct descriptors *d, size_t *room, int fd)
{
	if (d->n == *room) {
		size_t more = *room == 0 ? 64 : 2 * *room;
		int *v = reallocarray(d->v, more, sizeof(*v));

		if (v == NULL)
			return -ENOMEM;
		d->v = v;
		*room = more;
	}
	d->v[d->n++] = fd;
	return 0;
}

static int
list_by_proc(DIR *dir, bool (*but)(int fd), struct descriptors *d)
{
	const struct dirent *entry;
	size_t room = 0;
	int code = 0;

	while (code == 0 && (entry = readdir(dir)) != NULL) {
		uint64_t fd;

		if (num_parse(entry->d_name, FIRST, INT32_MAX, &fd) &&
		    (int)fd != dirfd(dir) &&
		    (but == NULL || !but((int)fd)))
			code = add(d, &room, (int)fd);
	}
	return code;
}

/* The kernel gives the lowest number that is free. */
#define GAP	(1L << 20)

/* Where there is no /proc. The limit may be beyond all bounds. */
static int
list_by_number(bool (*but)(int fd), struct descriptors *d)
{
	long end = sysconf(_SC_OPEN_MAX);
	size_t room = 0;
	int code = 0;

	long last = FIRST;

	for (int fd = FIRST; code == 0 && fd < end && fd < last + GAP; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		last = fd;
		if (but == NULL || !but(fd))
			code = add(d, &room, fd);
	}
	return code;
}

static int
compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Those that are in nobody's way, of so many. */
#define STRAY	1024

/* The first number behind one that is open which is free, by a copy of `ours`; where
   none can be made, the next one, of which nothing is known. */
static int
behind(int fd, int ours)
{
	int free_one = ours < 0 ? -1 : fcntl(ours, F_DUPFD_CLOEXEC, fd + 1);

	if (free_one < 0)
		return fd + 1;
	close(free_one);
	return free_one;
}

/* `n` are open but for `ours`. *ret_seen: so many were found. */
static int
list_runs(bool (*but)(int fd), struct descriptors *d, long n, int ours,
    long *ret_seen)
{
	const long end = 2 * n + STRAY;
	size_t room = 0;
	long seen = 0;
	int fd = 0, code = 0;

	while (code == 0 && seen < n && fd < end) {
		int stop;

		if (fcntl(fd, F_GETFD) < 0) {
			fd++;
			continue;
		}
		for (stop = behind(fd, ours); code == 0 && fd < stop; fd++) {
			if (fd == ours)
				continue;
			seen++;
			if (fd >= FIRST && (but == NULL || !but(fd)))
				code = add(d, &room, fd);
		}
	}
	*ret_seen = seen;
	return code;
}

/* The folder's size is how many there are, since Linux 6.2; to read it makes an inode
   for each. *ret_done: that was all of them. */
static int
list_by_count(bool (*but)(int fd), struct descriptors *d, bool *ret_done)
{
	struct stat st;
	int ours, code;
	long seen;

	*ret_done = false;
	if (stat("/proc/self/fd", &st) < 0 || st.st_size <= 0 ||
	    st.st_size > INT32_MAX / 4)
		return 0;
	/* Nobody waits where it is closed, and it holds nothing. */
	ours = eventfd(0, EFD_CLOEXEC);
	code = list_runs(but, d, (long)st.st_size, ours, &seen);
	fd_close(&ours);
	*ret_done = seen == st.st_size;
	return code;
}

static int
list(bool (*but)(int fd), struct descriptors *d)
{
	bool done;
	int code = list_by_count(but, d, &done);
	DIR *dir;

	if (code < 0 || done)
		return code;
	free(d->v);
	*d = (struct descriptors){ .v = NULL };
	dir = opendir("/proc/self/fd");
	if (dir == NULL)
		return list_by_number(but, d);
	code = list_by_proc(dir, but, d);
	closedir(dir);
	return code;
}

int
descriptors_list(bool (*but)(int fd), struct descriptors *ret)
{
	struct descriptors d = { .v = NULL };
	int code = list(but, &d);

	if (code < 0) {
		free(d.v);
		return code;
	}
	if (d.n > 0)
		qsort(d.v, d.n, sizeof(*d.v), compare);
	*ret = d;
	return 0;
}

bool
descriptor_is_socket(int fd, uint64_t ino)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    st.st_ino == ino;
}

/* NULL: it is not there, or was taken. */
static int *
find(const struct descriptors *d, int fd)
{
	size_t first = 0, end = d->n;

	while (first < end) {
		size_t middle = first + (end - first) / 2;

		/* -1 - fd: that one was taken. */
		int there = d->v[middle] >= 0 ? d->v[middle] :
		    -1 - d->v[middle];

		if (there == fd)
			return d->v[middle] >= 0 ? &d->v[middle] : NULL;
		if (there < fd)
			first = middle + 1;
		else
			end = middle;
	}
	return NULL;
}

bool
descriptors_has(const struct descriptors *d, int fd)
{
	return find(d, fd) != NULL;
}

/* The place is kept, so that the rest is in order. */
bool
descriptors_take(struct descriptors *d, int fd)
{
	int *place = find(d, fd);

	if (place == NULL)
		return false;
	*place = -1 - fd;
	return true;
}

/* False: it stays. */
static bool
close_one(int fd, void (*before)(void *ctx, int fd), void *ctx)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return true;
	/* Only what has no inode of its own has no type (fs/anon_inodes.c). */
	if ((st.st_mode & S_IFMT) == 0) {
		if (before != NULL)
			before(ctx, fd);
		return false;
	}
	if (S_ISSOCK(st.st_mode))
		socket_close(&fd);
	else
		fd_close(&fd);
	return true;
}

void
descriptors_close(struct descriptors *d, void (*before)(void *ctx, int fd),
    void *ctx)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n; i++)
		if (d->v[i] >= 0 && !close_one(d->v[i], before, ctx))
			d->v[n++] = d->v[i];
	d->n = n;
}

bool
descriptors_close_rest(struct descriptors *d)
{
	if (d->n > 0)
		fd_close(&d->v[--d->n]);
	if (d->n > 0)
		return true;
	free(d->v);
	*d = (struct descriptors){ .v = NULL };
	return false;
}
