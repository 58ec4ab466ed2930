#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "linux/ledger/half_lines.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U	/* Linux 6.3 */
#endif

struct place {
	uint32_t state;		/* 0: free; else which text counts, from 1 on */
	uint32_t len[2];
	uint32_t reserved;
	uint64_t key[2];
	char text[2][HALF_LINES_MAX];
};

#define SIZE (HALF_LINES_PLACES * sizeof(struct place))

struct half_lines {
	struct place *v;
	int fd;
	uint32_t end;		/* the places from here on are free */
};

static struct half_lines *
map(int fd)
{
	struct half_lines *h = calloc(1, sizeof(*h));

	if (h != NULL) {
		h->fd = fd;
		h->v = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	}
	if (h == NULL || h->v == MAP_FAILED) {
		free(h);
		fd_close(&fd);
		return NULL;
	}
	return h;
}

/* Beyond the limit there would be a signal (setrlimit(2)). */
static int
set_size(int fd)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < SIZE)
		return -EFBIG;
	return ftruncate(fd, (off_t)SIZE) < 0 || fcntl(fd, F_ADD_SEALS,
	    F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ? -errno : 0;
}

struct half_lines *
half_lines_new(void)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create("clusterd-lines", flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("clusterd-lines", flags);
	if (fd < 0)
		return NULL;
	if (set_size(fd) < 0) {
		fd_close(&fd);
		return NULL;
	}
	return map(fd);
}

/* Behind the last place that was ever written to: to look at one that was not would
   make the kernel give its page. */
static uint32_t
find_end(int fd)
{
	uint32_t end = 0;

	while (end < HALF_LINES_PLACES) {
		off_t at = lseek(fd, (off_t)(end * sizeof(struct place)),
		    SEEK_DATA);

		if (at < 0)
			return errno == ENXIO ? end : HALF_LINES_PLACES;
		end = (uint32_t)((size_t)at / sizeof(struct place)) + 1;
	}
	return end;
}

struct half_lines *
half_lines_again(int fd)
{
	struct half_lines *h;
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size != SIZE) {
		fd_close(&fd);
		return NULL;
	}
	h = map(fd);
	if (h != NULL)
		h->end = find_end(fd);
	return h;
}

void
half_lines_free(struct half_lines *h)
{
	if (h == NULL)
		return;
	(void)munmap(h->v, SIZE);
	fd_close(&h->fd);
	free(h);
}

int
half_lines_fd(const struct half_lines *h)
{
	return h->fd;
}

static void
publish(struct place *p, uint32_t state)
{
	__atomic_store_n(&p->state, state, __ATOMIC_RELEASE);
}

static uint32_t
take_place(struct half_lines *h)
{
	for (uint32_t i = 0; i < h->end; i++)
		if (h->v[i].state == 0)
			return i;
	return h->end < HALF_LINES_PLACES ? h->end++ : HALF_LINES_NOWHERE;
}

void
half_lines_put(struct half_lines *h, uint32_t *place, uint64_t key,
    const char *text, size_t len)
{
	struct place *p;
	uint32_t other;

	if (*place == HALF_LINES_NOWHERE && len > 0 && len <= HALF_LINES_MAX)
		*place = take_place(h);
	if (*place == HALF_LINES_NOWHERE)
		return;
	p = &h->v[*place];
	if (len == 0 || len > HALF_LINES_MAX) {
		publish(p, 0);
		*place = HALF_LINES_NOWHERE;
		return;
	}
	other = p->state == 1 ? 1 : 0;
	memcpy(p->text[other], text, len);
	p->len[other] = (uint32_t)len;
	p->key[other] = key;
	publish(p, other + 1);
}

/* -1: what stands there is nothing. */
static int
counts(const struct place *p)
{
	int which = p->state == 1 ? 0 : p->state == 2 ? 1 : -1;

	return which < 0 || p->len[which] == 0 ||
	    p->len[which] > HALF_LINES_MAX ? -1 : which;
}

size_t
half_lines_find(struct half_lines *h, uint64_t key, uint32_t *ret_place,
    const char **ret_text)
{
	for (uint32_t i = 0; i < h->end; i++) {
		int which = counts(&h->v[i]);

		if (which < 0 || h->v[i].key[which] != key)
			continue;
		*ret_place = i;
		*ret_text = h->v[i].text[which];
		return h->v[i].len[which];
	}
	return 0;
}

void
half_lines_keep(struct half_lines *h, int (*has)(void *ctx, uint64_t key),
    void *ctx)
{
	uint32_t end = 0;

	for (uint32_t i = 0; i < h->end; i++) {
		int which = counts(&h->v[i]);

		if (which >= 0 && has(ctx, h->v[i].key[which]))
			end = i + 1;
		else if (h->v[i].state != 0)
			publish(&h->v[i], 0);
	}
	h->end = end;
}
