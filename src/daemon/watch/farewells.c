#include <errno.h>
#include <stdlib.h>

#include "core/worker/farewell.h"
#include "daemon/watch/farewells.h"
#include "linux/socket/connections.h"
#include "linux/socket/half_close.h"

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

/* So many of those that are due. */
struct batch {
	const struct looker_whom *whom;
	struct half_close_of of[HALF_CLOSE_MAX];
	size_t n;
	int taken;		/* or -EPERM */
};

static void
close_batch(struct batch *b)
{
	int codes[HALF_CLOSE_MAX];
	size_t n = b->n;

	b->n = 0;
	if (n == 0 || half_close(b->whom, b->of, n, codes) < 0)
		return;
	for (size_t i = 0; i < n && b->taken >= 0; i++)
		if (codes[i] == 0)
			b->taken++;
		else if (codes[i] == -EPERM)
			b->taken = -EPERM;
}

static void
add(struct batch *b, const struct connection *c)
{
	b->of[b->n++] = (struct half_close_of){
		.pid = c->pid, .fd = c->fd, .ino = c->ino, .conn = c->conn,
	};
	if (b->n == HALF_CLOSE_MAX)
		close_batch(b);
}

int
farewells_look(struct farewells *f, const struct connections *look,
    const struct looker_whom *whom, bool now)
{
	size_t n = look->n < FAREWELLS_MAX ? look->n : FAREWELLS_MAX;
	struct farewell *v = calloc(n > 0 ? n : 1, sizeof(*v));
	struct batch due = { .whom = whom };
	size_t at = 0;

	if (v == NULL)
		return 0;
	for (size_t i = 0; i < n; i++) {
		const struct connection *c = &look->v[i];

		v[i] = recall(f, &at, c->ino);
		if (farewell_look(&v[i], &c->conn) && now && due.taken >= 0)
			add(&due, c);
	}
	close_batch(&due);
	free(f->v);
	f->v = v;
	f->n = n;
	return due.taken;
}

void
farewells_free(struct farewells *f)
{
	free(f->v);
	*f = (struct farewells){ .n = 0 };
}
