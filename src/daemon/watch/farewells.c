#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mono.h"
#include "core/worker/farewell.h"
#include "daemon/watch/farewells.h"
#include "linux/process/stands_still.h"
#include "linux/socket/connections.h"
#include "linux/socket/half_close.h"

/* For so long, at most, the loop waits until processes stand still, and takes what is
   to be taken meanwhile. */
#define STILL_MS	4

/* Of more connections than these, nothing is learnt of the others. */
#define FAREWELLS_MAX 4096

/* What is known of it; both lists are in the order of inodes. */
static struct farewell
recall(const struct farewells *f, size_t *at, uint64_t ino)
{
	while (*at < f->n && f->v[*at].ino < ino)
		(*at)++;
	return *at < f->n && f->v[*at].ino == ino ? f->v[*at] :
	    (struct farewell){ .ino = ino };
}

/*
 * While we have a connection too, a server that closes it ends nothing, and its
 * epoll instance goes on to tell of it, with a pointer to what the server has freed
 * (epoll(7), Q6). So it is to stand still. Only what a supervisor that comes after us
 * would let go on: its group.
 */
static int
stop_begin(struct process_stop *s, pid_t pid, pid_t group, struct mono by)
{
	return getpgid(pid) == group ? process_stop_begin(s, pid, by) :
	    -EAGAIN;
}

/* One that may be taken. */
struct due {
	const struct connection *c;
	struct farewell *f;
};

static int
compare_pids(const void *a, const void *b)
{
	const struct due *x = a, *y = b;

	return (x->c->pid > y->c->pid) - (x->c->pid < y->c->pid);
}

/* It has moved, or gone, or there was no time: that may be otherwise soon. */
static bool
may_be_tried_again(int code)
{
	return code == -EAGAIN || code == -EBADF || code == -ESRCH;
}

/* Those of one process. Returns how many were taken; -errno: none can be. */
static int
take_of_one(const struct due *due, size_t n, pid_t group, struct mono by)
{
	struct process_stop stop;
	int taken = 0, code = stop_begin(&stop, due->c->pid, group, by);

	if (code < 0)
		return may_be_tried_again(code) ? 0 : code;
	for (size_t i = 0; i < n && code >= 0 &&
	    (i == 0 || mono_before(mono_now(), by)); i++) {
		const struct connection *c = due[i].c;

		code = half_close(c->pid, c->fd, c->ino, &c->conn);
		due[i].f->taken = code == 0;
		taken += code == 0;
		if (may_be_tried_again(code))
			code = 0;
	}
	process_stop_end(&stop);
	return code < 0 ? code : taken;
}

/* Process by process, as far as there is time. */
static int
take(struct due *due, size_t n, pid_t group)
{
	struct mono by = mono_add_ms(mono_now(), STILL_MS);
	int taken = 0;

	qsort(due, n, sizeof(*due), compare_pids);
	for (size_t i = 0, end; i < n && (i == 0 ||
	    mono_before(mono_now(), by)); i = end) {
		int code;

		for (end = i + 1; end < n && due[end].c->pid == due[i].c->pid;)
			end++;
		code = take_of_one(&due[i], end - i, group, by);
		if (code < 0)
			return code;
		taken += code;
	}
	return taken;
}

int
farewells_look(struct farewells *f, const struct connections *look,
    pid_t group, bool now)
{
	size_t n = look->n < FAREWELLS_MAX ? look->n : FAREWELLS_MAX;
	struct farewell *v = calloc(n > 0 ? n : 1, sizeof(*v));
	struct due *due = now && !f->denied ?
	    calloc(n > 0 ? n : 1, sizeof(*due)) : NULL;
	size_t at = 0, n_due = 0;
	int taken = 0;

	if (v == NULL) {
		free(due);
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		const struct connection *c = &look->v[i];

		v[i] = recall(f, &at, c->ino);
		if (farewell_look(&v[i], &c->conn) && due != NULL)
			due[n_due++] = (struct due){ .c = c, .f = &v[i] };
	}
	if (n_due > 0)
		taken = take(due, n_due, group);
	free(due);
	free(f->v);
	f->v = v;
	f->n = n;
	f->denied |= taken < 0;
	return taken;
}

void
farewells_free(struct farewells *f)
{
	free(f->v);
	*f = (struct farewells){ .n = 0 };
}
