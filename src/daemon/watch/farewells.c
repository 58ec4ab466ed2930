#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "base/mono.h"
#include "core/worker/farewell.h"
#include "daemon/watch/farewells.h"
#include "linux/socket/connections.h"
#include "linux/process/process.h"
#include "linux/process/stands_still.h"
#include "linux/socket/half_close.h"

/* For so long the loop waits until a worker stands still; and of so many, at most,
   it takes what is to be taken meanwhile. */
#define STILL_MS	4
#define STILL_STEP_NS	50000
#define TAKEN_MAX	256

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
 * (epoll(7), Q6). So it is to stand still, all of its group.
 */
struct stop {
	pid_t group;
	bool began;
	bool was;		/* … stopped by somebody else */
	struct mono by;
	pid_t pid;		/* the last that was asked for … */
	bool still;		/* … stands still */
};

static void
wait_until_still(struct stop *s)
{
	const struct timespec step = { .tv_nsec = STILL_STEP_NS };

	while (!(s->still = process_stands_still(s->pid) ||
	    process_threads_stand(s->pid)) &&
	    mono_before(mono_now(), s->by))
		(void)nanosleep(&step, NULL);
}

static bool
stands_still(struct stop *s, pid_t pid)
{
	if (!s->began) {
		s->began = true;
		s->by = mono_add_ms(mono_now(), STILL_MS);
		s->was = process_stands_still(s->group);
		if (!s->was)
			process_kill_group(s->group, SIGSTOP);
	}
	if (pid != s->pid) {
		s->pid = pid;
		wait_until_still(s);
	}
	return s->still;
}

static void
stop_end(const struct stop *s)
{
	if (s->began && !s->was)
		process_kill_group(s->group, SIGCONT);
}

int
farewells_look(struct farewells *f, const struct connections *look,
    pid_t group, bool now)
{
	struct stop stop = { .group = group };
	size_t n = look->n < FAREWELLS_MAX ? look->n : FAREWELLS_MAX;
	struct farewell *v = calloc(n > 0 ? n : 1, sizeof(*v));
	size_t at = 0;
	int taken = 0;

	if (v == NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct connection *c = &look->v[i];

		v[i] = recall(f, &at, c->ino);
		if (farewell_look(&v[i], &c->conn) && now && taken >= 0 &&
		    taken < TAKEN_MAX && stands_still(&stop, c->pid)) {
			int code = half_close(c->pid, c->fd, c->ino, &c->conn);

			if (code == 0)
				taken++;
			else if (code == -EPERM)
				taken = code;
		}
	}
	stop_end(&stop);
	free(f->v);
	f->v = v;
	f->n = n;
	return taken;
}

void
farewells_free(struct farewells *f)
{
	free(f->v);
	*f = (struct farewells){ .n = 0 };
}
