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

/* So many at a time: the others are in the next silence. */
#define BATCH_MAX 512

struct due {
	struct half_close_of of[BATCH_MAX];
	size_t n;
};

static void
add(struct due *due, const struct connection *c)
{
	if (due->n < BATCH_MAX)
		due->of[due->n++] = (struct half_close_of){
			.pid = c->pid, .fd = c->fd, .ino = c->ino,
			.conn = c->conn,
		};
}

static int
take(struct farewells *f, const struct due *due)
{
	int code = due->n > 0 ? half_close(due->of, due->n, &f->child) : 0;

	return code == 0 ? (int)due->n : code == -EPERM ? code : 0;
}

int
farewells_look(struct farewells *f, const struct connections *look, bool now)
{
	size_t n = look->n < FAREWELLS_MAX ? look->n : FAREWELLS_MAX;
	struct farewell *v = calloc(n > 0 ? n : 1, sizeof(*v));
	struct due due;
	size_t at = 0;

	if (v == NULL)
		return 0;
	due.n = 0;
	for (size_t i = 0; i < n; i++) {
		const struct connection *c = &look->v[i];

		v[i] = recall(f, &at, c->ino);
		if (farewell_look(&v[i], &c->conn) && now)
			add(&due, c);
	}
	free(f->v);
	f->v = v;
	f->n = n;
	return take(f, &due);
}

void
farewells_free(struct farewells *f)
{
	free(f->v);
	*f = (struct farewells){ .n = 0 };
}
