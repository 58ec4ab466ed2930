#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "linux/child/fd_store.h"
#include "linux/child/sd_notify.h"

/* For all together. */
#define WAIT_MS	1000

/* As systemd's, which takes no names that are longer. */
#define NAME_MAX_LEN	255

void
fd_store_open(struct fd_store *s, struct sd_notify *up)
{
	const char *value = getenv("FDSTORE");
	uint64_t n;

	*s = (struct fd_store){ .up = NULL };
	if (up->fd < 0 || value == NULL ||
	    !num_parse(value, 1, UINT32_MAX, &n))
		return;
	s->up = up;
	s->room = (size_t)n;
}

void
fd_store_begin(struct fd_store *s)
{
	s->until = (struct mono){ .ns = 0 };
	s->gave_up = false;
}

bool
fd_store_is_there(const struct fd_store *s)
{
	return s->up != NULL;
}

static int
tell(struct fd_store *s, const char *text, int fd)
{
	int code;

	if (s->up == NULL)
		return -ENOTCONN;
	if (s->gave_up)
		return -ETIMEDOUT;
	if (s->until.ns == 0)
		s->until = mono_add_ms(mono_now(), WAIT_MS);
	code = sd_notify_now(s->up, text, fd, s->until);
	s->gave_up = code < 0;
	return code;
}

int
fd_store_put(struct fd_store *s, const char *name, int fd)
{
	char text[NAME_MAX_LEN + 64];
	int code;

	if (s->room == 0)
		return -ENOSPC;
	/* It may be that its queue hangs up, and is to be kept all the same. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
	code = tell(s, text, fd);
	if (code == 0)
		s->room--;
	return code;
}

int
fd_store_remove(struct fd_store *s, const char *name)
{
	char text[NAME_MAX_LEN + 64];

	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return tell(s, text, -1);
}

int
fd_store_await(struct fd_store *s)
{
	struct pollfd p = { .events = 0 };
	int ends[2], code;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	code = tell(s, "BARRIER=1", ends[1]);
	fd_close(&ends[1]);
	p.fd = ends[0];
	if (code == 0 && poll(&p, 1, WAIT_MS) <= 0)
		code = -ETIMEDOUT;
	fd_close(&ends[0]);
	return code;
}
